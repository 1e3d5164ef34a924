"""`registryctl status`: whether all that a stack has deployed is still in its registry."""

from collections.abc import Mapping
from pathlib import Path

from rich.table import Table

from kube_registry.cli.session import UNBROKEN, StackName, console, judge, table
from kube_registry.cli.stacks import deployed_images, find_stack, push_line
from kube_registry.housekeeping.health import Missing, read_all_back
from kube_registry.kube.client import open_client

THERE = "there"


def status(
    stack: StackName = None,
) -> None:
    """Read every image of the stack's outputs back; exit status 1 if one is not whole."""
    judge(_status(stack))


async def _status(name: str | None) -> bool:
    out, stack = console(width=UNBROKEN), await find_stack(Path.cwd(), name, {})
    references = await deployed_images(Path.cwd(), stack.name)
    if references is None:
        out.print(f"stack {stack.name} has no image in its outputs yet. Fix: `pulumi up --stack {stack.name}`")
        return False
    async with open_client(stack.settings) as kube:
        missing = await read_all_back(kube, references)
    out.print(_table(references, missing))
    lacking = [image for image, words in missing.items() if words]
    if lacking:
        out.print(f"what pushes again is {push_line(stack, lacking)}")
    return not lacking


def _table(references: Mapping[str, str], missing: Missing) -> Table:
    shown = table("image", "reference", "state")
    for image, reference in references.items():
        first, *more = missing[image] or [THERE]
        shown.add_row(image, reference, first)
        for words in more:
            shown.add_row("", "", words)
    return shown
