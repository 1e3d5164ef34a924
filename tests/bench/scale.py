"""The table of many nodes that pull a large image at once: from a volume or a bucket, from one pod or two.

Before each sample, the image is dropped from the page cache, so that the registry or the S3 server reads its disk.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
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
from tests.bench.registry import bucket_secrets, deploy, pods_of, settings_for
from tests.bench.transfers import REPOSITORY, Blob, put
from tests.s3_server import s3_server

CLUSTER, PUSH_PORT = "scale", 19_960
BUCKET = "images"
READERS = 100
LAYERS, LAYER = 10, 100_000_000
"""How many layers the image has, and their bytes, which are random."""

NODE, READER = "10gbit", "1gbit"
"""What a node of the registry sends and what a reader receives, as tc(8) writes it."""

HEAD = ("registry", "s until half have it", "s until all have it", "GB/s", "GB read from the volume")


@dataclass(frozen=True)
class Row:
    """A registry that is measured."""

    what: str
    settings: Mapping[str, object]


@dataclass(frozen=True)
class Place:
    """The cluster, the readers, and the folder with the files of the image."""

    spec: ClusterSpec
    readers: Sequence[Path]
    files: Path


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table; the first is its head."""
    provide(progress, of_cluster(chosen()))
    cluster.down(CLUSTER)
    try:
        cluster.up(CLUSTER, nodes=2, report=progress)
        spec = cluster.known(CLUSTER)
        with ExitStack() as opened:
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="kube-registry-bench-")))
            server = opened.enter_context(s3_server(spec.host_address, folder))
            server.create_bucket(BUCKET)
            pods = tuple(f"{node.pods} via {node.address}" for node in spec.nodes)
            links = Links(Machine(spec, CONTROL_PLANE).pid, spec.subnet.rpartition(".")[0], pods, READER)
            readers = opened.enter_context(namespaces(READERS, links))
            for node in spec.nodes:
                opened.enter_context(limited(Machine(spec, node.name).pid, "eth0", NODE))
            volume, bucket = Place(spec, readers, spec.volumes), Place(spec, readers, folder / "data")
            more = {"pod": {"resources": {"limits": {"memory": "2Gi"}}}}
            of_volume = [Row("a volume, 512Mi of memory", {}), Row("a volume, 2Gi of memory", more)]
            s3 = {"s3": server.settings(BUCKET), "namespace": "kube-registry-s3", "nodePort": 30_101}
            of_bucket = [Row("a bucket, one pod", s3), Row("a bucket, two pods", {**s3, "replicas": 2})]
            rows = [
                *_lines(volume, of_volume, repetitions, progress),
                *_lines(bucket, of_bucket, repetitions, progress),
            ]
            return [HEAD, *rows]
    finally:
        cluster.down(CLUSTER)


def _lines(place: Place, rows: Sequence[Row], repetitions: int, progress: Progress) -> Iterator[tuple[str, ...]]:
    blobs: list[str] = []
    for row in rows:
        settings = settings_for(place.spec, PUSH_PORT, **row.settings)
        deploy(place.spec, settings, *bucket_secrets(settings))
        if not blobs:
            with progress.running("an image of 1 GB", "pushing"):
                blobs = _pushed(place.spec, settings)
        samples = []
        for _ in range(repetitions):
            with progress.running(f"{READERS} readers of {row.what}", "measuring"):
                samples.append(_sample(place, settings, blobs))
        halves, alls, volumes = zip(*samples, strict=True)
        speeds = [READERS * LAYERS * LAYER / 1e9 / seconds for seconds in alls]
        yield row.what, table.spread(halves), table.spread(alls), table.spread(speeds, 2), table.spread(volumes, 1)


def _pushed(spec: ClusterSpec, settings: Settings) -> list[str]:
    """Push the layers, and return their paths in the registry's API."""
    ours = forwarders.ours(spec, PUSH_PORT)
    way = replace(ours, command=[*ours.command, "--namespace", settings.namespace])
    with forwarders.running(way, spec.log("bench.tunnel")):
        layers = [Blob.random(LAYER) for _ in range(LAYERS)]
        for layer in layers:
            put(PUSH_PORT, layer)
    return [f"/v2/{REPOSITORY}/blobs/{layer.digest}" for layer in layers]


def _sample(place: Place, settings: Settings, blobs: Sequence[str]) -> tuple[float, float, float]:
    """Return after how many seconds half of the readers and all of them had the image, and the GB that were read."""
    _drop(place.files)
    pods = pods_of(place.spec, settings)
    registries = [process_in(pod["metadata"]["uid"], "read.yml") for pod in pods]
    before = sum(map(_read_bytes, registries))
    seconds = fetch(place.readers, [(pod["status"]["podIP"], READ_PORT) for pod in pods], blobs)
    return statistics.median(seconds), max(seconds), (sum(map(_read_bytes, registries)) - before) / 1e9


def _drop(folder: Path) -> None:
    """Drop the files of a folder from the page cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _read_bytes(pid: int) -> int:
    """Return the bytes that a process has caused to be read from storage (proc(5), read_bytes)."""
    lines = Path(f"/proc/{pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))
