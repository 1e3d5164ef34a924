"""`registryctl images`: the images of a registry, their sizes, and what uses them."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

import typer
from rich.filesize import decimal
from rich.table import Column, Table

from kube_registry.cli.session import UNBROKEN, RegistryName, StackName, console, exit_by_result, table
from kube_registry.cli.stack_registry import StackRegistry, deployed_images, find_registry, prove_volume
from kube_registry.housekeeping.inventory import Image, Inventory, take_inventory, unique_bytes
from kube_registry.housekeeping.kinds import FORBIDDEN
from kube_registry.housekeeping.usage import Use, output_uses
from kube_registry.kube.client import open_client
from kube_registry.text import counted, first_of

LISTED = 2
"""How many workloads or nodes a row lists; --json lists all."""

GRANT = "kubectl apply --filename docs/rbac/uses.yaml"
"""Grants the permissions to list objects other than workloads, which may name images, too."""

DIGEST_LETTERS = 19
"""Characters of a digest in the table; other tools shorten it to as many."""


@exit_by_result  # or a script would take an interrupted list for an empty registry
async def images(
    stack: StackName = None,
    registry: RegistryName = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as one JSON object.")] = False,
) -> bool:
    """List the images of a registry: size, age, and the workloads and nodes that use them."""
    out, target = console(width=UNBROKEN), await find_registry(stack, registry)
    prove_volume(target, "images")
    outputs = await stack_uses(target)
    async with open_client(target.settings) as kube:
        seen = await take_inventory(kube, outputs)
    if as_json:
        typer.echo(json.dumps(as_object(seen), indent=2))
        return True
    if seen.images:
        out.print(image_table(seen.images, unique_bytes(seen.images)))
    for line in (*remarks(seen), f"{totals(seen)} in {kube.where}"):
        out.print(line)
    return True


async def stack_uses(target: StackRegistry) -> list[Use]:
    """Return the images in the outputs of a registry's stack as uses, whether or not a workload runs them."""
    return output_uses(target.stack, await deployed_images(target) or {})


def image_table(images: Iterable[Image], unique: Mapping[str, int]) -> Table:
    """Return a table with a row for each image.

    Args:
        images: in the order of the rows.
        unique: `unique_bytes` of all images of the registry.
    """
    numbers = (Column(title, justify="right") for title in ("bytes", "unique"))
    shown = table("image", "digest", "platform", *numbers, "pushed", "in use by", "nodes")
    for image in images:
        shown.add_row(
            image.name,
            image.digest[:DIGEST_LETTERS],
            ", ".join(image.platforms),
            decimal(image.size),
            decimal(unique[image.key]),
            f"{image.pushed.astimezone():%Y-%m-%d %H:%M}",
            first_of(image.users, LISTED),
            first_of(image.nodes, LISTED),
        )
    return shown


def remarks(seen: Inventory) -> Iterator[str]:
    """Yield the patterns that protect nothing, the kinds of objects that were not checked, and the fix."""
    yield from (f"{each.title} matches no image" for each in seen.idle)
    reasons: defaultdict[str, list[str]] = defaultdict(list)
    for each in seen.unlisted:
        reasons[each.reason].append(each.resource)
    for reason, resources in sorted(reasons.items()):
        listed = ", ".join(sorted(resources))
        yield f"not checked ({reason}), so an image that only these objects name counts as unused: {listed}"
    if FORBIDDEN in reasons:
        yield f"Fix: `{GRANT}` with your custom resources added to it, or keep images with `--protect PATTERN`"


def totals(seen: Inventory) -> str:
    """Return how many images there are, their size, and the free space."""
    stored = sum(seen.storage.blobs.values())
    images, free = counted(len(seen.images), "image"), decimal(seen.storage.room.free)
    return f"{images}, {decimal(stored)} stored, {free} free on the volume"


def as_object(seen: Inventory) -> dict[str, object]:
    """Return the inventory as a JSON object for programs; sizes are in bytes."""
    unique = unique_bytes(seen.images)
    return {
        "images": [
            {
                "repository": image.repository,
                "tags": list(image.tags),
                "digest": image.digest,
                "platforms": list(image.platforms),
                "bytes": image.size,
                "uniqueBytes": unique[image.key],
                "sharedBytes": image.size - unique[image.key],
                "pushed": image.pushed.isoformat(),
                "users": list(image.users),
                "nodes": list(image.nodes),
            }
            for image in seen.images
        ],
        "notLookedAt": {each.resource: each.reason for each in seen.unlisted},
        "storedBytes": sum(seen.storage.blobs.values()),
        "usedBytes": seen.storage.room.used,
        "freeBytes": seen.storage.room.free,
    }
