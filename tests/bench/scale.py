"""The table of many nodes that pull a large image at once, from one pod with a volume.

Before each sample, the image is dropped from the page cache, so that the registry reads its disk.
"""

import os
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from kube_registry.names import READ_PORT
from kube_registry.spec.settings import Settings
from lab import cluster
from lab.machines import CONTROL_PLANE, Machine
from lab.parts import of_cluster
from lab.progress import Progress
from lab.spec import ClusterSpec
from lab.toolchain import provide
from lab.versions import chosen
from tests.bench import forwarders, table
from tests.bench.forwarders import process_in
from tests.bench.readers import Links, fetch, limited, namespaces
from tests.bench.registry import deploy, pod_of, settings_for
from tests.bench.transfers import REPOSITORY, Blob, put

CLUSTER, PUSH_PORT = "scale", 19_960
READERS = 100
LAYERS, LAYER = 10, 100_000_000
"""How many layers the image has, and their bytes, which are random."""

NODE, READER = "10gbit", "1gbit"
"""What the node of the registry sends and what a reader receives, as tc(8) writes it."""

HEAD = ("registry", "s until half have it", "s until all have it", "GB/s", "GB read from the volume", "memory, MB")


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table; the first is its head."""
    provide(progress, of_cluster(chosen()))
    cluster.down(CLUSTER)
    try:
        cluster.up(CLUSTER, nodes=2, report=progress)
        spec = cluster.known(CLUSTER)
        settings = settings_for(spec, PUSH_PORT)
        deploy(spec, settings)
        with progress.running("an image of 1 GB", "pushing"):
            blobs = _pushed(spec)
        pods = tuple(f"{node.pods} via {node.address}" for node in spec.nodes)
        links = Links(Machine(spec, CONTROL_PLANE).pid, spec.subnet.rpartition(".")[0], pods, READER)
        with ExitStack() as opened, progress.running(f"{READERS} readers", "measuring"):
            readers = opened.enter_context(namespaces(READERS, links))
            for node in spec.nodes:
                opened.enter_context(limited(Machine(spec, node.name).pid, "eth0", NODE))
            samples = [_sample(spec, settings, readers, blobs) for _ in range(repetitions)]
    finally:
        cluster.down(CLUSTER)
    halves, alls, volumes, memory = zip(*samples, strict=True)
    speeds = [READERS * LAYERS * LAYER / 1e9 / seconds for seconds in alls]
    spreads = (table.spread(halves), table.spread(alls), table.spread(speeds, 2), table.spread(volumes))
    return [HEAD, ("one pod", *spreads, table.spread(memory, 0))]


def _pushed(spec: ClusterSpec) -> list[str]:
    """Push the layers, and return their paths in the registry's API."""
    with forwarders.running(forwarders.ours(spec, PUSH_PORT), spec.log("bench.tunnel")):
        layers = [Blob.random(LAYER) for _ in range(LAYERS)]
        for layer in layers:
            put(PUSH_PORT, layer)
    return [f"/v2/{REPOSITORY}/blobs/{layer.digest}" for layer in layers]


def _sample(
    spec: ClusterSpec, settings: Settings, readers: Sequence[Path], blobs: Sequence[str]
) -> tuple[float, float, float, float]:
    """Return after how many seconds half of the readers and all of them had the image, the GB read, and peak MB."""
    _drop(spec.volumes)
    pod = pod_of(spec, settings)
    registry = Path(f"/proc/{process_in(pod['metadata']['uid'], 'read.yml')}")
    before = _number(registry / "io", "read_bytes")
    seconds = fetch(readers, [(pod["status"]["podIP"], READ_PORT)], blobs)
    read = (_number(registry / "io", "read_bytes") - before) / 1e9
    return statistics.median(seconds), max(seconds), read, _number(registry / "status", "VmHWM") * 1024 / 1e6


def _drop(folder: Path) -> None:
    """Drop the content of blobs from the page cache."""
    for file in folder.rglob("data"):
        descriptor = os.open(file, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def _number(file: Path, name: str) -> int:
    """Return a number of a process: read_bytes are those read from storage, VmHWM its peak memory in KiB (proc(5))."""
    return next(int(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{name}:"))
