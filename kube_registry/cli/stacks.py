"""The registry that a command works on: that of a stack, whose settings `pulumi` returns, or that of a kube context."""

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
"""How long `pulumi` may take to read a stack; its state may be remote."""

_FIXES = {
    "no stack named": "choose a stack from `pulumi stack ls`, or create this one with `pulumi stack init {name}`",
    "no stack selected": "choose a stack from `pulumi stack ls` with --stack, or with `pulumi stack select NAME`",
    "PULUMI_ACCESS_TOKEN": "`pulumi login`",
    "passphrase must be set": "`export PULUMI_CONFIG_PASSPHRASE=TEXT`",
    "took longer than": "check the network, then try again",
}
"""Text in Pulumi's errors -> the fix."""

_WITHOUT_PULUMI = f"use `{REGISTRYCTL} tunnel --kube-context NAME`, which works without Pulumi"


async def find_stack(stack: str | None, given: Mapping[str, object] = {}, *, folder: Path | None = None) -> Member:
    """Return a stack of this repository's program with the settings in its config; it belongs to no fleet.

    Args:
        stack: its name; the selected one if None.
        given: settings that override the stack's own.
        folder: the program's folder; the current one if None.

    Raises:
        StackError: Pulumi does not return the settings, or the folder has another program.
        SettingsError: the settings are invalid.
    """
    with pulumi_program(in_words(stack), folder) as program:
        project = project_name(program.folder)
        if not has_settings_in_config(program.folder):
            raise StackError(
                stack=in_words(stack),
                folder=str(program.folder),
                reason="Pulumi.yaml does not declare kubeContext and images, so its config is not kube-registry's",
                fix="run this in a checkout of kube-registry, or `pulumi preview --diff` for this program",
            )
        name = stack or await program.selected()
        config = await program.config(name)
    values = {key: entry["value"] for key, entry in config.items()} | dict(given)
    secret = [key for key, entry in config.items() if entry.get("secret")]
    try:
        settings = Settings.parse(values, project=project, stack=name, secret=secret)
    except SettingsError as error:
        raise for_command_line(error, given, stack) from None
    return Member(name, 1, {}, {}, settings, project)


async def pulumi_version() -> str:
    """Return the version of the `pulumi` program.

    Raises:
        StackError: it cannot be run.
    """
    with pulumi_program("any stack") as program:
        return await program.version()


def kube_context_settings(kube_context: str, given: Mapping[str, object]) -> RegistrySettings:
    """Return the settings of a registry of which only the kube context is known; all others have their defaults.

    Args:
        kube_context: name of the kube context; the push port is derived from it.
        given: other settings that are known.

    Raises:
        SettingsError: the settings are invalid.
    """
    push_port = derive_push_port("kube-registry", kube_context)
    config = {"kubeContext": kube_context, "pushPort": push_port, **given}
    try:
        return RegistrySettings.parse(config, project="kube-registry", stack="")
    except SettingsError as error:
        raise for_command_line(error, given, None) from None


def for_command_line(error: SettingsError, given: Mapping[str, object], stack: str | None) -> SettingsError:
    """Return the same error with a fix for the command line: another option, or a command that names the stack.

    Args:
        error: error of one setting.
        given: settings that were given as options.
        stack: name of the stack; None for the selected one.
    """
    if error.key in given:
        return replace(error, fix=f"use another --{to_snake(error.key).replace('_', '-')}")
    return replace(error, fix=on_stack(error.fix, stack))


def in_words(stack: str | None) -> str:
    """Return the words for a stack in errors; None is the selected one."""
    return f"stack {stack}" if stack else "the selected stack"


@contextmanager
def pulumi_program(stack: str, folder: Path | None = None) -> Iterator[Program]:
    """Yield the Pulumi program in a folder, and translate its errors in the block.

    Args:
        stack: the stack in words, for errors.
        folder: folder of the program; the current one if None.

    Raises:
        StackError: a command of `pulumi` fails.
    """
    program = Program(folder or Path.cwd(), PULUMI_SECONDS)
    failed = partial(StackError, stack=stack, folder=str(program.folder))
    try:
        yield program
    except FleetError as error:
        fix = f"run this in the folder of the program, or {_WITHOUT_PULUMI}"
        raise failed(reason="there is no Pulumi.yaml with a name", fix=fix) from error
    except ProgramError as error:
        fix = f"install it (https://www.pulumi.com/docs/install/), or {_WITHOUT_PULUMI}"
        raise failed(reason=f"`pulumi` cannot be run: {error.reason}", fix=fix) from error
    except CommandError as error:
        name = shlex.quote(stack.removeprefix("stack "))
        fixes = [fix.format(name=name) for text, fix in _FIXES.items() if text in error.reason]
        fixes.append(f"correct that, then check it with `{error.command}`")
        raise failed(reason=error.reason, fix=fixes[0]) from error
