"""The registry of a stack that a verb is about, whichever Pulumi program has made it.

Settings and images are those of the stack's config in this repository's program, and those in the stack's state in any
other: there they are arguments of a ClusterRegistry, which the config does not have.
"""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from kube_registry.cli.errors import StackError
from kube_registry.cli.stacks import asked, find_stack, from_outside
from kube_registry.cli.state import DeployedRegistry, registries, seen_from_outside
from kube_registry.fleet.fleet_file import has_settings_in_config, main_folder, project_name
from kube_registry.names import REGISTRY, image_urn, short_name
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.sections import ImageSettings
from kube_registry.spec.settings import RegistrySettings, Settings


@dataclass(frozen=True)
class StackRegistry:
    """A registry of a stack.

    Args:
        project: name of the Pulumi project.
        stack: name of the stack, as Pulumi takes it.
        settings: of the registry.
        deployed: what the stack's state has of it; None where the settings are the stack's config.
    """

    project: str
    stack: str
    settings: RegistrySettings
    deployed: DeployedRegistry | None = None

    def push_command(self, images: Iterable[str]) -> str:
        """The command that builds and pushes images again, whatever Pulumi believes of them."""
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
        stack: its name; the selected one if None.
        registry: name of its component; None for the only one.
        given: settings that take the place of the stack's own.
        folder: the program's folder; the current one if None.

    Raises:
        StackError: Pulumi does not return its settings, or the stack has no such registry.
        SettingsError: the settings of the config, or those given, are not right.
        KubeconfigError: no kube context was given, and the kubeconfig names none as its current one.
    """
    with asked(_words(stack), folder) as program:
        if has_settings_in_config(program.folder):
            found = await find_stack(stack, given, folder=folder)
            if registry not in (None, REGISTRY):
                raise _unknown(found.name, program.folder, registry, [REGISTRY])
            return StackRegistry(found.project, found.name, found.settings)
        project, main = project_name(program.folder), main_folder(program.folder)
        name = stack or await program.selected()
        deployed = registries(await program.resources(name, secrets=True))
    chosen = seen_from_outside(_chosen(name, program.folder, registry, deployed), main)
    settings = _settings(chosen, project, name, given, program.folder)
    return StackRegistry(project, name, settings, chosen)


async def deployed_images(of: StackRegistry) -> dict[str, str] | None:
    """The pull references of a registry's images after the last update, by name; None if there was none yet.

    Raises:
        StackError: Pulumi does not return them.
    """
    if of.deployed:
        return {name: image.reference for name, image in of.deployed.images.items()}
    with asked(_words(of.stack)) as program:
        return await program.images(of.stack)


async def deployed_namespaces(of: StackRegistry) -> frozenset[str]:
    """The names of the namespaces that a registry, or its whole stack, has in the state.

    Raises:
        StackError: Pulumi does not return the state.
    """
    if of.deployed:
        return of.deployed.namespaces
    with asked(_words(of.stack)) as program:
        resources = await program.resources(of.stack)
    return frozenset(str(each.get("id")) for each in resources if each["type"] == "kubernetes:core/v1:Namespace")


def image_builds(of: StackRegistry) -> dict[str, tuple[str, ImageSettings, str]]:
    """How a registry's images are built: name -> repository, settings, platform.

    Raises:
        StackError: another version has written them.
    """
    if isinstance(of.settings, Settings):
        return {name: (name, image, of.settings.platform) for name, image in of.settings.images.items()}
    builds = {}
    for name, image in of.deployed.images.items() if of.deployed else ():
        build = dict(image.build)
        platform = str(build.pop("platform", of.settings.platform))
        try:
            builds[name] = image.repository, ImageSettings.model_validate(build), platform
        except ValidationError as error:
            reason = f"its state has a build of {name} that this version cannot read: {error.errors()[0]['msg']}"
            raise _refusal(of.stack, Path.cwd(), reason, _update(of.stack)) from None
    return builds


def _chosen(stack: str, folder: Path, registry: str | None, deployed: list[DeployedRegistry]) -> DeployedRegistry:
    names = [each.name for each in deployed]
    if not deployed:
        reason = "there is no ClusterRegistry in its state, and Pulumi.yaml does not declare kubeContext and images"
        raise _refusal(stack, folder, reason, f"run this in the folder of the program that has one, after {_up(stack)}")
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
    """The settings in the state; without a kube context it is the kubeconfig's current one."""
    if not deployed.settings:
        reason = (
            f"ClusterRegistry {deployed.name!r} has none in the state: no update got that far, or an old version did"
        )
        raise _refusal(stack, folder, reason, _update(stack))
    current = "kubeContext" not in deployed.settings
    config = {"kubeContext": "current", **deployed.settings, **given}
    secret, component = ["kubeconfig"], deployed.name
    try:
        settings = RegistrySettings.parse(config, project=project, stack=stack, secret=secret, component=component)
    except SettingsError as error:
        if error.key in given:
            raise from_outside(error, given, stack) from None
        reason = f"its state has {error.key}, which this version cannot read: {error.problem}"
        raise _refusal(stack, folder, reason, _update(stack)) from None
    if current:
        from kube_registry.kube.kubeconfig import current_context  # noqa: PLC0415 - most programs name the kube context

        return settings.model_copy(update={"kube_context": current_context(settings)})
    return settings


def _unknown(stack: str, folder: Path, registry: str | None, names: list[str]) -> StackError:
    reason = f"it has no registry {registry}"
    return _refusal(stack, folder, reason, f"choose another --registry; it has {', '.join(names)}")


def _refusal(stack: str, folder: Path, reason: str, fix: str) -> StackError:
    return StackError(stack=_words(stack), folder=str(folder), reason=reason, mend=fix)


def _update(stack: str) -> str:
    return f"{_up(stack)} writes them with the version that is installed"


def _up(stack: str) -> str:
    return f"`pulumi up --stack {shlex.quote(stack)}`"


def _words(stack: str | None) -> str:
    return f"stack {stack}" if stack else "the selected stack"
