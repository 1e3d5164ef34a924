"""Which registry a verb is about: that of a stack, as the `pulumi` program knows it, or that of a kube context."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic.alias_generators import to_snake

from kube_registry.cli.errors import StackError
from kube_registry.engine.errors import CommandError, ProgramError
from kube_registry.engine.program import Program
from kube_registry.errors import on_stack
from kube_registry.fleet.errors import FleetError
from kube_registry.fleet.fleet_file import Member, has_settings_in_config, project_name
from kube_registry.names import REGISTRYCTL
from kube_registry.spec.endpoints import derive_push_port
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import RegistrySettings, Settings

PULUMI_SECONDS = 60.0
"""How long `pulumi` may take to tell about a stack; its state may be far away."""

_FIXES = {
    "no stack named": "`pulumi stack ls` lists the stacks, `pulumi stack init {name}` makes this one",
    "no stack selected": "`pulumi stack ls` lists the stacks for --stack, `pulumi stack select NAME` chooses one",
    "PULUMI_ACCESS_TOKEN": "`pulumi login` logs in",
    "passphrase must be set": "`export PULUMI_CONFIG_PASSPHRASE=TEXT` gives it",
    "took longer than": "check the network, then try again",
}
"""Words of Pulumi's errors -> what mends them."""

_NEEDS_NONE = f"`{REGISTRYCTL} tunnel --kube-context NAME` needs none"


async def find_stack(stack: str | None, given: Mapping[str, object] = {}, *, folder: Path | None = None) -> Member:
    """A stack of this repository's program with its settings, as its config has them: one of no fleet.

    Args:
        stack: its name; the selected one if None.
        given: settings that take the place of the stack's own.
        folder: the program's folder; the current one if None.

    Raises:
        StackError: Pulumi does not return them, or the folder has another program.
        SettingsError: they are not right.
    """
    with asked(f"stack {stack}" if stack else "the selected stack", folder) as program:
        project = project_name(program.folder)
        if not has_settings_in_config(program.folder):
            raise StackError(
                stack=f"stack {stack}" if stack else "the selected stack",
                folder=str(program.folder),
                reason="Pulumi.yaml does not declare kubeContext and images, so its config is not kube-registry's",
                fix="run this in a checkout of kube-registry; `pulumi preview --diff` shows what this program changes",
            )
        name = stack or await program.selected()
        config = await program.config(name)
    values = {key: entry["value"] for key, entry in config.items()} | dict(given)
    secret = [key for key, entry in config.items() if entry.get("secret")]
    try:
        settings = Settings.parse(values, project=project, stack=name, secret=secret)
    except SettingsError as error:
        raise from_outside(error, given, stack) from None
    return Member(name, 1, {}, {}, settings, project)


async def pulumi_version() -> str:
    """The version of the `pulumi` program.

    Raises:
        StackError: it cannot be run.
    """
    with asked("any stack") as program:
        return await program.version()


def kube_context_settings(kube_context: str, given: Mapping[str, object]) -> RegistrySettings:
    """The settings of a registry of which only the kube context is known; all else is the defaults'.

    Args:
        kube_context: name of the kube context; the push port is derived from it.
        given: settings that are known all the same.

    Raises:
        SettingsError: they are not right.
    """
    push_port = derive_push_port("kube-registry", kube_context)
    config = {"kubeContext": kube_context, "pushPort": push_port, **given}
    try:
        return RegistrySettings.parse(config, project="kube-registry", stack="")
    except SettingsError as error:
        raise from_outside(error, given, None) from None


def from_outside(error: SettingsError, given: Mapping[str, object], stack: str | None) -> SettingsError:
    """The same error at a command line, where an option was wrong, or the stack is not the selected one.

    Args:
        error: about one setting.
        given: settings that were given as options.
        stack: name of the stack; None for the selected one.
    """
    if error.key in given:
        return replace(error, fix=f"use another --{to_snake(error.key).replace('_', '-')}")
    return replace(error, fix=on_stack(error.fix, stack))


@contextmanager
def asked(stack: str, folder: Path | None = None) -> Iterator[Program]:
    """A block in which the program of a folder is asked about a stack.

    Args:
        stack: the words for it.
        folder: the program's; the current one if None.

    Raises:
        StackError: it does not answer.
    """
    program = Program(folder or Path.cwd(), PULUMI_SECONDS)
    failed = partial(StackError, stack=stack, folder=str(program.folder))
    try:
        yield program
    except FleetError as error:
        fix = f"run this in the folder of the program; {_NEEDS_NONE}"
        raise failed(reason="no Pulumi.yaml with a name is there", fix=fix) from error
    except ProgramError as error:
        fix = f"install it (https://www.pulumi.com/docs/install/); {_NEEDS_NONE}"
        raise failed(reason=f"`pulumi` cannot be run: {error.reason}", fix=fix) from error
    except CommandError as error:
        name = shlex.quote(stack.removeprefix("stack "))
        fixes = [fix.format(name=name) for words, fix in _FIXES.items() if words in error.reason]
        raise failed(reason=error.reason, fix=[*fixes, f"`{error.command}` tells when it is right"][0]) from error
