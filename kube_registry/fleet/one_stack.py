"""One stack's part of a run over a fleet: its config, Pulumi's verb, its health, all within one deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from pulumi import automation

from kube_registry.concurrency import held
from kube_registry.engine.pulumi_process import GRACE_SECONDS, HeldCommand
from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.errors import RunCancelledError
from kube_registry.fleet.fingerprint import message_of
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.lock import locked
from kube_registry.fleet.outcome import Outcome, Result
from kube_registry.fleet.phases import Course, Heard, Tell, first_line
from kube_registry.fleet.stack_commands import Program, StackCommands
from kube_registry.spec.phases import Phase

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
class Errand:
    """What is done with every stack of the fleet.

    Args:
        verb: "up", "preview", "refresh" or "destroy".
        program: the program.
        program_hash: of its files.
        settled: looks whether a stack can be left alone; None where none is.
        healthy: looks after the verb; None where it does not matter.
        tell: told of everything that happens.
        began: when the run began, as time.monotonic has it.
        deadline: seconds that each stack may take.
        grace: seconds that `pulumi` may take to end once it is told to.
    """

    verb: str
    program: Program
    program_hash: str
    settled: Look | None
    healthy: Look | None
    tell: Tell
    began: float
    deadline: float
    grace: float = GRACE_SECONDS

    def clock(self) -> float:
        """Seconds since the run began."""
        return round(time.monotonic() - self.began, 3)


async def left_alone(errand: Errand, member: Member) -> Outcome | None:
    """The outcome of a stack that is right already; None if it is not, or has to be run whatever it is."""
    if errand.settled is None:
        return None
    commands = _commands(errand, member)
    heard = Heard(Course(member.name, errand.clock, errand.tell))

    def as_it_should_be() -> Member | None:
        last, known = commands.last_run(), commands.with_secrets()
        wanted = message_of(known, errand.program.folder, errand.program_hash)
        if last is None or (last.kind, last.result, last.message) != ("update", "succeeded", wanted):
            return None
        commands.configure()
        heard.images = commands.images()
        return known

    try:
        async with asyncio.timeout(errand.deadline):
            known = await held(as_it_should_be, commands.command.end)
            if known is None:
                return None
            health = await errand.settled(known, heard.images)
    except (TimeoutError, automation.CommandError, KubeRegistryError):
        return None  # its own run says what is wrong
    if health.wrong:
        heard.course.say(Phase.WAITING, f"not right any more: {health.wrong}")
        return None
    return _outcome(member, heard, Result.LEFT_ALONE, health)


async def carry_out(errand: Errand, member: Member) -> Outcome:
    """Run the verb on one stack. A deadline that is missed and a cancelled task give an outcome, too."""
    commands = _commands(errand, member)
    heard = Heard(Course(member.name, errand.clock, errand.tell))
    health = Health(None)
    try:
        async with asyncio.timeout(errand.deadline):
            known = await _run(errand, commands, heard)
            if errand.healthy:
                heard.course.say(Phase.HEALTH, "looking whether the registry runs, images are there and nodes can pull")
                health = await errand.healthy(known, heard.images)
    except TimeoutError:
        return await _cancelled(errand, commands, heard, f"after {errand.deadline:.0f} s, its deadline")
    except asyncio.CancelledError:
        return await _cancelled(errand, commands, heard, "because the whole run was told to end")
    except automation.ConcurrentUpdateError as error:
        health = Health(str(locked(member.name, str(error), commands.release_line)))
    except (automation.CommandError, KubeRegistryError) as error:
        health = Health(heard.error or _sentence(error))
    result = Result.FAILED if health.wrong else Result.SUCCEEDED if heard.changes else Result.UNCHANGED
    return _outcome(member, heard, result, health)


async def _run(errand: Errand, commands: StackCommands, heard: Heard) -> Member:
    """Run the verb; the stack with the secrets that it was run with."""
    loop, verb = asyncio.get_running_loop(), errand.verb

    def run() -> Member:
        known, message = commands.with_secrets(), f"registryctl fleet {verb}"
        if verb == "up":
            message = message_of(known, errand.program.folder, errand.program_hash)
        commands.configure()
        commands.run(verb, message, lambda event: loop.call_soon_threadsafe(heard, event))
        return known

    def create_and_run() -> Member:
        try:
            return run()
        except automation.StackNotFoundError:
            if verb in ("refresh", "destroy"):
                return commands.member  # there is nothing yet
            commands.create()
            return run()

    heard.course.say(Phase.REGISTRY, f"pulumi {verb}")
    return await held(create_and_run, commands.command.end)


async def _cancelled(errand: Errand, commands: StackCommands, heard: Heard, why: str) -> Outcome:
    doing = f"{heard.course.phase} ({heard.course.text})"
    error = RunCancelledError(verb=errand.verb, stack=commands.member.name, why=why, doing=doing)
    lock = await _lock_left(commands) if commands.command.killed else None
    return _outcome(commands.member, heard, Result.CANCELLED, Health(str(error)), lock=lock)


async def _lock_left(commands: StackCommands) -> str | None:
    """Release the lock that a killed `pulumi` has left; the command that does so, where that failed."""
    fresh = replace(commands, command=HeldCommand(commands.program.command, grace=0))
    try:
        async with asyncio.timeout(RELEASE_SECONDS):
            await held(fresh.release, fresh.command.end)
    except (TimeoutError, automation.CommandError):
        return commands.release_line
    return None


def _commands(errand: Errand, member: Member) -> StackCommands:
    return StackCommands(errand.program, member, HeldCommand(errand.program.command, errand.grace))


def _outcome(member: Member, heard: Heard, result: Result, health: Health, lock: str | None = None) -> Outcome:
    course, images, changes = heard.course, heard.images, heard.changes
    course.say(course.phase, f"{result}: {health.wrong}" if health.wrong else str(result), result)
    spans = course.spans()
    return Outcome(member.name, member.wave, result, spans, images, health.wrong, lock, changes, health.remarks)


def _sentence(error: Exception) -> str:
    """What a `pulumi` says that has told no event, or an error of ours."""
    return first_line(str(error).rpartition("error: ")[2])
