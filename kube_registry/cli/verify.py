"""`registryctl verify`: read all that a registry holds, and say what is damaged and what mends it."""

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from kube_registry.cli.session import UNBROKEN, RegistryName, StackName, console, judged, table
from kube_registry.cli.stack_registry import StackRegistry, deployed_images, find_registry
from kube_registry.housekeeping import verify as verification
from kube_registry.housekeeping.damage import Part
from kube_registry.housekeeping.verify import Verified
from kube_registry.kube.client import open_client
from kube_registry.kubeconfig_setting import is_contents
from kube_registry.names import IN_CLUSTER, REGISTRY, REGISTRYCTL
from kube_registry.spec.endpoints import parse_reference


@judged
async def verify(stack: StackName = None, registry: RegistryName = None) -> bool:
    """Read every manifest and blob through the read door, and check its sha256; exit status 1 if one is damaged."""
    out, of = console(width=UNBROKEN), await find_registry(stack, registry)
    references = await deployed_images(of) or {}
    async with open_client(of.settings) as kube:
        start = time.monotonic()
        with _bar() as begin:
            found = await verification.verify(kube, begin)
        took = time.monotonic() - start
        rate = decimal(int(found.size / took))
        out.print(f"{found.parts} parts, {decimal(found.size)}, read in {took:.1f} s ({rate}/s) in {kube.where}")
    if found.damage:
        out.print(_table(found))
    lines = list(_fixes(of, references, found))
    for line in lines or ["every byte is what its digest says"]:
        out.print(line)
    return not lines


@contextmanager
def _bar() -> Iterator[Callable[[int], Callable[[Part], None]]]:
    """A bar of bytes on a terminal; what it gives is told what is to be read, and that is told what was."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    there = Console(stderr=True)
    with Progress(*columns, console=there, transient=True, disable=not there.is_terminal) as progress:

        def begin(size: int) -> Callable[[Part], None]:
            task = progress.add_task("", total=size)
            return lambda part: progress.advance(task, part.size)

        yield begin


def _table(found: Verified) -> Table:
    harmed: defaultdict[tuple[str, str], dict[str, None]] = defaultdict(dict)
    for damage in found.damage:
        harmed[damage.part.name, damage.words] |= dict.fromkeys(image.name for image in found.images[damage.part])
    shown = table("damaged", "state", "images")
    for (name, words), images in harmed.items():
        shown.add_row(name, words, ", ".join(images))
    return shown


def _fixes(of: StackRegistry, references: Mapping[str, str], found: Verified) -> Iterator[str]:
    """Return the commands that repair it. The registry does not accept data that it has already, so that is removed."""
    files = dict.fromkeys(file for damage in found.damage for file in damage.files)
    if files:
        yield f"what takes it away, so that it can be pushed again, is {in_pod(of, ['rm', '-rf', *files])}"
    damaged = {image.key: image.name for damage in found.damage for image in found.images[damage.part]}
    outputs = {name: parse_reference(text) for name, text in references.items()}
    keys = {name: f"{image.repository}@{image.digest}" for name, image in outputs.items()}
    if forgotten := [references[name] for name, key in keys.items() if key not in found.known]:
        yield f"the registry does not know {', '.join(forgotten)} any more, which the stack's outputs name"
    if lacking := [name for name, key in keys.items() if key in damaged or key not in found.known]:
        yield f"what pushes again is {of.push_command(lacking)}"
    if others := [name for key, name in damaged.items() if key not in keys.values()]:
        names, collects = ", ".join(others), f"{REGISTRYCTL} gc{of.settings.where.stack_option}"
        yield f"no output of the stack names {names}: push again what is needed, or let `{collects}` take it"


def in_pod(of: StackRegistry, command: list[str]) -> str:
    """The command that runs another next to the write door; a kubeconfig of the config is in a file meanwhile.

    One in the state of another program's stack has to be written into FILE first.
    """
    settings, kubeconfig = of.settings, of.settings.kubeconfig
    if kubeconfig and is_contents(kubeconfig) and of.deployed:
        kubeconfig = "FILE"
    of_config = kubeconfig is not None and is_contents(kubeconfig)
    where = [] if settings.kube_context == IN_CLUSTER else ["--context", settings.kube_context]
    where += ["--namespace", settings.namespace]
    if kubeconfig and not of_config:
        where = ["--kubeconfig", kubeconfig, *where]
    words = ["kubectl", "exec", *where, f"deployment/{REGISTRY}", "--container", "write", "--", *command]
    if not of_config:
        return shlex.join(words)
    get = shlex.join(["pulumi", "config", "get", "kubeconfig", "--stack", of.stack])
    return f"(export KUBECONFIG=$(mktemp); {get} > $KUBECONFIG && {shlex.join(words)}; rm $KUBECONFIG)"
