"""The table of a shared volume: how fast a VM reads and writes it, by each way to the server.

The NFS server runs on a node that is no VM. The VM is emulated, so its own disk is the row to compare with. The server
and the node proxy are the program's own manifests, applied without Pulumi.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker

from components import nfs_server_pod
from components.node_proxy import Listener, config_file, daemon_set_spec
from kube_registry.names import NFS_PORT, NFS_SERVER, NODE_PROXY, labels
from kube_registry.spec.shared_volume import SharedVolumeSettings
from lab import cluster, docker_engine, nodes, vm
from lab.commands import run_logged
from lab.debian_image import provide_debian
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT
from lab.spec import ClusterSpec
from lab.toolchain import tool
from lab.vm import VmNode
from lab.vm.agent import checked
from tests.bench import table
from tests.bench.registry import kubectl, settings_for

CLUSTER, NAMESPACE, FOLDER, IMAGE = "shared", "shared", "files", "localhost/nfs-server:bench"
PORT = 32_049
MEGABYTES, FILES = 64, 1000
HEAD = (
    "way to the server",
    f"MB/s written, {MEGABYTES} MiB with fsync",
    "MB/s read",
    f"s to create {FILES:,} files",
    "s to read them",
)

MEASURE = f"""\
now() {{ date +%s%N; }}
afresh() {{
    if [ "$1" ]; then umount "$3"; fi
    sync
    echo 3 >/proc/sys/vm/drop_caches
    if [ "$1" ]; then mount -t nfs -o "$1" "$2" "$3"; fi
}}
folder=$3/bench
mkdir "$folder"
a=$(now); dd if=/dev/zero of="$folder/big" bs=1M count={MEGABYTES} conv=fsync status=none; b=$(now)
afresh "$1" "$2" "$3"
c=$(now); cat "$folder/big" >/dev/null; d=$(now)
mkdir "$folder/many"
e=$(now); i=0; while [ $i -lt {FILES} ]; do echo $i >"$folder/many/$i"; i=$((i + 1)); done; f=$(now)
afresh "$1" "$2" "$3"
g=$(now); cat "$folder"/many/* >/dev/null; h=$(now)
rm -r "$folder"
echo $((b - a)) $((d - c)) $((f - e)) $((h - g))
"""
"""$1: options of the mount, empty for a folder of the VM   $2: what is mounted   $3: the folder"""


@dataclass(frozen=True)
class Way:
    """A way from the VM to the server.

    Args:
        what: its name in the table.
        proxy_mode: kube-proxy's mode in the VM.
        by_proxy: whether the node proxy leads to the server.
    """

    what: str
    proxy_mode: str
    by_proxy: bool = False


WAYS = (
    Way("cluster IP, iptables", "iptables"),
    Way("cluster IP, nftables", "nftables"),
    Way("cluster IP, IPVS", "ipvs"),
    Way("node proxy, IPVS", "ipvs", by_proxy=True),
)


def measure(repetitions: int, progress: Progress) -> list[tuple[str, ...]]:
    """Return the lines of the table; the first is its head."""
    cluster.down(CLUSTER)
    try:
        cluster.up(CLUSTER, nodes=1, report=progress)
        spec = cluster.known(CLUSTER)
        _provide_image(spec, progress)
        node = vm.join(CLUSTER, report=progress)
        address = _deploy(spec)
        with progress.running("a folder of the VM", "measuring"):
            lines = [HEAD, _line("the VM's own disk", [_sample(node, "", "", "/root") for _ in range(repetitions)])]
        for way in WAYS:
            node.change_proxy_mode(way.proxy_mode)
            with progress.running(way.what, "measuring"), _mounted(node, way, address) as (options, source):
                samples = [_sample(node, options, source, "/mnt") for _ in range(repetitions)]
            lines.append(_line(way.what, samples))
        return lines
    finally:
        cluster.down(CLUSTER)


def _provide_image(spec: ClusterSpec, progress: Progress) -> None:
    """Build the server's image, and import it on the node that is no VM."""
    engine = docker_engine.up(progress)
    provide_debian(engine, progress)
    with closing(docker.DockerClient(base_url=engine.host, timeout=300)) as client, tempfile.TemporaryDirectory() as at:
        image, _ = client.images.build(path=str(CHECKOUT / "components" / "nfs_server"), tag=IMAGE)
        archive = Path(at, "image.tar")
        with archive.open("wb") as file:
            file.writelines(image.save(named=True))
        machine = nodes.machine_of(spec, spec.nodes[0])
        ctr = [str(tool("ctr")), f"--address={machine.run / nodes.CONTAINERD_SOCKET}", "--namespace=k8s.io"]
        run_logged([*ctr, "images", "import", str(archive)], log=machine.log("images"), limit=120)


def _deploy(spec: ClusterSpec) -> str:
    """Create the server and the node proxy, and return the cluster IP of the server."""
    settings = settings_for(spec, 19_970)
    config = nfs_server_pod.ganesha_config(1000, NAMESPACE)
    server = nfs_server_pod.deployment_spec(
        image=IMAGE, folder=FOLDER, user=1000, config=config, allow_directory=True, pod=settings.pod
    )
    server["template"]["spec"]["nodeName"] = spec.nodes[0].name
    port = {"port": NFS_PORT, "targetPort": "nfs"}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    _apply(
        spec,
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        _object("v1", "ConfigMap", NFS_SERVER, data=nfs_server_pod.config_files(config)),
        _object("v1", "PersistentVolumeClaim", NFS_SERVER, spec=claim),
        _object("v1", "Service", NFS_SERVER, spec={"selector": labels(NFS_SERVER), "ports": [port]}),
        _object("apps/v1", "Deployment", NFS_SERVER, spec=server),
    )
    found = kubectl(
        spec, "get", "service", NFS_SERVER, f"--namespace={NAMESPACE}", "--output=jsonpath={.spec.clusterIP}"
    )
    listeners = [Listener("nfs", PORT, found, NFS_PORT)]
    _apply(
        spec,
        _object("v1", "ConfigMap", NODE_PROXY, data={"haproxy.cfg": config_file(listeners)}),
        _object("apps/v1", "DaemonSet", NODE_PROXY, spec=daemon_set_spec(settings, listeners)),
    )
    for kind, name in (("deployment", NFS_SERVER), ("daemonset", NODE_PROXY)):
        kubectl(spec, "rollout", "status", kind, name, f"--namespace={NAMESPACE}", "--timeout=180s")
    return found


def _object(version: str, kind: str, name: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, **fields}


def _apply(spec: ClusterSpec, *objects: dict[str, Any]) -> None:
    kubectl(spec, "apply", "--filename=-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects]}))


@contextmanager
def _mounted(node: VmNode, way: Way, cluster_ip: str) -> Iterator[tuple[str, str]]:
    """Mount the volume in the VM; the options and what is mounted."""
    settings = SharedVolumeSettings(exposure="nodeProxy" if way.by_proxy else "clusterIP", port=PORT)
    options = ",".join(settings.mount_options)
    source = f"{'127.0.0.1' if way.by_proxy else cluster_ip}:/{FOLDER}"
    _run(node, "mount", "-t", "nfs", "-o", options, source, "/mnt")
    try:
        yield options, source
    finally:
        _run(node, "umount", "/mnt")


def _sample(node: VmNode, *arguments: str) -> list[float]:
    """Return the nanoseconds of the four steps."""
    return [float(word) for word in _run(node, "sh", "-euc", MEASURE, "sh", *arguments).split()]


def _run(node: VmNode, *command: str) -> str:
    return checked(node.run(*command, timeout=300), node.name)


def _line(what: str, samples: Sequence[Sequence[float]]) -> tuple[str, ...]:
    written, read, created, many_read = zip(*samples, strict=True)
    rates = [[MEGABYTES * 1.048576 * 1e9 / each for each in times] for times in (written, read)]
    seconds = [[each / 1e9 for each in times] for times in (created, many_read)]
    return what, *map(table.spread, [*rates, *seconds])
