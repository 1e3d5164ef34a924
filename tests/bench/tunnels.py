"""The table of port-forwards: how fast the same bytes go through ours, kubectl's, kr8s's and none, and at what cost.

All stand open at once, each a process of its own, and take turns within each repetition, so that whatever the machine
does meets all of them.
"""

import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from time import monotonic

from lab import cluster, docker_engine
from lab.errors import LabError
from lab.progress import Progress
from lab.spec import ClusterSpec
from tests.bench import forwarders
from tests.bench.forwarders import Forwarder, Way
from tests.bench.places import CLUSTER, PUSH_PORT, SITE
from tests.bench.registry import deploy, pod_of, settings_for
from tests.bench.transfers import Blob, get, load_image, push_image, put, put_at_once, remove_image

SIZE = 200_000_000
"""Bytes of every transfer."""

AT_ONCE = 4
"""Connections of the upload that uses some at once."""

LAYERS = 5

FIRST_PORT = PUSH_PORT - 10


@dataclass(frozen=True)
class Sample:
    """One transfer through one port-forward.

    Attributes:
        seconds: how long it took.
        cpu_seconds: what the port-forward's process used of the processors.
    """

    seconds: float
    cpu_seconds: float


@dataclass(frozen=True)
class Transfer:
    """Something that is sent through every port-forward.

    Attributes:
        what: what the table calls it.
        prepare: makes what is sent, untimed, and returns what sends it through the port that it is given.
    """

    what: str
    prepare: Callable[[int], Callable[[], None]]


@dataclass
class Results:
    """The samples of each transfer through each port-forward, and how many failed."""

    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    failures: dict[tuple[str, str], int] = field(default_factory=dict)


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """The lines of the table; the first is its head."""
    results, steps = Results(), progress.steps(repetitions)
    with one_node(progress) as (spec, docker_host):
        ways = _ways(spec)
        with ExitStack() as opened:
            log = spec.log("bench.forwarders")
            there = [(way.name, opened.enter_context(forwarders.running(way, log))) for way in ways]
            transfers = _transfers(docker_host, there[0][1].port)
            for number in range(repetitions):
                turn = number % len(there)
                with steps.step("port-forwards", "measuring"):
                    for transfer in transfers:
                        for name, forwarder in there[turn:] + there[:turn]:
                            take(results, transfer, name, forwarder)
    return _lines(results, [transfer.what for transfer in transfers], [way.name for way in ways], repetitions)


@contextmanager
def one_node(progress: Progress) -> Iterator[tuple[ClusterSpec, str]]:
    """A cluster of one node with a registry, and the address of a Docker engine."""
    cluster.down(CLUSTER)
    try:
        engine = docker_engine.up(progress, SITE)
        cluster.up(CLUSTER, nodes=1, report=progress)
        spec = cluster.known(CLUSTER)
        deploy(spec, settings_for(spec, PUSH_PORT))
        yield spec, engine.host
    finally:
        cluster.down(CLUSTER)
        docker_engine.down(progress, SITE)


def _ways(spec: ClusterSpec) -> list[Way]:
    settings = settings_for(spec, PUSH_PORT)
    pod = pod_of(spec, settings)
    name = pod["metadata"]["name"]
    return [
        forwarders.ours(spec, FIRST_PORT),
        forwarders.kubectl(spec, settings, name, FIRST_PORT + 1),
        forwarders.kr8s(spec, settings, name, FIRST_PORT + 2),
        forwarders.direct(pod, FIRST_PORT + 3),
    ]


def _transfers(docker_host: str, port: int) -> list[Transfer]:
    """What is sent; the blob that is downloaded goes to the registry through that port."""
    whole = Blob.random(SIZE)
    parts = [Blob.random(SIZE // AT_ONCE) for _ in range(AT_ONCE)]
    put(port, whole)

    def docker_push(port: int) -> Callable[[], None]:
        name = f"localhost:{port}/bench:{os.urandom(4).hex()}"
        load_image(docker_host, name, [os.urandom(SIZE // LAYERS) for _ in range(LAYERS)])

        def push() -> None:
            push_image(docker_host, name)
            remove_image(docker_host, name)

        return push

    return [
        Transfer("GET of a blob", lambda port: lambda: get(port, whole)),
        Transfer("PUT of a blob", lambda port: lambda: put(port, whole)),
        Transfer(f"PUT of {AT_ONCE} blobs at once", lambda port: lambda: put_at_once(port, parts)),
        Transfer(f"`docker push`, {LAYERS} layers", docker_push),
    ]


def take(results: Results, transfer: Transfer, name: str, forwarder: Forwarder) -> None:
    """One more sample, or one more failure."""
    place = (transfer.what, name)
    send = transfer.prepare(forwarder.port)
    try:
        used, start = forwarder.cpu_seconds, monotonic()
        send()
        sample = Sample(monotonic() - start, forwarder.cpu_seconds - used)
    except (LabError, OSError, HTTPException):
        results.failures[place] = results.failures.get(place, 0) + 1
    else:
        results.samples.setdefault(place, []).append(sample)


def _lines(results: Results, whats: Sequence[str], names: Sequence[str], repetitions: int) -> list[tuple[str, ...]]:
    def row(what: str, unit: str, digits: int, value: Callable[[Sample], float]) -> tuple[str, ...]:
        cells = []
        for name in names:
            values = [value(sample) for sample in results.samples.get((what, name), [])]
            failed = results.failures.get((what, name), 0)
            cells.append(_cell(values, digits) + (f", {failed} of {repetitions} failed" if failed else ""))
        return (f"{what}, {unit}", *cells)

    speeds = [row(what, "MB/s", 0, lambda sample: SIZE / 1e6 / sample.seconds) for what in whats]
    costs = [row(what, "CPU s/GB", 2, lambda sample: sample.cpu_seconds * 1e9 / SIZE) for what in whats]
    return [("200 MB", *names), *speeds, *costs]


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return "none"
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"
