"""One stack's `pulumi` commands, by the Automation API. All of it blocks, and goes on side by side in threads.

No stack is selected: that is one file for all that run in a folder, and a person's own choice. So the Automation API's
Stack is not used, which selects; its commands after every update, three more processes a stack, are saved, too.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pulumi import automation

from kube_registry.engine.pulumi_process import HeldCommand
from kube_registry.fleet.entries import read_yaml
from kube_registry.fleet.errors import ProgramError
from kube_registry.fleet.fleet_file import Member, merged
from kube_registry.fleet.secrets import config_values, decrypted, kept_secrets
from kube_registry.spec.phases import MARKS
from kube_registry.spec.settings import Settings

_STREAM = {"PULUMI_ENABLE_STREAMING_JSON_PREVIEW": "true", **MARKS}
"""Has a preview, too, print its events as they come, and the program mark the phase of its lines."""

_AT_ONCE = ["--yes", "--skip-preview"]
_OPTIONS: Mapping[str, list[str]] = {"up": _AT_ONCE, "preview": [], "refresh": _AT_ONCE, "destroy": _AT_ONCE}


@dataclass(frozen=True)
class Program:
    """The Pulumi program of all stacks of a fleet.

    Args:
        folder: where its Pulumi.yaml is.
        project: the name in there.
        command: the `pulumi` that runs it.
    """

    folder: Path
    project: str
    command: automation.PulumiCommand


def find_program(folder: Path, project: str) -> Program:
    """The program in a folder.

    Raises:
        ProgramError: there is no `pulumi` to run it, or one that is too old.
    """
    try:
        return Program(folder, project, automation.PulumiCommand())
    except OSError as error:
        raise ProgramError(reason=os.strerror(error.errno or 0)) from error
    except automation.InvalidVersionError as error:
        raise ProgramError(reason=str(error)) from error


@dataclass(frozen=True)
class LastRun:
    """What the state remembers of a stack's last update, refresh or destroy."""

    kind: str
    result: str
    message: str


@dataclass(frozen=True)
class StackCommands:
    """`pulumi` for one stack. Whatever fails raises automation.CommandError.

    Args:
        program: the program.
        member: the stack.
        command: what runs `pulumi`.
    """

    program: Program
    member: Member
    command: HeldCommand

    @property
    def file(self) -> Path:
        """Where the stack's config is kept."""
        return self.program.folder / f"Pulumi.{self.member.short_name}.yaml"

    def last_run(self) -> LastRun | None:
        """What was run last; None if nothing was.

        Raises:
            StackNotFoundError: there is no such stack yet.
        """
        history = json.loads(self._run("stack", "history", "--json", "--page-size", "1").stdout)
        return LastRun(history[0]["kind"], history[0]["result"], history[0]["message"]) if history else None

    def create(self) -> None:
        """Make the stack."""
        self._run("stack", "init", "--no-select")

    def configure(self) -> bool:
        """Bring the stack's file to what the fleet says; whether that changed it.

        What else is in the file stays as it is. Keys of the project that the fleet does not set go, unless they are
        secret.
        """
        found = self._found()
        secrets = kept_secrets(found, self.member.config)
        wanted = {key: _plain(value) for key, value in merged(secrets, self.member.config).items()}
        kept = {key: _plain(value) for key, value in found.items()}
        workspace = automation.LocalWorkspace(str(self.program.folder), pulumi_command=self.command)
        if gone := [f"{self.program.project}:{key}" for key in kept.keys() - wanted.keys()]:
            workspace.remove_all_config(self.member.name, gone)
        changed = {key: value for key, value in wanted.items() if kept.get(key) != value}
        if changed:
            values = {f"{self.program.project}:{key}": _as_pulumi_prints(value) for key, value in changed.items()}
            workspace.set_all_config_json(self.member.name, json.dumps(values))
        return bool(gone or changed)

    def with_secrets(self) -> Member:
        """The stack, its settings with the secrets that only its own file has; `pulumi` is run only if there are any.

        Raises:
            SettingsError: with them, its settings are not right.
        """
        secrets = kept_secrets(self._found(), self.member.config)
        if not secrets:
            return self.member
        printed = self._run("config", "--json", "--show-secrets").stdout
        plain = decrypted(secrets, config_values(printed, self.program.project))
        config, project = merged(plain, self.member.config), self.program.project
        return replace(
            self.member, settings=Settings.parse(config, project=project, stack=self.member.name, secret=secrets.keys())
        )

    def images(self) -> dict[str, str]:
        """The pull references that the last update has put out, by the images' names."""
        outputs: dict[str, Any] = json.loads(self._run("stack", "output", "--json").stdout)
        return dict(outputs.get("images") or {})

    def run(self, verb: str, message: str, on_event: Callable[[automation.EngineEvent], object]) -> None:
        """Run up, preview, refresh or destroy.

        Args:
            verb: which of them.
            message: what the state shall remember with it.
            on_event: told what the engine tells, in this thread.
        """

        def line(text: str) -> None:
            if text.startswith("{"):
                on_event(automation.EngineEvent.from_json(json.loads(text)))

        self._run(verb, "--json", "--message", message, *_OPTIONS[verb], on_output=line)

    def release(self) -> None:
        """Take away the stack's lock, which a `pulumi` that was killed has left."""
        self._run("cancel", "--yes")

    @property
    def release_line(self) -> str:
        """The command that does so."""
        return f"pulumi cancel --yes --stack {self.member.name}"

    def _found(self) -> dict[str, Any]:
        """What the stack's file has of this project's config, keys without the project's name."""
        content = read_yaml(self.file) if self.file.exists() else None
        config = content.get("config") if isinstance(content, Mapping) else None
        if not isinstance(config, Mapping):
            return {}  # there is none yet, or `pulumi` says what is wrong with it
        found = {key.removeprefix(f"{self.program.project}:"): value for key, value in config.items()}
        return {key: value for key, value in found.items() if ":" not in key}

    def _run(self, *words: str, on_output: Callable[[str], None] | None = None) -> automation.CommandResult:
        args = [*words, "--stack", self.member.name]
        return self.command.run(args, str(self.program.folder), _STREAM, on_output)


def _plain(value: object) -> object:
    """A value as Pulumi's config has it: texts, and maps of them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value if isinstance(value, str) else json.dumps(value)


def _as_pulumi_prints(value: object) -> dict[str, object]:
    """A value as `pulumi config --json` shows it, which is what `set-all --json` reads."""
    return {"value": value} if isinstance(value, str) else {"value": json.dumps(value), "objectValue": value}
