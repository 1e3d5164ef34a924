"""The table of a far cluster: the tunnel beside a push straight to the node, nearby and over a slow, lossy link.

Sent are an image of 300 MB of which one byte was edited, and four blobs on four connections at once. "Straight" is one
TCP connection from the Docker engine to the node for each connection, moved by the kernel alone.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from kube_registry.names import WRITE_PORT
from lab import control_plane, nodes
from lab.errors import LabError
from lab.machines import Machine
from lab.progress import Progress, Steps
from lab.spec import ClusterSpec
from lab.waiting import wait_for
from tests.bench import forwarders, link, table
from tests.bench.forwarders import OWN_NETNS, Forwarder, Way, netns_of
from tests.bench.places import PUSH_PORT
from tests.bench.registry import pod_of, settings_for
from tests.bench.transfers import Blob, load_image, push_image, put_at_once, remove_image
from tests.bench.tunnels import AT_ONCE, Results, Transfer, one_node, take

IMAGE = 300_000_000
NEAR_LAYER, FAR_LAYER = 100_000_000, 2_000_000
"""Bytes of the layer with the edited byte."""

NEAR_BLOB, FAR_BLOB = 50_000_000, 2_000_000
"""Bytes of each of the blobs."""

TUNNEL, STRAIGHT = "tunnel", "straight to the node"
TUNNEL_PORT, STRAIGHT_PORT, NODE_PORT = PUSH_PORT - 10, PUSH_PORT - 9, PUSH_PORT - 8
HEAD = ("what is sent", TUNNEL, STRAIGHT, "tunnel, CPU s/GB of new bytes")

OPEN_SECONDS = 10.0

_Ways = list[tuple[str, Forwarder]]
_Transfers = list[tuple[Transfer, int]]


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table; the first is its head."""
    with one_node(progress) as (spec, docker_host):
        near = _transfers("near", docker_host, NEAR_LAYER, NEAR_BLOB)
        far = _transfers("100 ms, 1 % loss", docker_host, FAR_LAYER, FAR_BLOB)
        results, steps = Results(), progress.steps(2 * repetitions)
        with _ways(spec) as ways:
            for (image, _), _ in (near, far):
                for _, forwarder in ways:
                    image.prepare(forwarder.port)()  # the registry then has the layer that is not edited
            _send(results, near, ways, repetitions, steps)
            with _slow_link(spec):
                _send(results, far, ways, repetitions, steps)
    return [HEAD, *(_line(results, transfer, size) for transfer, size in [*near, *far])]


def _transfers(where: str, docker_host: str, layer: int, blob: int) -> _Transfers:
    """Return what is sent, and how many bytes of it are new."""
    parts = [Blob.random(blob) for _ in range(AT_ONCE)]
    rest, edited = os.urandom(IMAGE - layer), bytearray(os.urandom(layer))

    def docker_push(port: int) -> Callable[[], None]:
        name = f"localhost:{port}/edited-{layer}:{os.urandom(4).hex()}"
        edited[0] = (edited[0] + 1) % 256
        load_image(docker_host, name, [rest, bytes(edited)])

        def push() -> None:
            push_image(docker_host, name)
            remove_image(docker_host, name)

        return push

    image = f"{where}: image of {_mb(IMAGE)}, one byte of a layer of {_mb(layer)} edited, `docker push`, s"
    blobs = f"{where}: PUT of {AT_ONCE} blobs of {_mb(blob)} at once, s"
    return [
        (Transfer(image, docker_push), layer),
        (Transfer(blobs, lambda port: lambda: put_at_once(port, parts)), AT_ONCE * blob),
    ]


@contextmanager
def _ways(spec: ClusterSpec) -> Iterator[_Ways]:
    """Open the tunnel and the straight path, whose far half leads from the node into the registry's pod."""
    (node,), log = spec.nodes, spec.log("bench.forwarders")
    on_node = (node.address, NODE_PORT)
    pod = netns_of(pod_of(spec, settings_for(spec, PUSH_PORT)))
    far_half = forwarders.relay((*on_node, _netns(nodes.machine_of(spec, node))), ("127.0.0.1", WRITE_PORT, pod))
    near_half = forwarders.relay(("127.0.0.1", STRAIGHT_PORT, OWN_NETNS), (*on_node, OWN_NETNS))
    with forwarders.process(far_half, log), ExitStack() as opened:
        ways = forwarders.ours(spec, TUNNEL_PORT), Way(STRAIGHT, STRAIGHT_PORT, near_half)
        yield [(way.name, opened.enter_context(forwarders.running(way, log))) for way in ways]


@contextmanager
def _slow_link(spec: ClusterSpec) -> Iterator[None]:
    """Put the link between this machine and the machines of the cluster."""
    machines = [control_plane.machine_of(spec), *(nodes.machine_of(spec, node) for node in spec.nodes)]
    addresses = [spec.api_address, *(node.address for node in spec.nodes)]
    ends = [f"{address}={machine.pid}" for address, machine in zip(addresses, machines, strict=True)]
    command = [sys.executable, "-m", "tests.bench.link", spec.host_address, *ends]
    log = spec.log("bench.link")
    with forwarders.process(command, log) as program:
        wait_for(lambda: _is_open(program, log), "the slow link", log=log, seconds=OPEN_SECONDS)
        yield


def _is_open(program: subprocess.Popen[bytes], log: Path) -> bool:
    if program.poll() is not None:
        raise LabError(f"The slow link ended with status {program.returncode}; its log is {log}.")
    return link.is_open()


def _send(results: Results, transfers: _Transfers, ways: _Ways, repetitions: int, steps: Steps) -> None:
    """Take samples; the ways take turns."""
    for number in range(repetitions):
        turn = number % len(ways)
        with steps.step("a far cluster", "measuring"):
            for transfer, _ in transfers:
                for name, forwarder in ways[turn:] + ways[:turn]:
                    take(results, transfer, name, forwarder)


def _line(results: Results, transfer: Transfer, size: int) -> tuple[str, ...]:
    tunnel, straight = (results.samples[transfer.what, name] for name in (TUNNEL, STRAIGHT))
    times = [table.spread([sample.seconds for sample in samples]) for samples in (tunnel, straight)]
    return transfer.what, *times, table.spread([sample.cpu_seconds * 1e9 / size for sample in tunnel])


def _netns(machine: Machine) -> str:
    return f"/proc/{machine.pid}/ns/net"


def _mb(size: int) -> str:
    return f"{size // 1_000_000} MB"
