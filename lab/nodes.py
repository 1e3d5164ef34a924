"""A node of a cluster: containerd, kubelet and kube-proxy on a machine of its own.

Owns these processes' arguments and files, and that the lab's images are there before the kubelet asks for them.
"""

import http.client
import json
import re
from pathlib import Path

from lab import cgroups, images, machines, pki
from lab.commands import run_logged
from lab.machines import Machine
from lab.spec import ClusterSpec, NodeSpec
from lab.waiting import wait_for

CONTAINERD_SECONDS = 30.0
IMPORT_SECONDS = 120.0
METRICS_PORT = 10249
"""Where kube-proxy tells when it last put its rules in place."""

KUBELET, PROXY, CONTAINERD = "kubelet", "kube-proxy", "containerd"
_CNI = "/var/lib/cni"
_LAST_SYNC = re.compile(rb"^kubeproxy_sync_proxy_rules_last_timestamp_seconds.* (\S+)$", re.MULTILINE)
CONTAINERD_SOCKET = "containerd/containerd.sock"
"""Within the machine's /run."""


def machine_of(spec: ClusterSpec, node: NodeSpec) -> Machine:
    """The machine that a node runs on."""
    return Machine(spec, node.name)


def commands(node: NodeSpec) -> dict[str, list[str]]:
    """The arguments of each process, in the order of their start."""
    return {
        CONTAINERD: ["containerd", "--config=/var/lib/containerd.toml"],
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
    """Start containerd on the node's running machine and give it the images; needs no control plane. Idempotent.

    Raises:
        LabError: containerd did not come up, or did not take the images.
    """
    machine = machine_of(spec, node)
    if not machine.runs(CONTAINERD):
        machine.write({"/var/lib/containerd.toml": _CONTAINERD, f"{_CNI}/net.d/10-lab.conflist": _cni(node)})
        machines.start(machine, CONTAINERD, commands(node)[CONTAINERD])
    socket = machine.run / CONTAINERD_SOCKET

    def listening() -> bool:
        machines.watch(machine, CONTAINERD)
        return socket.exists()

    wait_for(listening, f"containerd on {node.name} to listen", log=machine.log(CONTAINERD), seconds=CONTAINERD_SECONDS)
    _import_images(machine, socket)


def start(spec: ClusterSpec, node: NodeSpec) -> None:
    """Start what does not run of kubelet and kube-proxy, on a prepared machine.

    Raises:
        LabError: one of them ended at once.
    """
    machine = machine_of(spec, node)
    cgroups.create(cgroups.group_of(spec, node.name))
    for name, files in ((KUBELET, _kubelet_files), (PROXY, _proxy_files)):
        # Never under a process that runs: kube-proxy ends when its configuration is written anew.
        if not machine.runs(name):
            machine.write(files(spec, node))
            machines.start(machine, name, commands(node)[name])


def has_service_rules(node: NodeSpec) -> bool:
    """Whether the kube-proxy that runs on that node has put its rules in place; its /healthz is fine before that."""
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
    command = ["ctr", f"--address={socket}", "--namespace=k8s.io", "images", "import", str(archive)]
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


# No config_path for registries: this is what makes containerd pull from localhost over plain HTTP, as it does by
# default in the versions that most clusters run.
_CONTAINERD = f"""\
version = 2
disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs"]

[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd-opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{images.PAUSE}"
  restrict_oom_score_adj = true # without CAP_SYS_RESOURCE a score can only be raised
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
        # There is no DNS. A look-up is refused at once on a pod's own loopback, where any other address would have it
        # wait for seconds; named here as well, it keeps every pod from an event about missing DNS.
        "resolvConf": "/var/lib/kubelet/resolv.conf",
        "clusterDNS": ["127.0.0.1"],
        "clusterDomain": "cluster.local",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.group_of(spec, node.name)}",
        "enforceNodeAllocatable": [],
        "failSwapOn": False,
        "oomScoreAdj": 0,
        "volumeStatsAggPeriod": "3s",  # how full volumes are; usually counted once a minute
        # The disk is everybody's: a node that throws out pods or images because others fill it helps nobody.
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
        # Zero leaves the kernel's values alone, which are the whole computer's.
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
