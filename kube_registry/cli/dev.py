"""`registryctl dev`: update stacks whenever their program or the files of their images change."""

import asyncio
from typing import Annotated

import typer

from kube_registry.cli.session import StackName


def dev(
    *,
    stack: StackName = None,
    stacks: Annotated[
        str | None,
        typer.Option(help="Stacks whose name matches this glob: of fleet.yaml if there is one, else of the program."),
    ] = None,
) -> None:
    """Watch the program and its build contexts, and run `pulumi up` whenever something changes."""
    from kube_registry.cli.dev_run import run  # noqa: PLC0415 - its imports take a second, and --help needs none

    if stacks == "" or (stack and stacks):
        raise typer.BadParameter("--stacks takes a glob, and excludes --stack.")
    asyncio.run(run(stack, stacks))
