"""The run of one stack of a fleet: its config, the Pulumi command, its health, all within one deadline."""

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
from kube_registry.fleet.progress import OnEvent, Progress
from kube_registry.fleet.stack_config import configure, with_secrets
from kube_registry.spec.phases import Phase
from kube_registry.text import first_line

RELEASE_SECONDS = 10.0
"""How long releasing the lock of a killed `pulumi` may take; a cancellation takes at most this plus GRACE_SECONDS."""


@dataclass(frozen=True)
class Health:
    """The health of a stack.

    Args:
        wrong: what is wrong, in one sentence; None if nothing is.
        remarks: what the user should know although it is not a fault, one sentence each.
    """

    wrong: str | None
    remarks: tuple[str, ...] = ()


HealthCheck = Callable[[Member, Mapping[str, str]], Awaitable[Health]]
"""Checks a stack with its images (name -> pull reference)."""


@dataclass(frozen=True)
class StackRun:
    """How each stack of the fleet is run.

    Args:
        verb: "up", "refresh" or "destroy".
        program: the program.
        program_hash: hash of its files.
        settled: checks whether a stack can be skipped; None for other verbs than "up".
        healthy: checks a stack after its update; None for other verbs than "up".
        on_event: called with every event.
        began: when the run began, from time.monotonic.
        deadline: seconds that each stack may take.
    """

    verb: str
    program: Program
    program_hash: str
    settled: HealthCheck | None
    healthy: HealthCheck | None
    on_event: OnEvent
    began: float
    deadline: float

    def clock(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.began, 3)

    async def message(self, known: Member) -> str:
        """Return the message that the verb leaves in a stack's state; the settings of `known` include its secrets."""
        if self.verb != "up":
            return f"registryctl fleet {self.verb}"
        return await asyncio.to_thread(message_of, known, self.program.folder, self.program_hash)


async def skip_if_current(run: StackRun, member: Member) -> Outcome | None:
    """Return the outcome of a stack that is up to date and healthy; None if it has to be run."""
    if run.settled is None:
        return None
    program, progress = run.program, Progress(member.name, run.clock, run.on_event)
    try:
        async with asyncio.timeout(run.deadline):
            last, known = await program.last_message(member.name), await with_secrets(program, member)
            if last != await run.message(known):
                return None
            await configure(program, member)
            progress.images = await program.images(member.name) or {}
            health = await run.settled(known, progress.images)
    except (TimeoutError, CommandError, KubeRegistryError):
        return None  # its run reports the error
    if health.wrong:
        progress.report(Phase.WAITING, f"not healthy any more: {health.wrong}")
        return None
    return _outcome(member, progress, Result.LEFT_ALONE, health)


async def run_stack(run: StackRun, member: Member, on_updated: Callable[[], None]) -> Outcome:
    """Run the verb on one stack. A missed deadline or a cancelled task gives an outcome, too.

    Args:
        run: how it is run.
        member: the stack.
        on_updated: called once the update has succeeded; the health of the stack is not known yet.
    """
    progress = Progress(member.name, run.clock, run.on_event)
    try:
        async with asyncio.timeout(run.deadline):
            health = await _deploy_and_check(run, member, progress, on_updated)
    except TimeoutError:
        return _cancelled(run, member, progress, f"after {run.deadline:.0f} s, its deadline")
    except asyncio.CancelledError:
        return _cancelled(run, member, progress, "because the whole run was interrupted")
    except (CommandError, KubeRegistryError) as error:
        reported = None if isinstance(error, StackLockedError) else progress.error
        health = Health(reported or first_line(str(error)))
    result = Result.FAILED if health.wrong else Result.SUCCEEDED if progress.changes else Result.UNCHANGED
    return _outcome(member, progress, result, health)


async def _deploy_and_check(
    run: StackRun, member: Member, progress: Progress, on_updated: Callable[[], None]
) -> Health:
    progress.report(Phase.REGISTRY, f"pulumi {run.verb}")
    if not run.healthy:
        with suppress(StackMissingError):  # it was never deployed
            await _deploy(run, member, progress)
        return Health(None)
    await run.program.warm_up()
    known = await run.program.creating(member.name, lambda: _deploy(run, member, progress))
    on_updated()
    progress.report(Phase.HEALTH, "checking the registry, its images and the nodes")
    return await run.healthy(known, progress.images)


async def _deploy(run: StackRun, member: Member, progress: Progress) -> Member:
    """Configure the stack and run the verb; return the stack with the secrets that it was run with."""
    known = await with_secrets(run.program, member)
    message = await run.message(known)
    await configure(run.program, member)

    async def release() -> None:
        try:
            await replace(run.program, seconds=RELEASE_SECONDS, grace=0).release(member.name)
        except (CommandError, KubeRegistryError):
            progress.lock = release_command(member.name)

    await run.program.deploy(run.verb, member.name, message, progress.record, release)
    return known


def _cancelled(run: StackRun, member: Member, progress: Progress, why: str) -> Outcome:
    doing = f"{progress.phase} ({progress.text})"
    error = RunCancelledError(verb=run.verb, stack=member.name, why=why, doing=doing)
    return _outcome(member, progress, Result.CANCELLED, Health(str(error)))


def _outcome(member: Member, progress: Progress, result: Result, health: Health) -> Outcome:
    progress.report(progress.phase, f"{result}: {health.wrong}" if health.wrong else str(result), result)
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
