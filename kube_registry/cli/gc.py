"""`registryctl gc`: show the images that nothing uses, then remove them and free their space, while pulls continue."""

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
from kube_registry.cli.stack_registry import StackRegistry, deployed_namespaces, find_registry, prove_volume
from kube_registry.errors import Where
from kube_registry.housekeeping.errors import OtherStackError, UsesUnknownError
from kube_registry.housekeeping.gc import collect
from kube_registry.housekeeping.gc_plan import Keep, Plan, plan_gc
from kube_registry.housekeeping.inventory import Inventory, take_inventory, unique_bytes
from kube_registry.housekeeping.kinds import FORBIDDEN
from kube_registry.housekeeping.last_collection import record_collection
from kube_registry.housekeeping.protection import Protection, protections
from kube_registry.housekeeping.usage import Use
from kube_registry.kube.client import open_client
from kube_registry.names import REGISTRYCTL
from kube_registry.text import add_fix, counted, for_stream

NEWEST = 3
"""How many tagged images of each repository are kept even if unused: a person may want to go back to one of them."""

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def gc(
    stack: StackName = None,
    keep: Annotated[  # at least one: an update may have pushed it and not yet written it to the stack's outputs
        int, typer.Option(help="Newest tagged images to keep per repository, even if unused.", min=1)
    ] = NEWEST,
    *,
    older_than: Annotated[
        str, typer.Option(help="Keep images that were pushed within this time: 90m, 12h, 7d or 2w.")
    ] = "0m",
    protect: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Images to keep: app, app:v1, team/*; repeatable.")
    ] = None,
    helm: Annotated[
        bool, typer.Option("--helm", help="Also read Helm releases, which are Secrets, in all namespaces.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
    registry: RegistryName = None,
) -> None:
    """Remove unused images, and free their space on the volume."""
    given = [protections(each, "--protect") for each in protect or ()]
    if not all(given):
        raise typer.BadParameter("--protect must not be empty.")
    options = _Options(Keep(keep, duration(older_than)), tuple(chain.from_iterable(given)), helm)
    out, seen = console(width=UNBROKEN), run(_look(stack, registry, options))
    if seen is None:  # interrupted
        raise typer.Exit(1)
    for line in _going(seen):
        out.print(line)
    if dry_run:
        return
    if not seen.plan.frees:
        run(_record(seen))
        return
    _confirm(seen, yes=yes)
    result = run(_collect(out, seen, options))
    again = f"finish it with `{REGISTRYCTL} gc{seen.where.stack_option}`"
    out.print(result or for_stream(add_fix("interrupted; no image in use was removed", again), out.file))
    if result is None:
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Options:
    """What the user wants to keep."""

    rule: Keep
    protect: tuple[Protection, ...]
    helm: bool


@dataclass(frozen=True)
class _Seen:
    """A registry as it was before the confirmation."""

    where: Where
    target: StackRegistry
    outputs: list[Use]
    inventory: Inventory
    plan: Plan


def duration(text: str) -> timedelta:
    """Parse a duration.

    Args:
        text: a number and m, h, d or w.

    Raises:
        typer.BadParameter: the text is something else.
    """
    found = re.fullmatch(r"(?P<number>\d{1,6})(?P<unit>[mhdw])", text)
    if not found:
        raise typer.BadParameter(f"{text!r} is not a duration. Write it as 90m, 12h, 7d or 2w.")
    return timedelta(**{_UNITS[found["unit"]]: int(found["number"])})


def _confirm(seen: _Seen, *, yes: bool) -> None:
    """Ask for confirmation, unless `yes`; then an API that did not respond is an error."""
    silent = tuple(str(each) for each in seen.inventory.unlisted if each.reason != FORBIDDEN)
    if yes and silent:
        raise UsesUnknownError(where=seen.where, kinds=silent)
    if not yes:
        typer.confirm(f"Remove them from the registry of {seen.target.stack}?", abort=True, err=True)


def _going(seen: _Seen) -> Iterator[str | Table]:
    """Yield what to show before the confirmation: what is unknown, what would be removed, how much that frees."""
    yield from remarks(seen.inventory)
    going, images = seen.plan.doomed, seen.inventory.images
    if not seen.plan.frees:
        yield f"nothing to remove: all {len(images)} images are in use or kept"
        return
    if going:
        yield image_table(going, unique_bytes(images))
    freed = decimal(sum(seen.plan.freed.values()))
    left = len(images) - len(going)
    yield f"{counted(len(going), 'image')} to remove, {freed} to free, {counted(left, 'image')} to keep"


async def _look(stack: str | None, registry: str | None, options: _Options) -> _Seen:
    target = await find_registry(stack, registry)
    prove_volume(target, "gc")
    outputs = await stack_uses(target)
    owned = await deployed_namespaces(target)
    async with open_client(target.settings) as kube:
        if kube.where.namespace not in owned:
            raise OtherStackError(where=kube.where, asked=target.stack)
        found = await take_inventory(kube, outputs, protect=options.protect, helm=options.helm)
        return _Seen(kube.where, target, outputs, found, plan_gc(kube.where, found, options.rule))


async def _record(seen: _Seen) -> None:
    """Store that a collection has ended: it had nothing to remove."""
    async with open_client(seen.target.settings) as kube:
        await record_collection(kube)


async def _collect(out: Console, seen: _Seen, options: _Options) -> str:
    async with open_client(seen.target.settings) as kube:
        done = await collect(
            kube,
            seen.outputs,
            options.rule,
            seen.plan,
            out.print,
            protect=options.protect,
            helm=options.helm,
            unlisted=seen.inventory.unlisted,
        )
        return (
            f"removed {counted(len(done.images), 'image')} and freed {decimal(done.freed)}; "
            f"{decimal(done.free)} are free on the volume in {kube.where}"
        )
