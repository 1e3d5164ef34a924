"""`registryctl reference`: what the files on disk would be deployed as."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from kube_registry.build.build import read_builds
from kube_registry.cli.session import StackName
from kube_registry.cli.stacks import find_stack


def reference(
    name: Annotated[str | None, typer.Argument(help="Name of an image in the settings; all if not set.")] = None,
    stack: StackName = None,
) -> None:
    """Print the tagged reference that the current files would get; asks no Docker and no cluster."""
    if name == "":
        raise typer.BadParameter("NAME takes a name.")
    settings = asyncio.run(find_stack(stack)).settings
    if name and name not in settings.images:
        raise typer.BadParameter(f"there is no image {name}, the settings have {', '.join(settings.images)}.")
    for build in read_builds(settings, Path.cwd(), [name] if name else None):
        typer.echo(settings.endpoints.tagged_reference(build.image, build.tag))
