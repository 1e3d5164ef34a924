"""A Pulumi program, and the commands of `pulumi` for it and its stacks.

No stack is selected: the selection is one file for all processes in a folder, and a choice of the user. So the
Automation API's Stack is not used, which selects.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from kube_registry.concurrency import together
from kube_registry.engine.engine_events import EngineEvent, read_event
from kube_registry.engine.errors import CommandError, ProgramError, StackMissingError
from kube_registry.engine.lock import locked
from kube_registry.engine.pulumi_process import GRACE_SECONDS, pulumi_environment, run_pulumi
from kube_registry.engine.warm import WarmRuns
from kube_registry.spec.versions import unsupported

_T = TypeVar("_T")

_AT_ONCE = ("--yes", "--skip-preview")
_OPTIONS = {"up": _AT_ONCE, "preview": (), "refresh": _AT_ONCE, "destroy": _AT_ONCE}
_RUNNING = ("up", "preview")
"""Commands that run the program."""

_LOCKED = ("the stack is currently locked by", "[409] Conflict: Another update is currently in progress.")


@dataclass(frozen=True)
class Program:
    """A Pulumi program. All its methods raise what `run` raises; `stack` is the name of a stack.

    Args:
        folder: folder of its Pulumi.yaml.
        seconds: how long a command may take; None if the caller sets the limit.
        grace: seconds that `pulumi` may take to end when a command is cancelled.
        warm: runs the program for `deploy`; None for cold runs.
    """

    folder: Path
    seconds: float | None = None
    grace: float = GRACE_SECONDS
    warm: WarmRuns | None = None

    async def version(self) -> str:
        """Return the version of `pulumi`."""
        return await self.run("version")

    async def prove_version(self) -> None:
        """Check that `pulumi` is new enough.

        Raises:
            ProgramError: it is too old, or not installed.
        """
        try:
            reason = unsupported("Pulumi", await self.version())
        except CommandError as error:
            reason = error.reason
        if reason:
            raise ProgramError(reason=reason)

    async def selected(self) -> str:
        """Return the name of the selected stack."""
        return await self.run("stack", "--show-name")

    async def stacks(self) -> list[str]:
        """Return the names of the program's stacks."""
        return [str(each["name"]) for each in json.loads(await self.run("stack", "ls", "--json"))]

    async def creating(self, stack: str, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do some work with a stack and return its result; if the stack does not exist, create it first."""
        try:
            return await work()
        except StackMissingError:
            await self.run("stack", "init", "--no-select", stack=stack)
            return await work()

    async def config(self, stack: str) -> dict[str, dict[str, Any]]:
        """Return a stack's whole config, as `pulumi config --json` prints it, with secrets as plain text."""
        return dict(json.loads(await self.run("config", "--json", "--show-secrets", stack=stack)))

    async def set_config(self, stack: str, values: Mapping[str, Mapping[str, object]]) -> None:
        """Set a part of a stack's config, in the form that `config` returns."""
        await self.run("config", "set-all", "--json", json.dumps(values), stack=stack)

    async def remove_config(self, stack: str, keys: Iterable[str]) -> None:
        """Remove keys from a stack's config."""
        await self.run("config", "rm-all", *keys, stack=stack)

    async def images(self, stack: str) -> dict[str, str] | None:
        """Return the pull references in a stack's outputs, by image name; None if it has none."""
        outputs: dict[str, Any] = json.loads(await self.run("stack", "output", "--json", stack=stack))
        return outputs.get("images")

    async def resources(self, stack: str, *, secrets: bool = False) -> list[dict[str, Any]]:
        """Return the resources in a stack's state, with secrets as plain text if `secrets`, else encrypted."""
        options = ["--show-secrets"] if secrets else []
        state: dict[str, Any] = json.loads(await self.run("stack", "export", *options, stack=stack))
        return (state.get("deployment") or {}).get("resources") or []

    async def last_message(self, stack: str) -> str | None:
        """Return the message of a stack's last operation if it was a successful update, else None."""
        history = json.loads(await self.run("stack", "history", "--json", "--page-size", "1", stack=stack))
        if not history or (history[0]["kind"], history[0]["result"]) != ("update", "succeeded"):
            return None
        return str(history[0]["message"])

    async def warm_up(self) -> None:
        """Start what a warm run needs, so that `deploy` waits less for it."""
        if self.warm:
            await self.warm.prepare(self.folder, pulumi_environment())

    async def deploy(
        self,
        verb: str,
        stack: str,
        message: str,
        on_event: Callable[[EngineEvent], object],
        when_killed: Callable[[], Coroutine[Any, Any, object]] | None = None,
        *,
        refresh: bool | None = None,
        replace: Iterable[str] = (),
    ) -> None:
        """Run up, preview, refresh or destroy.

        Args:
            verb: name of the command.
            stack: name of the stack.
            message: message to keep in the state.
            on_event: called with each event of the engine.
            when_killed: awaited if the command was cancelled and had to be killed, which leaves the stack locked.
            refresh: for "up": whether it reads the state of all resources first; None if the program decides.
            replace: for "up": URNs of resources to replace even if they have not changed.
        """

        def on_line(line: str) -> None:
            if event := read_event(line):
                on_event(event)

        chosen = () if refresh is None else (f"--refresh={str(refresh).lower()}",)
        replaced = (f"--replace={urn}" for urn in replace)
        options = ("--json", "--message", message, *_OPTIONS[verb], *chosen, *replaced)
        async with AsyncExitStack() as serving:

            async def end_program_and_release() -> None:
                """Do both at once: each may take a second, and a user waits for them."""
                async with together() as group:
                    group.create_task(serving.aclose())
                    if when_killed:
                        group.create_task(when_killed())

            client: tuple[str, ...] = ()
            if self.warm and verb in _RUNNING:
                client = await serving.enter_async_context(self.warm.serving(self.folder, pulumi_environment()))
            await self.run(
                verb, *options, stack=stack, client=client, on_line=on_line, when_killed=end_program_and_release
            )

    async def release(self, stack: str) -> None:
        """Release the lock that a killed `pulumi` has left."""
        await self.run("cancel", "--yes", stack=stack)

    async def run(
        self,
        *words: str,
        stack: str | None = None,
        client: Sequence[str] = (),
        on_line: Callable[[str], object] | None = None,
        when_killed: Callable[[], Awaitable[object]] | None = None,
    ) -> str:
        """Run a command and return what it prints, unless `on_line` gets that.

        Args:
            words: the command.
            stack: name of the stack.
            client: options for a warm run; errors do not show them, because they are not valid afterwards.
            on_line: see `run_pulumi`.
            when_killed: see `run_pulumi`.

        Raises:
            ProgramError: `pulumi` cannot be run.
            StackLockedError: another update has locked the stack.
            StackMissingError: the stack does not exist.
            CommandError: the command failed in another way, or took too long.
        """
        command = ["pulumi", *words, *(["--stack", stack] if stack else []), "--non-interactive"]
        line = " ".join(command)
        try:
            async with asyncio.timeout(self.seconds):
                ended = await run_pulumi(
                    [*command, *client], self.folder, on_line=on_line, grace=self.grace, when_killed=when_killed
                )
        except TimeoutError as error:
            raise CommandError(line, f"`{line}` took longer than {self.seconds:.0f} s") from error
        if ended.status == 0:
            return ended.out.decode().strip()
        reason = ended.words.partition("error: ")[2] or ended.words or f"`{line}` ended with status {ended.status}"
        if stack and any(text in reason for text in _LOCKED):
            raise locked(stack, reason, release_command(stack))
        raise (StackMissingError if "no stack named" in reason else CommandError)(line, reason)


def release_command(stack: str) -> str:
    """Return the command that releases a stack's lock."""
    return f"pulumi cancel --yes --stack {stack}"
