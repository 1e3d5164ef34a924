"""What `pulumi up` would do with one stack, as the engine tells it in a preview."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pulumi import automation

from kube_registry.concurrency import held
from kube_registry.engine.pulumi_process import HeldCommand
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.phases import error_of
from kube_registry.fleet.stack_commands import Program, StackCommands
from kube_registry.review.errors import PreviewError, PreviewTooLateError

_T = TypeVar("_T")

CREATED, CHANGED, REPLACED, DELETED, SAME = "create", "change", "replace", "delete", "keep"

_OPS = {"create": CREATED, "import": CREATED, "update": CHANGED, "replace": REPLACED, "delete": DELETED, "same": SAME}
"""The engine's operations -> ours; the two steps that a replacement is made of are no news beside it."""

_OWN = "pulumi:"
"""How the types of stacks and providers begin, which are nothing in a cluster."""

_MESSAGE = "registryctl review"


@dataclass(frozen=True)
class Change:
    """What would become of one resource.

    Args:
        what: CREATED, CHANGED, REPLACED, DELETED or SAME.
        type: its type as Pulumi has it.
        name: its name in the stack.
        inputs: those that it would have; none if it is deleted.
        fields: property paths that change.
    """

    what: str
    type: str
    name: str
    inputs: Mapping[str, Any]
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """What an update of one stack would do.

    Args:
        changes: every resource of it, the unchanged ones too.
        images: name -> pull reference that the stack has put out so far.
    """

    changes: tuple[Change, ...]
    images: Mapping[str, str]


async def read_secrets(program: Program, member: Member, *, seconds: float) -> Member:
    """A stack of the fleet, its settings with the secrets that only its own file has.

    Args:
        program: the program.
        member: the stack.
        seconds: how long it may take.

    Raises:
        PreviewError: Pulumi fails.
        PreviewTooLateError: it takes longer.
        SettingsError: with them, its settings are not right.
    """
    commands = StackCommands(program, member, HeldCommand(program.command))

    def ask() -> Member:
        try:
            return commands.with_secrets()
        except automation.StackNotFoundError:
            commands.create()
            return commands.with_secrets()

    return await _answered(commands, ask, [], seconds)


async def read_preview(program: Program, member: Member, *, configure: bool, seconds: float) -> Preview:
    """Have Pulumi preview one stack; a stack that does not exist yet is made, empty, in Pulumi's state.

    Args:
        program: the program.
        member: the stack.
        configure: whether the stack's config is first brought to what the fleet says.
        seconds: how long it may take.

    Raises:
        PreviewError: Pulumi fails.
        PreviewTooLateError: it takes longer.
    """
    commands = StackCommands(program, member, HeldCommand(program.command))
    changes: list[Change] = []
    errors: list[str] = []

    def hear(event: automation.EngineEvent) -> None:
        if change := change_of(event):
            changes.append(change)
        if error := error_of(event):
            errors.append(error)

    def ask() -> Preview:
        if configure:
            commands.configure()
        try:
            images = commands.images()
        except automation.StackNotFoundError:
            commands.create()
            images = {}
        commands.run("preview", _MESSAGE, hear)
        return Preview(tuple(changes), images)

    return await _answered(commands, ask, errors, seconds)


async def _answered(commands: StackCommands, ask: Callable[[], _T], errors: Sequence[str], seconds: float) -> _T:
    """What Pulumi answers; `errors` are those that it has reported as events when it fails."""
    name = commands.member.name
    try:
        async with asyncio.timeout(seconds):
            return await held(ask, commands.command.end)
    except TimeoutError as error:
        raise PreviewTooLateError(stack=name, seconds=seconds) from error
    except automation.CommandError as error:
        reason = errors[0] if errors else str(error).rpartition("error: ")[2]
        raise PreviewError(stack=name, reason=" ".join(reason.split())) from error


def change_of(event: automation.EngineEvent) -> Change | None:
    """What an event tells of one resource; None if it is about none, or about a part of something told elsewhere."""
    step = event.resource_pre_event and event.resource_pre_event.metadata
    if not step or step.type.startswith(_OWN) or step.op.value not in _OPS:
        return None
    new = step.new.inputs if step.new else {}
    fields = tuple(sorted(step.detailed_diff or step.diffs or ()))
    return Change(_OPS[step.op.value], step.type, step.urn.rpartition("::")[2], new or {}, fields)
