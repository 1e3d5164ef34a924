"""Read the mode of each node's kube-proxy, which decides whether a node port is served on the node's loopback.

kube-proxy reports its mode on loopback only, unless it is configured otherwise. So the DaemonSet as which most
distributions run it is read first, with its ConfigMap: one answer for all nodes, which also shows whether the mode is
set. Without such a DaemonSet, as in k3s, each node's kube-proxy is asked through the API server.

Fields and flags: kubernetes staging/src/k8s.io/kube-proxy/config/v1alpha1/types.go, cmd/kube-proxy/app/options.go.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import yaml

from kube_registry.concurrency import map_limited
from kube_registry.errors import ClusterError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node
from kube_registry.kube.pods import Object
from kube_registry.spec.versions import parsed

IPTABLES: Final = "iptables"
NFTABLES: Final = "nftables"
IPVS: Final = "ipvs"

NFTABLES_DEFAULT: Final = (1, 40)
"""The Kubernetes version from which a kube-proxy without a mode uses nftables on Linux (KEP-5343)."""

NAMESPACE: Final = "kube-system"
_NAME = "kube-proxy"
"""The DaemonSet's namespace and name: kubeadm, kind, EKS, AKS, Talos, k0s."""

_METRICS_PORT = 10249
"""Port on which kube-proxy reports its mode (kubernetes cmd/kube-proxy/app/server.go), by default on loopback only."""

_ASK_SECONDS = 5.0
"""How long all nodes together may take: a firewall may drop what the API server sends to that port."""

_AT_ONCE = 20

_LOCALHOST_GATE = "KubeProxyNFTablesLocalhostNodePorts"
_LOCALHOST_BETA = (1, 38)
"""Feature gate with which the mode nftables serves loopback, if nodePortAddresses names it, and the version from which
the gate is on by default (KEP-6032)."""

_NOT_UNDERSTOOD = (yaml.YAMLError, LookupError, AttributeError, TypeError, ValueError)
"""Errors of a DaemonSet or configuration of another form than expected; a wrong date in YAML is a ValueError."""

_FLAG = re.compile(r"--([a-z-]+)[= ](?!--)(\S+)")


@dataclass(frozen=True)
class ProxyMode:
    """The mode of a node's kube-proxy.

    Args:
        name: "iptables", "nftables" or "ipvs"; empty if unknown.
        explicit: whether the configuration sets the mode; None if unknown. If not, it is the default of the version.
        on_loopback: whether a node port is served on 127.0.0.1, according to the configuration; None if unknown.
    """

    name: str = ""
    explicit: bool | None = None
    on_loopback: bool | None = None

    def __str__(self) -> str:
        """Return the mode for a table."""
        return self.name or "?"


UNKNOWN: Final = ProxyMode()


async def proxy_modes(kube: KubeClient, nodes: Iterable[Node]) -> dict[Node, ProxyMode]:
    """Return the mode of each node's kube-proxy; UNKNOWN where it cannot be read. Never fails.

    Args:
        kube: client of the cluster.
        nodes: the nodes.
    """
    found = dict.fromkeys(nodes, UNKNOWN)
    with suppress(ClusterError, *_NOT_UNDERSTOOD):
        if config := await _configuration(kube):
            return {node: configured_mode(config, node.version) for node in found}
    with suppress(TimeoutError):
        async with asyncio.timeout(_ASK_SECONDS):

            async def ask(node: Node) -> None:
                found[node] = await _reported_mode(kube, node)

            await map_limited(ask, list(found), at_once=_AT_ONCE)
    return found


def configured_mode(config: Mapping[str, Any], version: str) -> ProxyMode:
    """Return the mode that a configuration of kube-proxy results in.

    Args:
        config: a KubeProxyConfiguration.
        version: version of kube-proxy, or of its node's kubelet.
    """
    explicit, known = str(config.get("mode") or ""), parsed(version) or (0, 0)
    name = explicit or (NFTABLES if known >= NFTABLES_DEFAULT else IPTABLES)
    return ProxyMode(name, bool(explicit), _serves_loopback(name, config, known))


def _serves_loopback(mode: str, config: Mapping[str, Any], version: tuple[int, int]) -> bool:
    addresses = [str(each) for each in config.get("nodePortAddresses") or []]
    named = any(each == "localhost" or each.startswith("127.") for each in addresses)
    if mode == NFTABLES:
        gates = config.get("featureGates") or {}
        return named and bool(gates.get(_LOCALHOST_GATE, version >= _LOCALHOST_BETA))
    allowed = (config.get("iptables") or {}).get("localhostNodePorts") is not False
    return mode == IPTABLES and allowed and (named or not addresses or bool({"all", "0.0.0.0/0"} & {*addresses}))


async def _reported_mode(kube: KubeClient, node: Node) -> ProxyMode:
    try:
        name = await kube.once.text(f"/api/v1/nodes/{node.name}:{_METRICS_PORT}/proxy/proxyMode")
    except ClusterError:
        return UNKNOWN
    if name not in (IPTABLES, NFTABLES, IPVS):  # another program answers
        return UNKNOWN
    return ProxyMode(name, explicit=None, on_loopback=name == IPTABLES)


async def _configuration(kube: KubeClient) -> Mapping[str, Any]:
    """Return the configuration of the DaemonSet's pods; empty without a DaemonSet, or if its flags name none.

    Raises:
        ClusterError: the DaemonSet or its ConfigMap cannot be read.
        LookupError: the DaemonSet has another form than expected.
        yaml.YAMLError: the configuration is not YAML.
    """
    path = kube.path("daemonsets", group="apps/v1", namespace=NAMESPACE)
    # A list of one: housekeepers may list DaemonSets, but not get one.
    for daemon_set in (await kube.get(path, fieldSelector=f"metadata.name={_NAME}"))["items"]:
        pod = daemon_set["spec"]["template"]["spec"]
        container = {each["name"]: each for each in pod["containers"]}[_NAME]
        flags = dict(_FLAG.findall(" ".join([*container.get("command", []), *container.get("args", [])])))
        if "config" not in flags:  # otherwise kube-proxy ignores the other flags
            return {"mode": flags["proxy-mode"]} if "proxy-mode" in flags else {}
        file = PurePosixPath(flags["config"])
        name = _config_map(pod, container, str(file.parent))
        stored = await kube.get(kube.path("configmaps", name, namespace=NAMESPACE))
        config = yaml.safe_load(stored["data"][file.name])
        return config if isinstance(config, Mapping) else {}
    return {}


def _config_map(pod: Object, container: Object, folder: str) -> str:
    """Return the name of the ConfigMap that a container mounts at a folder."""
    mounted = {mount["mountPath"].rstrip("/"): mount["name"] for mount in container["volumeMounts"]}
    maps = {volume["name"]: volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume}
    return str(maps[mounted[folder]])
