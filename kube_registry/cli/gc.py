"""`registryctl gc`: free the room of images that nobody uses, shown first, while pulls go on."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import Annotated

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from kube_registry.cli.images import image_table, remarks, stack_uses
from kube_registry.cli.session import UNBROKEN, RegistryName, StackName, console, run
from kube_registry.cli.stack_registry import StackRegistry, deployed_namespaces, find_registry
from kube_registry.errors import Where
from kube_registry.housekeeping.errors import OtherStackError, UsesUnknownError
from kube_registry.housekeeping.gc import collect
from kube_registry.housekeeping.gc_plan import Keep, Plan, plan_gc
from kube_registry.housekeeping.inventory import Inventory, take_inventory, unique_bytes
from kube_registry.housekeeping.kinds import FORBIDDEN
from kube_registry.housekeeping.protection import Protection, protections
from kube_registry.housekeeping.usage import Use
from kube_registry.kube.client import open_client
from kube_registry.names import REGISTRYCTL

NEWEST = 3
"""How many tagged images of a repository stay, whoever uses them: what somebody may want to go back to."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def gc(
    stack: StackName = None,
    keep: Annotated[  # at least one: an update has pushed it, perhaps, and is about to put it out
        int, typer.Option(help="How many of the newest tagged images of a repository stay all the same.", min=1)
    ] = NEWEST,
    *,
    older_than: Annotated[str, typer.Option(help="Only what was pushed longer ago, as 90m, 12h, 7d or 2w.")] = "0m",
    protect: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Images that stay: app, app:v1, team/*; repeatable.")
    ] = None,
    helm: Annotated[
        bool, typer.Option("--helm", help="Read Helm's releases too, which are Secrets, in all namespaces.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    registry: RegistryName = None,
) -> None:
    """Remove images that nobody uses, and free their room on the volume."""
    given = [protections(each, "--protect") for each in protect or ()]
    if not all(given):
        raise typer.BadParameter("--protect takes a pattern.")
    asked = _Asked(Keep(keep, duration(older_than)), tuple(chain.from_iterable(given)), helm)
    out, seen = console(width=UNBROKEN), run(_look(stack, registry, asked))
    if seen is None:  # told to end
        raise typer.Exit(1)
    for line in _going(seen):
        out.print(line)
    if dry_run or not seen.plan.frees:
        return
    silent = tuple(str(each) for each in seen.inventory.unlisted if each.reason != FORBIDDEN)
    if yes and silent:
        raise UsesUnknownError(where=seen.where, kinds=silent)
    if not yes:
        typer.confirm(f"Remove them from the registry of {seen.of.stack}?", abort=True, err=True)
    told = run(_collect(out, seen, asked))
    again = f"{REGISTRYCTL} gc{seen.where.stack_option}"
    out.print(told or f"broken off; nothing that is used was touched. Fix: `{again}` finishes it")
    if told is None:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Asked:
    """What a person wants to stay."""

    rule: Keep
    protect: tuple[Protection, ...]
    helm: bool


@dataclass(frozen=True)
class _Seen:
    """A registry as it was before anybody was asked."""

    where: Where
    of: StackRegistry
    outputs: list[Use]
    inventory: Inventory
    plan: Plan


def duration(text: str) -> timedelta:
    """A time as people write it.

    Args:
        text: a number and m, h, d or w.

    Raises:
        typer.BadParameter: it is something else.
    """
    found = re.fullmatch(r"(?P<number>\d{1,6})(?P<unit>[mhdw])", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is no time; write it as 90m, 12h, 7d or 2w.")
    return timedelta(**{_UNITS[found["unit"]]: int(found["number"])})


def _going(seen: _Seen) -> Iterator[str | Table]:
    """What a person sees before they are asked: what is not known, what would go, and how much that frees."""
    yield from remarks(seen.inventory)
    going, images = seen.plan.doomed, seen.inventory.images
    if not seen.plan.frees:
        yield f"nothing goes: all {len(images)} images are in use or kept"
        return
    if going:
        yield image_table(going, unique_bytes(images))
    freed = decimal(sum(seen.plan.freed.values()))
    yield f"{len(going)} images go and {freed}; {len(images) - len(going)} images stay"


async def _look(stack: str | None, registry: str | None, asked: _Asked) -> _Seen:
    of = await find_registry(stack, registry)
    outputs = await stack_uses(of)
    owned = await deployed_namespaces(of)
    async with open_client(of.settings) as kube:
        if kube.where.namespace not in owned:
            raise OtherStackError(where=kube.where, asked=of.stack)
        found = await take_inventory(kube, outputs, protect=asked.protect, helm=asked.helm)
        return _Seen(kube.where, of, outputs, found, plan_gc(kube.where, found, asked.rule))


async def _collect(out: Console, seen: _Seen, asked: _Asked) -> str:
    async with open_client(seen.of.settings) as kube:
        done = await collect(
            kube,
            seen.outputs,
            asked.rule,
            seen.plan,
            out.print,
            protect=asked.protect,
            helm=asked.helm,
            unlisted=seen.inventory.unlisted,
        )
        return (
            f"{len(done.images)} images are gone, {decimal(done.freed)} were freed on the volume, "
            f"{decimal(done.free)} are free in {kube.where}"
        )
