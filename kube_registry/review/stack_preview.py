"""What `pulumi up` would do with one stack, from the engine's events in a preview."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from kube_registry.engine.engine_events import EngineEvent, error_of, step_of
from kube_registry.engine.errors import CommandError
from kube_registry.engine.program import Program
from kube_registry.fleet import stack_config
from kube_registry.fleet.fleet_file import Member
from kube_registry.names import resource_name
from kube_registry.review.errors import PreviewError, PreviewTooLateError
from kube_registry.text import one_line

CREATED, CHANGED, REPLACED, DELETED, SAME = "create", "change", "replace", "delete", "keep"

_OPS = {"create": CREATED, "import": CREATED, "update": CHANGED, "replace": REPLACED, "delete": DELETED, "same": SAME}
"""The engine's operations -> ours; the two single steps of a replacement are left out."""

_OWN = "pulumi:"
"""Prefix of the types of stacks and providers, which are not in a cluster."""


@dataclass(frozen=True)
class Change:
    """What an update would do with one resource.

    Args:
        what: CREATED, CHANGED, REPLACED, DELETED or SAME.
        type: its type as Pulumi has it.
        name: its name in the stack.
        inputs: its inputs after the update; empty if it is deleted.
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
        changes: one for every resource, also for unchanged ones.
        images: name -> pull reference in the stack's current outputs.
    """

    changes: tuple[Change, ...]
    images: Mapping[str, str]


async def read_secrets(program: Program, member: Member, *, seconds: float) -> Member:
    """Return a stack of the fleet whose settings include the secrets of its own file.

    Args:
        program: the program.
        member: the stack.
        seconds: how long it may take.

    Raises:
        PreviewError: Pulumi fails.
        PreviewTooLateError: it takes longer.
        SettingsError: the settings are invalid with these secrets.
    """
    async with _translated(member, [], seconds):
        return await program.creating(member.name, lambda: stack_config.with_secrets(program, member))


async def read_preview(program: Program, member: Member, *, configure: bool, seconds: float) -> Preview:
    """Preview one stack; a stack that does not exist yet is created, empty, in Pulumi's state.

    Args:
        program: the program.
        member: the stack.
        configure: whether to write the fleet's config to the stack's config file first.
        seconds: how long it may take.

    Raises:
        PreviewError: Pulumi fails.
        PreviewTooLateError: it takes longer.
    """
    changes: list[Change] = []
    errors: list[str] = []

    def record(event: EngineEvent) -> None:
        if change := change_of(event):
            changes.append(change)
        if error := error_of(event):
            errors.append(error)

    async with _translated(member, errors, seconds):
        images = await program.creating(member.name, lambda: program.images(member.name))
        if configure:
            await stack_config.configure(program, member)
        await program.deploy("preview", member.name, "registryctl review", record)
    return Preview(tuple(changes), images or {})


@asynccontextmanager
async def _translated(member: Member, errors: Sequence[str], seconds: float) -> AsyncIterator[None]:
    """Translate errors of Pulumi in a block; `errors` are those that it has reported as events."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise PreviewTooLateError(stack=member.name, seconds=seconds) from error
    except CommandError as error:
        raise PreviewError(stack=member.name, reason=one_line(errors[0] if errors else error.reason)) from error


def change_of(event: EngineEvent) -> Change | None:
    """Return what an event reports of one resource; None if it is about none, or about a step of a replacement."""
    step = step_of(event)
    if not step or step["type"].startswith(_OWN) or step["op"] not in _OPS:
        return None
    inputs = (step.get("new") or {}).get("inputs") or {}
    fields = tuple(sorted(step.get("detailedDiff") or step.get("diffs") or ()))
    return Change(_OPS[step["op"]], step["type"], resource_name(step["urn"]), inputs, fields)
