"""One stack's part of a run over a fleet: its config, Pulumi's verb, its health, all within one deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from kube_registry.engine.errors import CommandError, StackLockedError, StackMissingError
from kube_registry.engine.program import Program, release_command
from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.errors import RunCancelledError
from kube_registry.fleet.fingerprint import message_of
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.outcome import Outcome, Result
from kube_registry.fleet.progress import Progress, Tell
from kube_registry.fleet.stack_config import configure, with_secrets
from kube_registry.spec.phases import Phase
from kube_registry.text import first_line

RELEASE_SECONDS = 10.0
"""How long the lock of a killed `pulumi` may take to be released; with GRACE_SECONDS, the longest that an end takes."""


@dataclass(frozen=True)
class Health:
    """How a stack is.

    Args:
        wrong: what is wrong, in one sentence; None if nothing is.
        remarks: what is no fault and should be known, one sentence each.
    """

    wrong: str | None
    remarks: tuple[str, ...] = ()


Look = Callable[[Member, Mapping[str, str]], Awaitable[Health]]
"""Looks how a stack is whose images are these (name -> pull reference)."""


@dataclass(frozen=True)
class StackRun:
    """What is done with each stack of the fleet.

    Args:
        verb: "up", "refresh" or "destroy".
        program: the program.
        program_hash: of its files.
        settled: looks whether a stack can be skipped; None for other verbs than "up".
        healthy: looks after an update; None for other verbs.
        tell: called with everything that happens.
        began: when the run began, as time.monotonic has it.
        deadline: seconds that each stack may take.
    """

    verb: str
    program: Program
    program_hash: str
    settled: Look | None
    healthy: Look | None
    tell: Tell
    began: float
    deadline: float

    def clock(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.began, 3)

    async def message(self, known: Member) -> str:
        """The message that the verb leaves in the state of a stack, whose settings have their secrets."""
        if self.verb != "up":
            return f"registryctl fleet {self.verb}"
        return await asyncio.to_thread(message_of, known, self.program.folder, self.program_hash)


async def skip_if_current(run: StackRun, member: Member) -> Outcome | None:
    """The outcome of a stack that is right already; None if it is not, or has to be run in any case."""
    if run.settled is None:
        return None
    program, progress = run.program, Progress(member.name, run.clock, run.tell)
    try:
        async with asyncio.timeout(run.deadline):
            last, known = await program.last_message(member.name), await with_secrets(program, member)
            if last != await run.message(known):
                return None
            await configure(program, member)
            progress.images = await program.images(member.name) or {}
            health = await run.settled(known, progress.images)
    except (TimeoutError, CommandError, KubeRegistryError):
        return None  # its own run says what is wrong
    if health.wrong:
        progress.say(Phase.WAITING, f"not right any more: {health.wrong}")
        return None
    return _outcome(member, progress, Result.LEFT_ALONE, health)


async def run_stack(run: StackRun, member: Member) -> Outcome:
    """Run the verb on one stack. A deadline that is missed and a cancelled task give an outcome, too."""
    progress = Progress(member.name, run.clock, run.tell)
    try:
        async with asyncio.timeout(run.deadline):
            health = await _deploy_and_look(run, member, progress)
    except TimeoutError:
        return _cancelled(run, member, progress, f"after {run.deadline:.0f} s, its deadline")
    except asyncio.CancelledError:
        return _cancelled(run, member, progress, "because the whole run was told to end")
    except (CommandError, KubeRegistryError) as error:
        of_event = None if isinstance(error, StackLockedError) else progress.error
        health = Health(of_event or first_line(str(error)))
    result = Result.FAILED if health.wrong else Result.SUCCEEDED if progress.changes else Result.UNCHANGED
    return _outcome(member, progress, result, health)


async def _deploy_and_look(run: StackRun, member: Member, progress: Progress) -> Health:
    progress.say(Phase.REGISTRY, f"pulumi {run.verb}")
    if not run.healthy:
        with suppress(StackMissingError):  # there is nothing yet
            await _deploy(run, member, progress)
        return Health(None)
    known = await run.program.creating(member.name, lambda: _deploy(run, member, progress))
    progress.say(Phase.HEALTH, "looking whether the registry runs, images are there and nodes can pull")
    return await run.healthy(known, progress.images)


async def _deploy(run: StackRun, member: Member, progress: Progress) -> Member:
    """Configure the stack and run the verb; the stack with the secrets that it was run with."""
    known = await with_secrets(run.program, member)
    message = await run.message(known)
    await configure(run.program, member)

    async def release() -> None:
        try:
            await replace(run.program, seconds=RELEASE_SECONDS, grace=0).release(member.name)
        except (CommandError, KubeRegistryError):
            progress.lock = release_command(member.name)

    await run.program.deploy(run.verb, member.name, message, progress.hear, release)
    return known


def _cancelled(run: StackRun, member: Member, progress: Progress, why: str) -> Outcome:
    doing = f"{progress.phase} ({progress.text})"
    error = RunCancelledError(verb=run.verb, stack=member.name, why=why, doing=doing)
    return _outcome(member, progress, Result.CANCELLED, Health(str(error)))


def _outcome(member: Member, progress: Progress, result: Result, health: Health) -> Outcome:
    progress.say(progress.phase, f"{result}: {health.wrong}" if health.wrong else str(result), result)
    return Outcome(
        member.name,
        member.wave,
        result,
        progress.spans(),
        progress.images,
        health.wrong,
        progress.lock,
        progress.changes,
        health.remarks,
    )
