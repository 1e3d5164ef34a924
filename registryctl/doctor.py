"""`registryctl doctor`: one page on whether all is well with a stack, and what to do where it is not."""

import asyncio
import os
import shlex
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from housekeeping.checks import judge_version
from housekeeping.doctor import consult
from housekeeping.exposure import Line
from registryctl.interrupts import until_told
from registryctl.stacks import deployed_images, find_stack, pulumi_version
from registryctl.status import UNBROKEN, push_line

_STATES = {True: "ok", False: "mend", None: "?"}


def doctor(
    stack: Annotated[str | None, typer.Option(help="Stack of the registry; the selected one if not set.")] = None,
) -> None:
    """Look at everything, change nothing; exit status 1 if something is to be mended."""
    if stack == "":
        raise typer.BadParameter("--stack takes a name.")
    raise typer.Exit(asyncio.run(_doctor(stack)))


async def _doctor(name: str | None) -> int:
    well = False
    async with until_told():
        folder = Path.cwd()
        stack = await find_stack(folder, name, {})
        references = await deployed_images(folder, stack.name)
        lines = [judge_version("pulumi", "Pulumi", await pulumi_version(folder))]
        if references is None:
            words = f"it has no image in its outputs yet. Fix: `pulumi up --stack {shlex.quote(stack.name)}`"
            lines.append(Line(f"stack {stack.name}", well=False, words=words))
        lines += await consult(stack.settings, references or {}, os.environ, lambda lost: push_line(stack, lost))
        Console(highlight=False, markup=False, soft_wrap=True, width=UNBROKEN).print(_page(lines))
        well = all(line.well is not False for line in lines)
    return int(not well)


def _page(lines: list[Line]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for line in lines:
        table.add_row(_STATES[line.well], line.subject, line.words)
    return table
