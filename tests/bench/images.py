"""The table of a large image: into the cluster by ours and by what image loaders do, `docker save` and `ctr import`.

The image has three layers of random bytes. First all of them are new, then one byte of the last one is edited. Ours is
what a person does: `pulumi up` of the stack and of its downstream, until a pod on each node runs it. The loader's part
has no Pulumi in it: a build, one archive, imported on all nodes at once, and a pod on each of them.
"""

import os
import statistics
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import docker

from lab import kube_api
from lab.commands import run_logged
from lab.errors import LabError
from lab.machines import Machine
from lab.nodes import CONTAINERD_SOCKET
from lab.progress import Progress
from lab.spec import NodeSpec
from lab.toolchain import tool
from lab.waiting import wait_for
from tests.bench import edits, table
from tests.bench.forwarders import process_in
from tests.bench.life import COMMAND_SECONDS, LOG, Lab, Life, begin, end, expect, run_module, seconds
from tests.bench.places import copy_ours, settings
from tests.bench.registry import pod_of

LAYER = 100_000_000
"""Bytes of each of the three layers."""

DOCKERFILE = """\
FROM busybox:stable
COPY first /first
COPY second /second
COPY site /site
STOPSIGNAL SIGKILL
USER 1000
CMD ["httpd", "-f", "-p", "8080", "-h", "/site"]
"""

HEAD = ("image of 300 MB in three layers", "kube-registry", "save and import")
NEW, EDITED = "new image", "one byte of the last layer changed"
PODS_SECONDS = 60.0

_PODS = "/api/v1/namespaces/default/pods"


@dataclass(frozen=True)
class Sample:
    """One way of an image into the cluster.

    Attributes:
        seconds: from the edit to a ready pod on each node.
        size: bytes that were carried to the cluster for it.
    """

    seconds: float
    size: int


Samples = Mapping[tuple[str, str], list[Sample]]
"""What was done, and by which column's way -> its samples."""


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """The lines of the table; the first is its head. Both ways take turns."""
    samples: dict[tuple[str, str], list[Sample]] = {}
    with tempfile.TemporaryDirectory(prefix="kube-registry-bench-") as folder:
        life = Life("kube-registry", copy_ours(Path(folder) / "ours"), Path(folder) / "state", edits.of_ours)
        steps = progress.steps(repetitions)
        try:
            lab = _start(life)
            for number in range(repetitions):
                with steps.step("large images", "measuring"):
                    for way in (_ours, _loader):
                        _renew(life)
                        for what in (NEW, EDITED):
                            samples.setdefault((what, way.__name__), []).append(way(lab, f"{what} {number}"))
        finally:
            end()
    return _lines(samples)


def _start(life: Life) -> Lab:
    begin(life)
    expect({"created"}, run_module("tests.bench.demo", life.project, life.backend, life.backend / "phases.json"))
    (life.project / "app" / "Dockerfile").write_text(DOCKERFILE)
    return Lab.running(life)


def _renew(life: Life) -> None:
    for name in ("first", "second", "site/bulk"):
        (life.project / "app" / name).write_bytes(os.urandom(LAYER))


def _ours(lab: Lab, text: str) -> Sample:
    pid = process_in(pod_of(lab.spec, settings())["metadata"]["uid"])
    before = _loopback_bytes(pid)
    took = seconds(lambda: edits.with_pulumi(lab, text))
    return Sample(took, _loopback_bytes(pid) - before)


def _loopback_bytes(pid: int) -> int:
    """What has gone over a pod's loopback, headers included; in the registry's, the tunnel alone uses it."""
    lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.strip().startswith("lo:"))


def _loader(lab: Lab, text: str) -> Sample:
    name = f"loaded:{os.urandom(4).hex()}"
    size = 0

    def load() -> None:
        nonlocal size
        lab.life.write(text)
        edits.build(lab, name, push=False)
        with tempfile.NamedTemporaryFile(suffix=".tar") as archive:
            _save(lab.docker_host, name, Path(archive.name))
            size = Path(archive.name).stat().st_size * len(lab.spec.nodes)
            with ThreadPoolExecutor() as threads:
                list(threads.map(partial(_import, lab, Path(archive.name)), lab.spec.nodes))
        _run_pods(lab, name)

    return Sample(seconds(load), size)


def _save(docker_host: str, name: str, archive: Path) -> None:
    client = docker.DockerClient(base_url=docker_host, timeout=int(COMMAND_SECONDS))
    with closing(client), archive.open("wb") as file:
        for chunk in client.images.get(name).save(named=True):
            file.write(chunk)


def _import(lab: Lab, archive: Path, node: NodeSpec) -> None:
    socket = Machine(lab.spec, node.name).run / CONTAINERD_SOCKET
    command = [str(tool("ctr")), f"--address={socket}", "--namespace=k8s.io", "images", "import", str(archive)]
    run_logged(command, log=LOG, limit=COMMAND_SECONDS)


def _run_pods(lab: Lab, name: str) -> None:
    """Run the image on each node as it was imported, until it is ready there."""
    label = name.replace(":", "-")
    container = {"name": "web", "image": f"docker.io/library/{name}", "imagePullPolicy": "Never"}
    for node in lab.spec.nodes:
        metadata = {"name": f"{label}-{node.name}", "labels": {"app": label}}
        spec = {"nodeName": node.name, "automountServiceAccountToken": False, "containers": [container]}
        if not kube_api.create(lab.spec, _PODS, {"metadata": metadata, "spec": spec}):
            raise LabError(f"The API server did not take a pod for node {node.name}.")

    def ready() -> bool:
        found = kube_api.get(lab.spec, f"{_PODS}?labelSelector=app%3D{label}") or {"items": []}
        states = [status["ready"] for pod in found["items"] for status in pod["status"].get("containerStatuses", [])]
        return states == [True] * len(lab.spec.nodes)

    wait_for(ready, f"pods to run {name}", log=LOG, seconds=PODS_SECONDS)


def _lines(samples: Samples) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = [HEAD]
    for what in (NEW, EDITED):
        columns = [samples[what, way.__name__] for way in (_ours, _loader)]
        lines.append(
            (
                f"{what}, until pods on both nodes run it, s",
                *(table.spread([sample.seconds for sample in column]) for column in columns),
            )
        )
        carried = [statistics.median(sample.size for sample in column) for column in columns]
        lines.append((f"{what}, sent to the cluster, MB", *(f"{size / 1e6:.0f}" for size in carried)))
    return lines
