"""`registryctl reference`: the references under which the files on disk would be deployed."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from kube_registry.build.build import read_build
from kube_registry.cli.session import RegistryName, StackName
from kube_registry.cli.stack_registry import find_registry, image_builds


def reference(
    name: Annotated[str | None, typer.Argument(help="Image in the settings; all images if not set.")] = None,
    stack: StackName = None,
    registry: RegistryName = None,
) -> None:
    """Print the tagged reference of the current files; needs neither Docker nor a cluster."""
    if name == "":
        raise typer.BadParameter("NAME must not be empty.")
    found = asyncio.run(find_registry(stack, registry))
    builds = image_builds(found)
    if name and name not in builds:
        raise typer.BadParameter(f"there is no image {name}; the settings have {', '.join(builds)}.")
    for each in [name] if name else builds:
        build = read_build(*builds[each], Path.cwd())
        typer.echo(found.settings.endpoints.tagged_reference(build.image, build.tag))
