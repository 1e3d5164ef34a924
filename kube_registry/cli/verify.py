"""`registryctl verify`: read everything that a registry stores, and list what is damaged and how to fix it."""

import shlex
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn
from rich.table import Table

from kube_registry.cli.session import UNBROKEN, RegistryName, StackName, console, exit_by_result, table
from kube_registry.cli.stack_registry import StackRegistry, deployed_images, find_registry
from kube_registry.housekeeping import verify as verification
from kube_registry.housekeeping.damage import Part
from kube_registry.housekeeping.verify import Verified
from kube_registry.kube.client import open_client
from kube_registry.kubeconfig_setting import is_contents
from kube_registry.names import IN_CLUSTER, REGISTRY, REGISTRYCTL
from kube_registry.spec.endpoints import parse_reference
from kube_registry.text import add_fix, counted


@exit_by_result
async def verify(stack: StackName = None, registry: RegistryName = None) -> bool:
    """Read every manifest and blob and check its sha256; exit status 1 if one is damaged."""
    out, target = console(width=UNBROKEN), await find_registry(stack, registry)
    references = await deployed_images(target) or {}
    async with open_client(target.settings) as kube:
        start = time.monotonic()
        with _bar() as begin:
            outputs = map(parse_reference, references.values())
            named = {(image.repository, str(image.digest)) for image in outputs}
            found = await verification.verify(kube, begin, s3=target.settings.s3, named=named)
        took = time.monotonic() - start
        rate = decimal(int(found.size / took))
        parts = counted(found.parts, "part")
        out.print(f"{parts}, {decimal(found.size)}, read in {took:.1f} s ({rate}/s) in {kube.where}")
    if found.damage:
        out.print(_table(found))
    lines = list(_fixes(target, references, found))
    for line in lines or ["all content matches its digests"]:
        out.print(line)
    return not lines


@contextmanager
def _bar() -> Iterator[Callable[[int], Callable[[Part], None]]]:
    """Show a progress bar on a terminal.

    Yields:
        A function that takes the number of bytes to read, and returns a function to call with each part that was read.
    """
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


def _fixes(target: StackRegistry, references: Mapping[str, str], found: Verified) -> Iterator[str]:
    """Yield the fixes. Damaged files are removed first: the registry does not store again what it already has."""
    files = dict.fromkeys(file for damage in found.damage for file in damage.files)
    s3 = target.settings.s3
    if files and s3:
        yield f"Fix: delete these objects from the bucket {s3.bucket} first, if they exist: {', '.join(files)}"
    elif files:
        yield f"Fix: remove the damaged files first: `{in_pod(target, ['rm', '-rf', *files])}`"
    damaged = {image.key: image.name for damage in found.damage for image in found.images[damage.part]}
    outputs = {name: parse_reference(text) for name, text in references.items()}
    keys = {name: f"{image.repository}@{image.digest}" for name, image in outputs.items()}
    if forgotten := [references[name] for name, key in keys.items() if key not in found.known]:
        yield f"the registry no longer has {', '.join(forgotten)}, which the stack's outputs name"
    if lacking := [name for name, key in keys.items() if key in damaged or key not in found.known]:
        yield f"Fix: push again: `{target.push_command(lacking)}`"
    if others := [name for key, name in damaged.items() if key not in keys.values()]:
        names, collects = ", ".join(others), f"{REGISTRYCTL} gc{target.settings.where.stack_option}"
        how = "as docs/bucket.md describes" if s3 else f"with `{collects}`"
        fix = f"push again what you need, or remove it {how}"
        yield add_fix(f"no output of the stack names {names}", fix)


def in_pod(target: StackRegistry, command: list[str]) -> str:
    """Return the command that runs another one in the pod.

    A kubeconfig in the stack's config goes to a temporary file. One in the state of another program's stack has to be
    written to FILE first.
    """
    settings, kubeconfig = target.settings, target.settings.kubeconfig
    if kubeconfig and is_contents(kubeconfig) and target.deployed:
        kubeconfig = "FILE"
    in_config = kubeconfig is not None and is_contents(kubeconfig)
    where = [] if settings.kube_context == IN_CLUSTER else ["--context", settings.kube_context]
    where += ["--namespace", settings.namespace]
    if kubeconfig and not in_config:
        where = ["--kubeconfig", kubeconfig, *where]
    words = ["kubectl", "exec", *where, f"deployment/{REGISTRY}", "--container", "write", "--", *command]
    if not in_config:
        return shlex.join(words)
    get = shlex.join(["pulumi", "config", "get", "kubeconfig", "--stack", target.stack])
    return f"(export KUBECONFIG=$(mktemp); {get} > $KUBECONFIG && {shlex.join(words)}; rm $KUBECONFIG)"
