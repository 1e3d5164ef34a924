"""The mode of kube-proxy, from the DaemonSets of several distributions, or as each node's kube-proxy reports it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kube_registry.kube import proxy_mode
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.nodes import Node
from kube_registry.kube.proxy_mode import UNKNOWN, ProxyMode, configured_mode, proxy_modes
from tests.fakes.connecting import kubeconfig, settings

pytestmark = pytest.mark.anyio

Object = dict[str, Any]

NODE = Node("one", "uid", "amd64", "containerd://2.4.2", "v1.37.2")
OTHER = Node("other", "uid-2", "amd64", "containerd://2.4.2", "v1.37.2")

KUBEADM = ["/usr/local/bin/kube-proxy", "--config=/var/lib/kube-proxy/config.conf", "--hostname-override=$(NODE_NAME)"]
EKS = ["kube-proxy", "--v=2", "--config=/var/lib/kube-proxy-config/config"]
TALOS = ["/usr/local/bin/kube-proxy", "--cluster-cidr=10.244.0.0/16", "--proxy-mode=nftables"]


GATE = "KubeProxyNFTablesLocalhostNodePorts"
LOCALHOST = {"mode": "nftables", "nodePortAddresses": ["primary", "localhost"]}


@dataclass
class Cluster:
    """What an API server says of kube-proxy.

    Attributes:
        daemon_sets: the DaemonSets of that name.
        config_maps: name -> data.
        reported: node -> what its kube-proxy answers; a node that is not listed refuses the connection.
        silent: whether such a node does not answer at all.
    """

    daemon_sets: list[Object] = field(default_factory=list)
    config_maps: Mapping[str, Object] = field(default_factory=dict)
    reported: Mapping[str, str] = field(default_factory=dict)
    silent: bool = False

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        path = request.path
        if path == "/apis/apps/v1/namespaces/kube-system/daemonsets":
            assert request.query["fieldSelector"] == "metadata.name=kube-proxy"
            return web.json_response({"items": self.daemon_sets})
        maps = "/api/v1/namespaces/kube-system/configmaps/"
        if path.startswith(maps):
            data = self.config_maps.get(path.removeprefix(maps))
            return web.json_response({"data": data}, status=200 if data else 404)
        for node, mode in self.reported.items():
            if path == f"/api/v1/nodes/{node}:10249/proxy/proxyMode":
                return web.Response(text=mode)
        if self.silent:
            await asyncio.Event().wait()
        return web.json_response({"message": "connection refused"}, status=503)


@asynccontextmanager
async def client_of(cluster: Cluster, folder: Path) -> AsyncIterator[KubeClient]:
    runner = web.ServerRunner(web.Server(cluster.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        server = {"server": f"http://127.0.0.1:{runner.addresses[0][1]}"}
        async with open_client(settings(kubeconfig(folder / "kubeconfig", server, {}))) as kube:
            yield kube
    finally:
        await runner.cleanup()


def daemon_set(command: list[str], config_map: str = "", folder: str = "") -> Object:
    mounts = [{"name": "config", "mountPath": folder}, {"name": "modules", "mountPath": "/lib/modules"}]
    volumes = [{"name": "config", "configMap": {"name": config_map}}, {"name": "modules", "hostPath": {}}]
    container = {"name": "kube-proxy", "command": command, "volumeMounts": mounts}
    return {"spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}}}


def stored(mode: str) -> str:
    """The part of a configuration that matters, as kubeadm writes it."""
    return f'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: "{mode}"\n'


async def read(cluster: Cluster, folder: Path) -> ProxyMode:
    async with client_of(cluster, folder) as kube:
        return (await proxy_modes(kube, [NODE]))[NODE]


@pytest.mark.parametrize(
    ("written", "mode"),
    [
        ("", ProxyMode("iptables", explicit=False, on_loopback=True)),
        ("nftables", ProxyMode("nftables", explicit=True, on_loopback=False)),
    ],
)
async def test_the_mode_is_read_from_the_config_map_of_kubeadm(written: str, mode: ProxyMode, tmp_path: Path) -> None:
    found = daemon_set(KUBEADM, "kube-proxy", "/var/lib/kube-proxy")
    maps = {"kube-proxy": {"kubeconfig.conf": "", "config.conf": stored(written)}}
    assert await read(Cluster([found], maps), tmp_path) == mode


async def test_the_mode_is_read_from_the_config_map_of_eks(tmp_path: Path) -> None:
    found = daemon_set(EKS, "kube-proxy-config", "/var/lib/kube-proxy-config/")
    maps = {"kube-proxy-config": {"config": stored("ipvs")}}
    assert await read(Cluster([found], maps), tmp_path) == ProxyMode("ipvs", explicit=True, on_loopback=False)


async def test_the_mode_is_read_from_the_flags_of_talos(tmp_path: Path) -> None:
    assert await read(Cluster([daemon_set(TALOS)]), tmp_path) == ProxyMode("nftables", explicit=True, on_loopback=False)


async def test_each_node_is_asked_where_there_is_no_daemon_set(tmp_path: Path) -> None:
    async with client_of(Cluster(reported={"one": "iptables"}), tmp_path) as kube:
        found = await proxy_modes(kube, [NODE, OTHER])
    assert found == {NODE: ProxyMode("iptables", explicit=None, on_loopback=True), OTHER: UNKNOWN}


@pytest.mark.parametrize(
    "cluster",
    [
        Cluster([daemon_set(["sh", "-c", "/run.sh"])]),
        Cluster([daemon_set(KUBEADM)]),
        Cluster([daemon_set(KUBEADM, "missing", "/var/lib/kube-proxy")]),
        *(
            Cluster([daemon_set(EKS, "odd", "/var/lib/kube-proxy-config")], {"odd": {"config": config}})
            for config in (
                "# nothing",
                "- mode",
                "mode: [",
                "since: 2026-13-45",
                "iptables: localhostNodePorts=false",
                "nodePortAddresses: 127",
                f"mode: nftables\nnodePortAddresses: [localhost]\nfeatureGates: {GATE}=true",
            )
        ),
    ],
)
async def test_what_cannot_be_understood_is_unknown_and_no_failure(cluster: Cluster, tmp_path: Path) -> None:
    assert await read(cluster, tmp_path) == UNKNOWN
    cluster.reported = {"one": "nftables"}
    assert await read(cluster, tmp_path) == ProxyMode("nftables", explicit=None, on_loopback=False)


async def test_a_node_that_does_not_answer_is_unknown_and_the_others_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_mode, "_ASK_SECONDS", 0.5)
    async with client_of(Cluster(reported={"one": "iptables"}, silent=True), tmp_path) as kube:
        found = await proxy_modes(kube, [NODE, OTHER])
    assert found == {NODE: ProxyMode("iptables", explicit=None, on_loopback=True), OTHER: UNKNOWN}


@pytest.mark.parametrize(
    ("config", "version", "mode"),
    [
        ({}, "v1.39.1", ProxyMode("iptables", explicit=False, on_loopback=True)),
        ({"mode": ""}, "v1.40.0-gke.1", ProxyMode("nftables", explicit=False, on_loopback=False)),
        ({"mode": "iptables"}, "v1.40.0", ProxyMode("iptables", explicit=True, on_loopback=True)),
        (
            {"iptables": {"localhostNodePorts": False}},
            "v1.37.2",
            ProxyMode("iptables", explicit=False, on_loopback=False),
        ),
        (
            {"iptables": {"localhostNodePorts": None}},
            "v1.37.2",
            ProxyMode("iptables", explicit=False, on_loopback=True),
        ),
        ({"nodePortAddresses": ["primary"]}, "v1.37.2", ProxyMode("iptables", explicit=False, on_loopback=False)),
        ({"nodePortAddresses": ["127.0.0.0/8"]}, "v1.37.2", ProxyMode("iptables", explicit=False, on_loopback=True)),
        ({"nodePortAddresses": ["all"]}, "v1.37.2", ProxyMode("iptables", explicit=False, on_loopback=True)),
        (LOCALHOST, "v1.37.2", ProxyMode("nftables", explicit=True, on_loopback=False)),
        (
            {**LOCALHOST, "featureGates": {GATE: True}},
            "v1.37.2",
            ProxyMode("nftables", explicit=True, on_loopback=True),
        ),
        (LOCALHOST, "v1.38.0", ProxyMode("nftables", explicit=True, on_loopback=True)),
        (
            {"mode": "nftables", "featureGates": {GATE: True}},
            "v1.38.0",
            ProxyMode("nftables", explicit=True, on_loopback=False),
        ),
    ],
)
def test_what_a_configuration_results_in(config: Object, version: str, mode: ProxyMode) -> None:
    assert configured_mode(config, version) == mode
