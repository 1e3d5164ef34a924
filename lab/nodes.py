"""A node of a cluster: containerd, kubelet and kube-proxy on one machine.

This module defines the arguments and files of these processes, and imports the lab's images before the kubelet starts.
"""

import http.client
import json
import re
from pathlib import Path

from lab import cgroups, images, machines, pki, processes
from lab.commands import run_logged
from lab.machines import Machine
from lab.parts import of_cluster
from lab.spec import ClusterSpec, NodeSpec
from lab.toolchain import tool
from lab.waiting import wait_for

CONTAINERD_SECONDS = 30.0
IMPORT_SECONDS = 120.0
METRICS_PORT = 10249
"""Port of kube-proxy's metrics, which contain the time of its last sync."""

KUBELET, PROXY, CONTAINERD = "kubelet", "kube-proxy", "containerd"
_CNI = "/var/lib/cni"
_LAST_SYNC = re.compile(rb"^kubeproxy_sync_proxy_rules_last_timestamp_seconds.* (\S+)$", re.MULTILINE)
CONTAINERD_SOCKET = "containerd/containerd.sock"
"""Relative to the machine's /run."""


def machine_of(spec: ClusterSpec, node: NodeSpec) -> Machine:
    """Return the machine that a node runs on."""
    return Machine(spec, node.name)


def commands(node: NodeSpec) -> dict[str, list[str]]:
    """Return the command of each process, in start order."""
    return {
        # containerd starts the shim that it finds on its PATH, which must be of the same version.
        CONTAINERD: ["env", f"PATH=/run/bin:{processes.PATH}", CONTAINERD, "--config=/var/lib/containerd.toml"],
        KUBELET: [
            f"/run/bin/{KUBELET}",
            "--config=/var/lib/kubelet/config.json",
            "--kubeconfig=/var/lib/kubelet/kubeconfig",
            f"--hostname-override={node.name}",
            f"--node-ip={node.address}",
        ],
        PROXY: [f"/run/bin/{PROXY}", "--config=/var/lib/kube-proxy/config.json"],
    }


def prepare(spec: ClusterSpec, node: NodeSpec) -> None:
    """Start containerd on the node's running machine and import the images. Needs no control plane. Idempotent.

    Raises:
        LabError: containerd did not start, or the import failed.
    """
    machine = machine_of(spec, node)
    if not machine.runs(CONTAINERD):
        machine.write(files(spec, node, CONTAINERD))
        machines.start(machine, CONTAINERD, commands(node)[CONTAINERD])
    socket = machine.run / CONTAINERD_SOCKET

    def listening() -> bool:
        machines.watch(machine, CONTAINERD)
        return socket.exists()

    wait_for(listening, f"containerd on {node.name} to listen", log=machine.log(CONTAINERD), seconds=CONTAINERD_SECONDS)
    _import_images(machine, socket)


def start(spec: ClusterSpec, node: NodeSpec) -> None:
    """Start kubelet and kube-proxy on a prepared machine, unless they run.

    Raises:
        LabError: one of them ended immediately.
    """
    machine = machine_of(spec, node)
    cgroups.create(cgroups.group_of(spec, node.name))
    for name in (KUBELET, PROXY):
        # Files are written only for a stopped process: kube-proxy ends when its configuration changes.
        if not machine.runs(name):
            machine.write(files(spec, node, name))
            machines.start(machine, name, commands(node)[name])


def files(spec: ClusterSpec, node: NodeSpec, process: str) -> dict[str, str]:
    """Return the files of one of a node's processes: path -> content."""
    match process:
        case "kubelet":
            return _kubelet_files(spec, node)
        case "kube-proxy":
            return _proxy_files(spec, node)
        case _:
            return {"/var/lib/containerd.toml": _CONTAINERD, f"{_CNI}/net.d/10-lab.conflist": _cni(node)}


def has_service_rules(node: NodeSpec) -> bool:
    """Return whether kube-proxy on a node has applied its rules; its /healthz reports success before that."""
    connection = http.client.HTTPConnection(node.address, METRICS_PORT, timeout=2)
    try:
        connection.request("GET", "/metrics")
        last = _LAST_SYNC.search(connection.getresponse().read())
        return bool(last and float(last[1]))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _import_images(machine: Machine, socket: Path) -> None:
    archive = images.archive()
    imported = machine.var / "lib" / "images-imported"
    if imported.exists() and imported.read_text() == str(archive):
        return
    ctr = tool("ctr", of_cluster(machine.spec.versions))
    command = [str(ctr), f"--address={socket}", "--namespace=k8s.io", "images", "import", str(archive)]
    run_logged(command, log=machine.log("images"), limit=IMPORT_SECONDS)
    imported.write_text(str(archive))


def _kubelet_files(spec: ClusterSpec, node: NodeSpec) -> dict[str, str]:
    authority = pki.found(spec.pki)
    identity = pki.issue(
        authority, f"system:node:{node.name}", groups=["system:nodes"], addresses=[node.address, node.name]
    )
    return {
        "/var/lib/kubelet/config.json": json.dumps(_kubelet(spec, node), indent=2),
        "/var/lib/kubelet/kubeconfig": _kubeconfig(spec, identity),
        "/var/lib/kubelet/ca.crt": authority.certificate.read_text(),
        "/var/lib/kubelet/server.crt": identity.certificate,
        "/var/lib/kubelet/server.key": identity.key,
        "/var/lib/kubelet/resolv.conf": "nameserver 127.0.0.1\n",
    }


def _proxy_files(spec: ClusterSpec, node: NodeSpec) -> dict[str, str]:
    identity = pki.issue(pki.found(spec.pki), "system:kube-proxy")
    return {
        "/var/lib/kube-proxy/config.json": json.dumps(_proxy(spec, node), indent=2),
        "/var/lib/kube-proxy/kubeconfig": _kubeconfig(spec, identity),
    }


def _kubeconfig(spec: ClusterSpec, identity: pki.Identity) -> str:
    return pki.kubeconfig(pki.found(spec.pki), identity, server=spec.server, kube_context=spec.kube_context)


# The registries' config_path is not set, so that each version of containerd has its own default.
_CONTAINERD = f"""\
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE, a score can only be increased
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{_CNI}/net.d"
"""


def _cni(node: NodeSpec) -> str:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "isDefaultGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pods}]], "dataDir": f"{_CNI}/addresses"},
    }
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}}
    return json.dumps({"cniVersion": "0.4.0", "name": "lab", "plugins": [bridge, portmap]}, indent=2)


def _kubelet(spec: ClusterSpec, node: NodeSpec) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": False},
            "x509": {"clientCAFile": "/var/lib/kubelet/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "tlsCertFile": "/var/lib/kubelet/server.crt",
        "tlsPrivateKeyFile": "/var/lib/kubelet/server.key",
        "containerRuntimeEndpoint": f"unix:///run/{CONTAINERD_SOCKET}",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        # There is no DNS. A pod's loopback refuses a lookup at once, while another address would time out after
        # seconds. clusterDNS is set to prevent an event about missing DNS for every pod.
        "resolvConf": "/var/lib/kubelet/resolv.conf",
        "clusterDNS": ["127.0.0.1"],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.group_of(spec, node.name)}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "failCgroupV1": False,  # from 1.35 on, the kubelet rejects version 1 by default
        "oomScoreAdj": 0,
        "volumeStatsAggPeriod": "3s",  # interval of volume usage statistics; the default is one minute
        # All nodes share the disk of this computer, so evicting pods or images would not free enough space.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "1Mi", "nodefs.available": "0%", "imagefs.available": "0%"},
    }


def _proxy(spec: ClusterSpec, node: NodeSpec) -> dict[str, object]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": node.proxy_mode,
        "hostnameOverride": node.name,
        "clusterCIDR": spec.pods,
        "clientConnection": {"kubeconfig": "/var/lib/kube-proxy/kubeconfig"},
        "metricsBindAddress": f"{node.address}:{METRICS_PORT}",
        "oomScoreAdj": 0,
        # Zero keeps the kernel's values, which apply to the whole computer.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
