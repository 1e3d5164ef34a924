"""The registry of a stack that a command works on, deployed by any Pulumi program.

For this repository's program, settings and images come from the stack's config. For any other program they come from
the stack's state, because there they are arguments of a ClusterRegistry, which are not in the config.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kube_registry.cli.errors import StackError
from kube_registry.cli.stacks import find_stack, for_command_line, in_words, pulumi_program
from kube_registry.cli.state import DeployedImage, DeployedRegistry, registries, with_paths_from_project
from kube_registry.fleet.fleet_file import has_settings_in_config, main_folder, project_name
from kube_registry.housekeeping.errors import NoListingError
from kube_registry.names import REGISTRY, image_urn, short_name
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.sections import ImageSettings
from kube_registry.spec.settings import RegistrySettings, Settings


@dataclass(frozen=True)
class StackRegistry:
    """A registry of a stack.

    Args:
        project: name of the Pulumi project.
        stack: name of the stack for Pulumi.
        settings: settings of the registry.
        deployed: the registry in the stack's state; None if the settings come from the stack's config.
    """

    project: str
    stack: str
    settings: RegistrySettings
    deployed: DeployedRegistry | None = None

    def push_command(self, images: Iterable[str]) -> str:
        """Return the command that builds and pushes images again, even if they have not changed."""
        urns = [shlex.quote(self._urn(image)) for image in images]
        return " ".join(["pulumi", "up", "--stack", shlex.quote(self.stack), *(f"--replace {urn}" for urn in urns)])

    def _urn(self, image: str) -> str:
        return (
            self.deployed.images[image].urn if self.deployed else image_urn(self.project, short_name(self.stack), image)
        )


async def find_registry(
    stack: str | None, registry: str | None = None, given: Mapping[str, object] = {}, *, folder: Path | None = None
) -> StackRegistry:
    """Find the registry of a stack.

    Args:
        stack: name of the stack; the selected one if None.
        registry: name of its component; None for the only one.
        given: settings that override the stack's own.
        folder: the program's folder; the current one if None.

    Raises:
        StackError: Pulumi does not return its settings, or the stack has no such registry.
        SettingsError: settings in the config, or given ones, are invalid.
        KubeconfigError: no kube context was given, and the kubeconfig has no current one.
    """
    with pulumi_program(in_words(stack), folder) as program:
        if has_settings_in_config(program.folder):
            found = await find_stack(stack, given, folder=folder)
            if registry not in (None, REGISTRY):
                raise _unknown(found.name, program.folder, registry, [REGISTRY])
            return StackRegistry(found.project, found.name, found.settings)
        project, main = project_name(program.folder), main_folder(program.folder)
        name = stack or await program.selected()
        deployed = registries(await program.resources(name, secrets=True))
    one = with_paths_from_project(_select(name, program.folder, registry, deployed), main)
    settings = _settings(one, project, name, given, program.folder)
    return StackRegistry(project, name, settings, one)


def prove_volume(target: StackRegistry, verb: str) -> None:
    """Check that a registry has a volume, whose files a command can list.

    Args:
        target: the registry.
        verb: the command.

    Raises:
        NoListingError: it has a bucket instead.
    """
    if s3 := target.settings.s3:
        raise NoListingError(where=target.settings.where, verb=verb, bucket=s3.bucket)


async def deployed_images(target: StackRegistry) -> dict[str, str] | None:
    """Return the pull references of a registry's images after the last update, by name; None if there was no update.

    Raises:
        StackError: Pulumi does not return them.
    """
    if target.deployed:
        return {name: image.reference for name, image in target.deployed.images.items()}
    with pulumi_program(in_words(target.stack)) as program:
        return await program.images(target.stack)


async def deployed_namespaces(target: StackRegistry) -> frozenset[str]:
    """Return the names of the namespaces that a registry, or its whole stack, has in the state.

    Raises:
        StackError: Pulumi does not return the state.
    """
    if target.deployed:
        return target.deployed.namespaces
    with pulumi_program(in_words(target.stack)) as program:
        resources = await program.resources(target.stack)
    return frozenset(str(each.get("id")) for each in resources if each["type"] == "kubernetes:core/v1:Namespace")


def image_builds(target: StackRegistry) -> dict[str, tuple[str, ImageSettings, str]]:
    """Return how a registry's images are built: name -> repository, settings, platform.

    Raises:
        StackError: the state was written by an incompatible version.
    """
    if isinstance(target.settings, Settings):
        return {name: (name, image, target.settings.platform) for name, image in target.settings.images.items()}
    builds = {}
    for name, image in target.deployed.images.items() if target.deployed else ():
        try:
            builds[name] = build_of(image, target.settings.platform)
        except ValidationError as error:
            reason = f"this version cannot read the build of {name} in the state: {error.errors()[0]['msg']}"
            raise _refusal(target.stack, Path.cwd(), reason, _update(target.stack)) from None
    return builds


def build_of(image: DeployedImage, default_platform: str) -> tuple[str, ImageSettings, str]:
    """Return how an image in a state is built: repository, settings, platform.

    Args:
        image: the image.
        default_platform: its platform if the state was written by a version that did not store it.

    Raises:
        ValidationError: the state was written by an incompatible version.
    """
    build = dict(image.build)
    platform = str(build.pop("platform", default_platform))
    return image.repository, ImageSettings.model_validate(build), platform


def _select(stack: str, folder: Path, registry: str | None, deployed: list[DeployedRegistry]) -> DeployedRegistry:
    names = [each.name for each in deployed]
    if not deployed:
        reason = "there is no ClusterRegistry in its state, and Pulumi.yaml does not declare kubeContext and images"
        raise _refusal(stack, folder, reason, f"{_up(stack)} in the folder of a program that has one, then try again")
    if registry is None and len(deployed) > 1:
        reason = f"it has {len(deployed)} registries: {', '.join(names)}"
        raise _refusal(stack, folder, reason, f"choose one with `--registry {shlex.quote(names[0])}`")
    found = [each for each in deployed if registry in (None, each.name)]
    if not found:
        raise _unknown(stack, folder, registry, names)
    return found[0]


def _settings(
    deployed: DeployedRegistry, project: str, stack: str, given: Mapping[str, object], folder: Path
) -> RegistrySettings:
    """Return the settings in the state; if they have no kube context, it is the kubeconfig's current one."""
    if not deployed.settings:
        reason = (
            f"ClusterRegistry {deployed.name!r} has none in the state: no update has written them, or an old version "
            "has run the last one"
        )
        raise _refusal(stack, folder, reason, _update(stack))
    current = "kubeContext" not in deployed.settings
    config = {"kubeContext": "current", **deployed.settings, **given}
    secret, component = ["kubeconfig"], deployed.name
    try:
        settings = RegistrySettings.parse(config, project=project, stack=stack, secret=secret, component=component)
    except SettingsError as error:
        if error.key in given:
            raise for_command_line(error, given, stack) from None
        reason = f"this version cannot read {error.key} in the state: {error.problem}"
        raise _refusal(stack, folder, reason, _update(stack)) from None
    if current:
        from kube_registry.kube.kubeconfig import current_context  # noqa: PLC0415 - most programs name the kube context

        return settings.model_copy(update={"kube_context": current_context(settings)})
    return settings


def _unknown(stack: str, folder: Path, registry: str | None, names: list[str]) -> StackError:
    reason = f"it has no registry {registry}"
    return _refusal(stack, folder, reason, f"use --registry with one of {', '.join(names)}")


def _refusal(stack: str, folder: Path, reason: str, fix: str) -> StackError:
    return StackError(stack=in_words(stack), folder=str(folder), reason=reason, fix=fix)


def _update(stack: str) -> str:
    return f"write them with this version: {_up(stack)}"


def _up(stack: str) -> str:
    return f"`pulumi up --stack {shlex.quote(stack)}`"
