"""Which registry a verb is about: that of a stack, as the `pulumi` program knows it, or that of a kube context."""

import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic.alias_generators import to_snake

from kube_registry.cli.errors import StackError
from kube_registry.errors import on_stack
from kube_registry.names import image_urn, short_name
from kube_registry.processes import run
from kube_registry.spec.endpoints import derive_push_port
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import RegistrySettings, Settings

PULUMI_SECONDS = 60.0
"""How long `pulumi` may take to tell about a stack; its state may be far away."""

_MENDS = {
    "no stack named": "`pulumi stack ls` lists the stacks, `pulumi stack init {name}` makes this one",
    "no stack selected": "`pulumi stack ls` lists the stacks for --stack, `pulumi stack select NAME` chooses one",
    "PULUMI_ACCESS_TOKEN": "`pulumi login` logs in",
    "passphrase must be set": "`export PULUMI_CONFIG_PASSPHRASE=TEXT` gives it",
}
"""Words of Pulumi's errors -> what mends them."""

_NEEDS_NONE = "`.venv/bin/python -m registryctl tunnel --kube-context NAME` needs none"


@dataclass(frozen=True)
class Stack:
    """A stack as `pulumi` knows it.

    Args:
        project: name of its project.
        name: as Pulumi selects it, with organization and project where they are needed.
        settings: what is configured for it.
    """

    project: str
    name: str
    settings: Settings

    @property
    def short_name(self) -> str:
        """Its name as the program knows it."""
        return short_name(self.name)


async def find_stack(folder: Path, stack: str | None, given: Mapping[str, object]) -> Stack:
    """A stack and its settings.

    Args:
        folder: the program's folder.
        stack: name of the stack; the selected one if None.
        given: settings that take the place of the stack's own; None in place of a value takes none.

    Raises:
        StackError: Pulumi does not tell them.
        SettingsError: they are not right.
    """
    asked = _Asked(folder, f"stack {stack}" if stack else "the selected stack")
    project = asked.project()
    name = stack or await asked.pulumi("stack", "--show-name")
    config: dict[str, Any] = json.loads(await asked.pulumi("config", "--json", "--show-secrets", "--stack", name))
    values = {key: entry["value"] for key, entry in config.items()} | _without_none(given)
    secret = [key for key, entry in config.items() if entry.get("secret")]
    try:
        return Stack(project, name, Settings.parse(values, project=project, stack=name, secret=secret))
    except SettingsError as error:
        raise _from_outside(error, given, stack) from None


async def stack_settings(folder: Path, stack: str | None, given: Mapping[str, object]) -> Settings:
    """The settings of one stack; all as for `find_stack`."""
    return (await find_stack(folder, stack, given)).settings


async def deployed_images(folder: Path, stack: str) -> dict[str, str] | None:
    """The pull references that a stack's last update has put out, by the images' names; None if none has.

    Args:
        folder: the program's folder.
        stack: name of the stack.

    Raises:
        StackError: Pulumi does not tell them.
    """
    asked = _Asked(folder, f"stack {stack}")
    outputs: dict[str, Any] = json.loads(await asked.pulumi("stack", "output", "--json", "--stack", stack))
    return outputs.get("images")


async def deployed_namespaces(folder: Path, stack: str) -> set[str]:
    """The names of the namespaces that a stack has in its state.

    Args:
        folder: the program's folder.
        stack: name of the stack.

    Raises:
        StackError: Pulumi does not return the state.
    """
    exported = await _Asked(folder, f"stack {stack}").pulumi("stack", "export", "--stack", stack)
    state: dict[str, Any] = json.loads(exported)
    resources = (state.get("deployment") or {}).get("resources") or []
    return {str(each.get("id")) for each in resources if each["type"] == "kubernetes:core/v1:Namespace"}


async def pulumi_version(folder: Path) -> str:
    """The version of the `pulumi` program.

    Args:
        folder: the program's folder.

    Raises:
        StackError: it cannot be run.
    """
    return await _Asked(folder, "any stack").pulumi("version")


def push_line(stack: Stack, images: list[str]) -> str:
    """The line that builds and pushes images again, whatever Pulumi believes of them."""
    urns = [shlex.quote(image_urn(stack.project, stack.short_name, image)) for image in images]
    return " ".join(["pulumi", "up", "--stack", stack.name, *(f"--replace {urn}" for urn in urns)])


def kube_context_settings(kube_context: str, given: Mapping[str, object]) -> RegistrySettings:
    """The settings of a registry of which only the kube context is known; all else is the defaults'.

    Args:
        kube_context: name of the kube context; the push port is derived from it.
        given: settings that are known all the same; None in place of a value for those that are not.

    Raises:
        SettingsError: they are not right.
    """
    push_port = derive_push_port("kube-registry", kube_context)
    config = {"kubeContext": kube_context, "pushPort": push_port, **_without_none(given)}
    try:
        return RegistrySettings.parse(config, project="kube-registry", stack="")
    except SettingsError as error:
        raise _from_outside(error, given, None) from None


def _from_outside(error: SettingsError, given: Mapping[str, object], stack: str | None) -> SettingsError:
    """The same error for who is at a command line, where an option was wrong, or the stack is not the selected one."""
    if given.get(error.key) is not None:
        return replace(error, mend=f"use another --{to_snake(error.key).replace('_', '-')}")
    return replace(error, mend=on_stack(error.mend, stack))


def _without_none(given: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True)
class _Asked:
    """The program's folder, and of which stack it is asked."""

    folder: Path
    stack: str

    def project(self) -> str:
        """The project's name."""
        try:
            return str(yaml.safe_load((self.folder / "Pulumi.yaml").read_text())["name"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            mend = f"run this in the folder of the program; {_NEEDS_NONE}"
            raise self._error(f"no Pulumi.yaml with a name is there ({type(error).__name__})", mend) from error

    async def pulumi(self, *words: str) -> str:
        """What `pulumi` prints."""
        env = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true"}
        command = ["pulumi", *words, "--non-interactive"]
        try:
            ended = await run(*command, cwd=self.folder, env=env, seconds=PULUMI_SECONDS)
        except TimeoutError as error:
            reason = f"`{' '.join(command)}` took longer than {PULUMI_SECONDS:.0f} s"
            raise self._error(reason, "check the network, then try again") from error
        except OSError as error:
            mend = f"install it (https://www.pulumi.com/docs/install/); {_NEEDS_NONE}"
            raise self._error(f"`pulumi` cannot be run: {error.strerror}", mend) from error
        if ended.status != 0:
            reason = ended.words.removeprefix("error: ")
            name = shlex.quote(self.stack.removeprefix("stack "))
            mends = [mend.format(name=name) for words, mend in _MENDS.items() if words in reason]
            raise self._error(reason, *mends or [f"`{' '.join(command)}` tells when it is right"])
        return ended.out.decode().strip()

    def _error(self, reason: str, mend: str) -> StackError:
        return StackError(stack=self.stack, folder=str(self.folder), reason=reason, mend=mend)
