"""The stacks that `registryctl dev` works on, and where their settings come from."""

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kube_registry.cli.errors import StackError
from kube_registry.cli.stack_registry import build_of, find_registry
from kube_registry.cli.stacks import find_stack, in_words, pulumi_program
from kube_registry.cli.state import DeployedImage, DeployedRegistry, registries, with_paths_from_project
from kube_registry.dev.files import ImageSource
from kube_registry.dev.target import Target
from kube_registry.engine.program import Program
from kube_registry.fleet.fleet_file import FILE, has_settings_in_config, main_folder, read_fleet, select
from kube_registry.fleet.stack_config import configure
from kube_registry.names import image_urn
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.sections import ImageSettings


async def find_names(stack: str | None, glob: str | None, folder: Path) -> list[str]:
    """Return the names of the stacks that the options select.

    Args:
        stack: name of a stack; the selected one if None.
        glob: names of stacks: of fleet.yaml if the folder has one, else of the program.
        folder: folder of the program.

    Raises:
        StackError: `pulumi` cannot be run, or no stack matches.
        FleetError: fleet.yaml is not valid, or no stack of it matches.
    """
    with pulumi_program(in_words(stack), folder) as program:
        await program.prove_version()
        if glob is None:
            return [stack or await program.selected()]
        names = [] if _has_fleet(folder) else fnmatch.filter(await program.stacks(), glob)
    if _has_fleet(folder):
        return [member.name for member in select(read_fleet(folder), glob, {}).members]
    if names:
        return names
    reason, fix = f"no stack has a name like {glob}", "choose stacks from `pulumi stack ls`"
    raise StackError(stack=f"stacks {glob}", folder=str(folder), reason=reason, fix=fix)


def target_of(name: str, program: Program, *, configured: bool) -> Target:
    """Return a stack of a program.

    Args:
        name: its name.
        program: the program.
        configured: whether fleet.yaml configures it, if there is one.
    """
    folder, main = program.folder, main_folder(program.folder)
    roots = [folder] if main == Path() else [folder, folder / main]
    images = _images_in_config if has_settings_in_config(folder) else partial(_images_in_state, main)
    prepare = partial(_configure, name, program) if configured and _has_fleet(folder) else _nothing
    return Target(name, program, roots, prepare, partial(images, name, folder), partial(_address, name, folder))


def _has_fleet(folder: Path) -> bool:
    return (folder / FILE).exists()


async def _nothing() -> None:
    """Prepare a stack that only the user configures."""


async def _configure(name: str, program: Program) -> None:
    """Create a stack of a fleet if it is missing, and write the fleet's settings to its config."""
    (member,) = select(read_fleet(program.folder), name, {}).members
    await program.creating(name, partial(configure, program, member))


async def _address(name: str, folder: Path, registry: str | None) -> ClusterAddress:
    return (await find_registry(name, registry, folder=folder)).settings


async def _images_in_config(name: str, folder: Path, resources: Sequence[Mapping[str, Any]]) -> dict[str, ImageSource]:
    """Return the images in the config of a stack of kube-registry's own program, with the tags in its resources."""
    member = await find_stack(name, folder=folder)
    platform = member.settings.platform
    deployed = {image.urn: image for registry in registries(resources) for image in registry.images.values()}
    found = {}
    for image, how in member.settings.images.items():
        urn = image_urn(member.project, member.short_name, image)
        tag = _tag(deployed[urn]) if urn in deployed else None
        found[image] = ImageSource(image, how, platform, urn, None, tag)
    return found


def _tag(image: DeployedImage) -> str | None:
    """Return the tag of an image; None if it depends on secret build arguments, or was not deployed."""
    secret = None in (image.build.get("buildArgs") or {}).values()
    return None if secret or not image.reference else parse_reference(image.reference).tag


async def _images_in_state(
    main: Path, name: str, folder: Path, resources: Sequence[Mapping[str, Any]]
) -> dict[str, ImageSource]:
    """Return the images among the resources of a stack; if none are given, among those in its state."""
    if not resources:
        with pulumi_program(in_words(name), folder) as program:
            resources = await program.resources(name)
    deployed = [with_paths_from_project(registry, main) for registry in registries(resources)]
    found: dict[str, ImageSource] = {}
    for registry in deployed:
        for image, one in registry.images.items():
            found[image if image not in found else f"{registry.name}/{image}"] = _source(registry, one)
    return found


def _source(registry: DeployedRegistry, image: DeployedImage) -> ImageSource:
    """Return how an image is built; secret build arguments are unknown."""
    given = image.build.get("buildArgs") or {}
    build = {**image.build, "buildArgs": {key: value or "" for key, value in given.items()}}
    platform = str((registry.settings or {}).get("platform", ""))
    try:
        repository, settings, platform = build_of(replace(image, build=build), platform)
    except ValidationError:  # another version has written the state; the update writes it again
        repository, settings = image.repository, ImageSettings()
    return ImageSource(repository, settings, platform, image.urn, registry.name, _tag(image))
