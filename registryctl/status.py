"""`registryctl status`: whether all that a stack has deployed is still in its registry."""

import asyncio
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cluster.kube import open_client
from housekeeping.findings import Missing, read_all_back
from registryctl.interrupts import until_told
from registryctl.stacks import Stack, deployed_images, find_stack
from stack.names import image_urn

THERE = "there"

UNBROKEN = 1000
"""Columns of a table whose references and digests stay in one piece, to be copied."""


def status(
    stack: Annotated[str | None, typer.Option(help="Stack of the registry; the selected one if not set.")] = None,
) -> None:
    """Read every image of the stack's outputs back; exit status 1 if one is not whole."""
    if stack == "":
        raise typer.BadParameter("--stack takes a name.")
    raise typer.Exit(asyncio.run(_status(stack)))


async def _status(name: str | None) -> int:
    console = Console(highlight=False, markup=False, soft_wrap=True, width=UNBROKEN)
    lacking: list[str] | None = None
    async with until_told():
        stack = await find_stack(Path.cwd(), name, {})
        references = await deployed_images(Path.cwd(), stack.name)
        if references is None:
            console.print(f"stack {stack.name} has no image in its outputs yet. Fix: `pulumi up --stack {stack.name}`")
            return 1
        async with open_client(stack.settings) as kube:
            missing = await read_all_back(kube, references)
        console.print(_table(references, missing))
        lacking = [image for image, words in missing.items() if words]
        if lacking:
            console.print(f"what pushes again is {push_line(stack, lacking)}")
    return int(lacking != [])


def _table(references: Mapping[str, str], missing: Missing) -> Table:
    table = Table("image", "reference", "state", box=None, pad_edge=False)
    for image, reference in references.items():
        first, *more = missing[image] or [THERE]
        table.add_row(image, reference, first)
        for words in more:
            table.add_row("", "", words)
    return table


def push_line(stack: Stack, images: list[str]) -> str:
    """The line that builds and pushes images again, whatever Pulumi believes of them."""
    urns = [shlex.quote(image_urn(stack.project, stack.short_name, image)) for image in images]
    return " ".join(["pulumi", "up", "--stack", stack.name, *(f"--replace {urn}" for urn in urns)])
