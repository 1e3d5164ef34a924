"""The table of many nodes that pull a large image at once: from a volume or a bucket, from one pod or two.

Before each sample, the image is dropped from the page cache, so that the registry or the S3 server reads its disk.
"""

import os
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from kube_registry.names import READ_PORT, REGISTRY
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
from tests.bench.registry import bucket_secrets, deploy, kubectl, pods_of, settings_for, wait_ready
from tests.bench.transfers import REPOSITORY, Blob, put
from tests.s3_server import S3Server, s3_server

CLUSTER, PUSH_PORT, BUCKET = "scale", 19_960, "images"
READERS = 100
LAYERS, LAYER = 10, 100_000_000
"""How many layers the image has, and their bytes, which are random."""

NODE, SLOW_NODE, READER = "10gbit", "1gbit", "1gbit"
"""What a node of the registry sends and what a reader receives, as tc(8) writes it."""

PAGE_CACHE = Path("/sys/fs/cgroup/memory")
"""The control groups with the page cache of each container (version 1)."""

HEAD = (
    *("registry", "s until half have it", "s until all have it", "GB/s", "GB read from the volume"),
    *("memory of a pod, MB", "page cache of a pod, MB", "transfers resumed"),
)


@dataclass(frozen=True)
class Row:
    """A registry that is measured.

    Attributes:
        what: what the table calls it.
        files: the folder with the files of its images.
        settings: its settings that are not the defaults.
        node: what each node of the registry sends, as tc(8) writes it.
        layers: how many layers of the image the readers fetch.
    """

    what: str
    files: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    node: str = NODE
    layers: int = LAYERS

    @property
    def bytes(self) -> int:
        """Return the bytes that all readers fetch."""
        return READERS * self.layers * LAYER


@dataclass(frozen=True)
class Sample:
    """What a fetch of all readers took.

    Attributes:
        half: seconds until half of the readers had the image.
        all: seconds until all had it.
        read: bytes that the pods read from their volume.
        memory: the most bytes that a pod's read door had.
        cached: the most bytes that a pod's read door has in the page cache.
        resumed: how many transfers ended early.
    """

    half: float
    all: float
    read: int
    memory: int
    cached: int
    resumed: int


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table; the first is its head."""
    provide(progress, of_cluster(chosen()))
    cluster.down(CLUSTER)
    try:
        cluster.up(CLUSTER, nodes=2, report=progress)
        spec = cluster.known(CLUSTER)
        with (
            tempfile.TemporaryDirectory(prefix="kube-registry-bench-") as folder,
            s3_server(spec.host_address, Path(folder)) as server,
            namespaces(READERS, _links(spec)) as readers,
        ):
            server.create_bucket(BUCKET)
            return [HEAD, *_lines(spec, readers, _rows(spec, server, Path(folder)), repetitions, progress)]
    finally:
        cluster.down(CLUSTER)


def _rows(spec: ClusterSpec, server: S3Server, files: Path) -> list[Row]:
    larger = {"pod": {"resources": {"limits": {"memory": "4Gi"}}}}
    bucket = {"s3": server.settings(BUCKET), "namespace": "kube-registry-s3", "nodePort": 30_101}
    return [
        Row("a volume, one pod with 2Gi", spec.volumes),
        Row("a volume, one pod with 4Gi", spec.volumes, larger),
        Row("a bucket, one pod with 2Gi", files, bucket),
        Row("a bucket, two pods with 2Gi", files, {**bucket, "replicas": 2}),
        Row("the same with one pod, 1 Gbit/s, 100 MB", files, bucket, SLOW_NODE, 1),
        Row("the same with two pods, 1 Gbit/s, 100 MB", files, {**bucket, "replicas": 2}, SLOW_NODE, 1),
    ]


def _links(spec: ClusterSpec) -> Links:
    pods = tuple(f"{node.pods} via {node.address}" for node in spec.nodes)
    return Links(Machine(spec, CONTROL_PLANE).pid, spec.subnet.rpartition(".")[0], pods, READER)


def _lines(
    spec: ClusterSpec, readers: Sequence[Path], rows: Sequence[Row], repetitions: int, progress: Progress
) -> Iterator[tuple[str, ...]]:
    pushed: dict[Path, list[str]] = {}
    for row in rows:
        settings = settings_for(spec, PUSH_PORT, **row.settings)
        deploy(spec, settings, *bucket_secrets(settings))
        if row.files not in pushed:
            with progress.running("an image of 1 GB", "pushing"):
                pushed[row.files] = _pushed(spec, settings)
        blobs = pushed[row.files][: row.layers]
        with progress.running(f"{READERS} readers of {row.what}", "measuring"), ExitStack() as limits:
            for node in spec.nodes:
                limits.enter_context(limited(Machine(spec, node.name).pid, "eth0", row.node))
            samples = [_sample(spec, settings, readers, row.files, blobs) for _ in range(repetitions)]
        yield (
            row.what,
            table.spread([each.half for each in samples]),
            table.spread([each.all for each in samples]),
            table.spread([row.bytes / 1e9 / each.all for each in samples], 2),
            table.spread([each.read / 1e9 for each in samples]),
            table.spread([each.memory / 1e6 for each in samples], 0),
            table.spread([each.cached / 1e6 for each in samples], 0),
            table.spread([each.resumed for each in samples], 0),
        )


def _pushed(spec: ClusterSpec, settings: Settings) -> list[str]:
    """Push the layers, and return their paths in the registry's API."""
    ours = forwarders.ours(spec, PUSH_PORT)
    way = replace(ours, command=[*ours.command, "--namespace", settings.namespace])
    with forwarders.running(way, spec.log("bench.tunnel")):
        layers = [Blob.random(LAYER) for _ in range(LAYERS)]
        for layer in layers:
            put(PUSH_PORT, layer)
    return [f"/v2/{REPOSITORY}/blobs/{layer.digest}" for layer in layers]


def _sample(
    spec: ClusterSpec, settings: Settings, readers: Sequence[Path], files: Path, blobs: Sequence[str]
) -> Sample:
    """Let all readers fetch the blobs, which are not in the page cache, from pods that have served none."""
    kubectl(spec, "rollout", "restart", f"--namespace={settings.namespace}", f"deployment/{REGISTRY}")
    wait_ready(spec, settings)
    _drop(files)
    pods = pods_of(spec, settings)
    registries = [Path(f"/proc/{process_in(pod['metadata']['uid'], 'read.yml')}") for pod in pods]
    before = sum(_number(each / "io", "read_bytes:") for each in registries)
    ended = fetch(readers, [(pod["status"]["podIP"], READ_PORT) for pod in pods], blobs)
    seconds = [each.seconds for each in ended]
    return Sample(
        statistics.median(seconds),
        max(seconds),
        sum(_number(each / "io", "read_bytes:") for each in registries) - before,
        max(_number(each / "status", "VmHWM:") * 1024 for each in registries),
        max(_number(_memory_group(each) / "memory.stat", "cache") for each in registries),
        sum(each.resumed for each in ended),
    )


def _drop(folder: Path) -> None:
    """Drop the files of a folder from the page cache."""
    for file in folder.rglob("*"):
        if file.is_file():
            descriptor = os.open(file, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def _memory_group(process: Path) -> Path:
    """Return the control group that counts the page cache of a process."""
    groups = (line.split(":", 2) for line in (process / "cgroup").read_text().splitlines())
    return next(PAGE_CACHE / path.lstrip("/") for _, controllers, path in groups if controllers == "memory")


def _number(file: Path, name: str) -> int:
    """Return a number of a process: read_bytes are those read from storage, VmHWM its peak memory in KiB (proc(5))."""
    return next(int(words[1]) for line in file.read_text().splitlines() if (words := line.split())[0] == name)
