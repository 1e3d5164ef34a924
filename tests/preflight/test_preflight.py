"""The preflight over simulated nodes: a fake API server whose nodes pull, refuse, stay silent, fill up and leave."""

import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kube_registry.kube import retries
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.lease.lease import lease_held
from kube_registry.names import selector
from kube_registry.preflight import node_window, preflight
from kube_registry.preflight.errors import PreflightError
from kube_registry.preflight.preflight import examine_nodes, prove_nodes
from kube_registry.preflight.probe_pod import PROBE, PULLED
from kube_registry.registry.readiness import wait_ready
from kube_registry.spec.settings import Settings
from tests.fakes.connecting import kubeconfig, settings

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(120)]

Object = dict[str, Any]


@dataclass
class Fleet:
    """An API server with nodes, and the registry that their probe is stored in.

    Attributes:
        url: where it is.
        nodes: name -> node, as the API server lists them.
        pull_seconds: how long a healthy node takes.
        of_node: what a pod's status is on one node, from its age in seconds; healthy if not set.
        pods: name -> pod and when it was made.
        most: how many pods there were at once.
        asked: how many pods were made for each node.
        faults: statuses for the next creates of a pod, LOST for a lost answer to one that is carried out.
        proofs: the ConfigMap of what nodes have proven.
        services: name -> Service of a test of node ports.
        daemon_set: status of the answer about the node proxy's DaemonSet.
        proxy_mode: what each node's kube-proxy answers; it does not answer if empty.
        lease: the registry's Lease.
        dice: decide which requests meet a hiccup; none does if not set.
        hiccups: how many of each kind there were.
    """

    url: str = ""
    nodes: dict[str, Object] = field(default_factory=dict)
    pull_seconds: float = 0.0
    of_node: dict[str, Callable[[float], Object]] = field(default_factory=dict)
    pods: dict[str, tuple[Object, float]] = field(default_factory=dict)
    most: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    faults: Iterator[int] = field(default_factory=lambda: iter(()))
    proofs: Object | None = None
    services: dict[str, Object] = field(default_factory=dict)
    daemon_set: int = 404
    proxy_mode: str = ""
    lease: Object | None = None
    dice: random.Random | None = None
    hiccups: Counter[str] = field(default_factory=Counter)

    def add(self, name: str, *, taints: tuple[str, ...] = (), ready: bool = True, cordoned: bool = False) -> None:
        self.nodes[name] = {
            "metadata": {"name": name, "uid": f"uid-{name}", "labels": {}},
            "spec": {
                "unschedulable": cordoned,
                "taints": [{"key": taint, "effect": "NoSchedule"} for taint in taints],
            },
            "status": {
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "nodeInfo": {
                    "operatingSystem": "linux",
                    "architecture": "amd64",
                    "containerRuntimeVersion": "containerd://2",
                    "kubeletVersion": "v1.37.2",
                },
            },
        }

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer, or have a hiccup: before the request is carried out, or where it takes no harm from it after that."""
        is_api = not request.path.startswith("/v2/")
        hiccup = self.dice.choices(("", *HICCUPS), (0.7, *HICCUPS.values()))[0] if self.dice and is_api else ""
        self.hiccups[hiccup] += 1
        if hiccup.isdecimal():
            status = int(hiccup) if request.method != "POST" else 429
            return web.json_response({"message": "a hiccup"}, status=status, headers={"Retry-After": "0"})
        answer = web.Response() if hiccup == "cut before" else await self._carry_out(request)
        if hiccup:
            assert request.transport
            request.transport.abort()
        return answer

    async def _carry_out(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        collection, name = request.path.split("/")[-2:]
        if request.path.startswith("/v2/"):
            location = {"Location": "/v2/kube-registry/preflight/blobs/uploads/1"} if request.method == "POST" else {}
            return web.Response(status=404 if request.method in ("GET", "HEAD") else 201, headers=location)
        given = json.loads(body or b"{}")
        if "leases" in (collection, name):
            return self._of_lease(request.method, given)
        if "pods" in (collection, name):
            return self._of_pods(request, name, given)
        if "services" in (collection, name):
            return self._of_services(request.method, name, given)
        if collection == "configmaps":
            self.proofs = given if request.method == "PATCH" else self.proofs
            return web.json_response(self.proofs or {}, status=200 if self.proofs else 404)
        listed = {"items": list(self.nodes.values()) if name == "nodes" else []}
        others = {
            "deployments": (ROLLED_OUT, 200),
            "daemonsets": ({"message": FORBIDDEN}, self.daemon_set),
            "proxy": (self.proxy_mode, 200 if self.proxy_mode else 503),
        }
        content, status = others.get(collection, (listed, 200))
        return web.Response(text=content if isinstance(content, str) else json.dumps(content), status=status)

    def _of_pods(self, request: web.BaseRequest, name: str, given: Object) -> web.StreamResponse:
        if request.method == "POST":
            return self._create(request, given)
        if request.method == "DELETE":
            return web.json_response({}, status=200 if self.pods.pop(name, None) else 404)
        if request.query.get("labelSelector") == selector("registry"):
            return web.json_response({"items": [REGISTRY_POD]})
        return web.json_response({"items": [seen for pod in self.pods.values() if (seen := self._seen(*pod))]})

    def _of_services(self, method: str, name: str, given: Object) -> web.StreamResponse:
        if name == "services":
            return web.json_response({"items": list(self.services.values())})
        if method == "PATCH":
            if given["metadata"].get("name") != name:
                return web.json_response({"message": "metadata.name must be provided"}, status=400)
            given["metadata"] |= {"creationTimestamp": "2999-01-01T00:00:00Z"}
            given["spec"]["ports"][0]["nodePort"] = 31999
            self.services[name] = given
        found = self.services.pop(name, None) if method == "DELETE" else self.services.get(name)
        return web.json_response(found or {}, status=200 if found else 404)

    def _of_lease(self, method: str, given: Object) -> web.StreamResponse:
        if method == "GET":
            return web.json_response(self.lease or {}, status=200 if self.lease else 404)
        known = (self.lease or {"metadata": {}})["metadata"].get("resourceVersion")
        if given["metadata"].get("resourceVersion") != known:
            return web.json_response({"message": "the object has been modified"}, status=409)
        given["metadata"]["resourceVersion"] = str(int(known or 0) + 1)
        self.lease = given
        return web.json_response(given)

    def _create(self, request: web.BaseRequest, pod: Object) -> web.StreamResponse:
        name, fault = pod["metadata"]["name"], next(self.faults, 201)
        if fault >= 400:
            return web.json_response({"message": f"words of {fault}"}, status=fault)
        if name in self.pods:
            return web.json_response({"message": "it exists"}, status=409)
        pod["metadata"] |= {"namespace": "kube-registry", "uid": name, "creationTimestamp": "2999-01-01T00:00:00Z"}
        self.pods[name] = pod, time.monotonic()
        self.asked[pod["spec"]["nodeName"]] += 1
        self.most = max(self.most, len(self.pods))
        if fault == LOST:
            assert request.transport
            request.transport.abort()
        return web.json_response(pod, status=201)

    def _seen(self, pod: Object, made: float) -> Object | None:
        """The pod as it is by now; None where its node has gone, and the pod with it."""
        node = pod["spec"]["nodeName"]
        status = self.of_node.get(node, self._healthy)(time.monotonic() - made)
        return {**pod, "status": status} if node in self.nodes else None

    def _healthy(self, age: float) -> Object:
        return failed_start() if age >= self.pull_seconds else silent(age)


LOST = 0

FORBIDDEN = 'daemonsets.apps "node-proxy" is forbidden: User "eve" cannot get resource "daemonsets" in API group "apps"'

HICCUPS = {"429": 0.08, "503": 0.08, "500": 0.02, "cut before": 0.06, "cut after": 0.06}
"""Kind -> how many of all requests meet it."""

ROLLED_OUT = {
    "metadata": {"generation": 1},
    "spec": {"replicas": 1},
    "status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1},
}

REGISTRY_POD = {
    "metadata": {"name": "registry"},
    "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
}


def of_container(**state: Object) -> Object:
    image_id = "sha256:1" if "terminated" in state else ""
    return {"phase": "Pending", "containerStatuses": [{"name": PROBE, "imageID": image_id, "state": state}]}


def failed_start() -> Object:
    return of_container(terminated={"reason": "StartError"})


def silent(_: float) -> Object:
    return of_container(waiting={"reason": "ContainerCreating"})


def cannot_pull(_: float) -> Object:
    return of_container(waiting={"reason": "ErrImagePull", "message": "server gave HTTP response to HTTPS client"})


def answered(_: float) -> Object:
    return of_container(waiting={"reason": "ErrImagePull", "message": "localhost:31999/preflight:none: not found"})


def refused(_: float) -> Object:
    return of_container(waiting={"reason": "ErrImagePull", "message": "dial tcp 127.0.0.1:31999: connection refused"})


def full(_: float) -> Object:
    return {"phase": "Failed", "reason": "OutOfpods"}


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    fleet = Fleet()
    runner = web.ServerRunner(web.Server(fleet.answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fleet.url = f"127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield fleet
    finally:
        await runner.cleanup()


@pytest.fixture
def stack(fleet: Fleet, tmp_path: Path) -> Settings:
    return settings(kubeconfig(tmp_path / "config", {"server": f"http://{fleet.url}"}, {}))


@pytest.fixture
async def kube(stack: Settings) -> AsyncIterator[KubeClient]:
    async with open_client(stack) as kube:
        yield kube


async def words(kube: KubeClient, stack: Settings, fleet: Fleet) -> dict[str, str]:
    """Name of each node -> what it says; all of its pods are gone by then."""
    verdicts = await examine_nodes(kube, stack, fleet.url, afresh=False)
    assert fleet.pods == {}
    return {node.name: verdict.words for node, verdict in verdicts.items()}


class TestWindow:
    async def test_a_thousand_nodes_have_their_turn(self, fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
        """At 3 s each; in batches of 50 some had none before all had to be done."""
        for number in range(1000):
            fleet.add(f"node-{number:04}")
        fleet.pull_seconds = 3.0
        started = time.monotonic()
        said = await words(kube, stack, fleet)
        assert Counter(said.values()) == {PULLED.words: 1000}
        assert fleet.most <= node_window.AT_ONCE
        assert time.monotonic() - started < 60

    async def test_silent_nodes_cost_no_other_its_turn(
        self, fleet: Fleet, kube: KubeClient, stack: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nearly all that are asked at once are silent, and the rest get by on what is left."""
        monkeypatch.setattr(node_window, "AT_ONCE", 10)
        monkeypatch.setattr(node_window, "VERDICT_SECONDS", 4.0)
        for number in range(150):
            fleet.add(f"node-{number:03}")
        lame, turns = [f"node-{number:03}" for number in range(8)], list[int]()

        def waited_for(age: float) -> Object:
            turns.append(len(fleet.asked))
            return silent(age)

        fleet.of_node = dict.fromkeys(lame, waited_for)
        fleet.pull_seconds = 0.05
        said = await words(kube, stack, fleet)
        assert sorted(name for name, told in said.items() if told != PULLED.words) == lame
        assert fleet.most == 10
        assert max(turns) > 10  # others have their turn before the silent ones' time is over


class TestWhatStopsAnUpdate:
    async def test_a_node_that_cannot_be_asked_now_does_not_and_is_named(
        self, fleet: Fleet, kube: KubeClient, stack: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(node_window, "VERDICT_SECONDS", 0.5)
        taints = {
            "starting": "node.cilium.io/agent-not-ready",
            "new": "node.cloudprovider.kubernetes.io/uninitialized",
            "leaving": "karpenter.sh/disrupted",
            "shrinking": "ToBeDeletedByClusterAutoscaler",
            "pressed": "node.kubernetes.io/disk-pressure",
        }
        for name, taint in taints.items():
            fleet.add(name, taints=(taint,))
        fleet.add("cordoned", cordoned=True)
        fleet.add("down", ready=False)
        for name in ("well", "full", "silent"):
            fleet.add(name)
        fleet.of_node = {"full": full, "silent": silent}
        said: list[str] = []
        await prove_nodes(kube, stack, fleet.url, said.append)
        assert set(fleet.asked) == {"well", "full", "silent"}
        (line,) = said
        assert all(name in line for name in [*taints, "cordoned", "down", "full", "silent"])
        assert all(taint in line for taint in taints.values())
        assert "OutOfpods" in line
        assert "update that pushes" in line  # one that pushes nothing asks no node
        assert "well" not in line

        fleet.of_node = {}
        for name in [*taints, "cordoned", "down"]:
            fleet.add(name)
        said.clear()
        await prove_nodes(kube, stack, fleet.url, said.append)
        assert said == []
        assert set(fleet.asked) == set(fleet.nodes)
        assert fleet.asked["well"] == 1

    async def test_a_node_that_cannot_pull_does(self, fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
        for name in ("well", "full", "wrong"):
            fleet.add(name)
        fleet.of_node = {"full": full, "wrong": cannot_pull}
        with pytest.raises(PreflightError) as raised:
            await prove_nodes(kube, stack, fleet.url, print)
        assert [row[0] for row in raised.value.rows] == ["wrong"]
        assert raised.value.failing == 1

    async def test_a_node_of_a_dedicated_pool_is_asked(self, fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
        fleet.add("node-1", taints=("dedicated",))
        assert await words(kube, stack, fleet) == {"node-1": PULLED.words}

    async def test_a_node_that_leaves_meanwhile_does_not(self, fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
        fleet.add("well")
        fleet.add("going")

        def going(_: float) -> Object:
            fleet.nodes.pop("going", None)
            return silent(0)

        fleet.of_node = {"going": going}
        said: list[str] = []
        await prove_nodes(kube, stack, fleet.url, said.append)
        assert ["going" in line for line in said] == [True]
        assert fleet.asked == {"well": 1, "going": 1}

    async def test_nor_does_one_that_could_not_pull_before_it_left(
        self, fleet: Fleet, kube: KubeClient, stack: Settings
    ) -> None:
        class Pods(dict[str, tuple[Object, float]]):
            def pop(self, *given: Any) -> Any:  # noqa: ANN401 - as of a dict
                fleet.nodes.pop("going", None)
                return super().pop(*given)

        for name in ("well", "going"):
            fleet.add(name)
        fleet.of_node, fleet.pods, said = {"going": cannot_pull}, Pods(), list[str]()
        fleet.pull_seconds = 1.0
        await prove_nodes(kube, stack, fleet.url, said.append)
        assert ["going" in line for line in said] == [True]

    async def test_what_was_proven_stays_while_a_node_is_away(
        self, fleet: Fleet, kube: KubeClient, stack: Settings
    ) -> None:
        fleet.add("one")
        assert await words(kube, stack, fleet) == {"one": PULLED.words}
        fleet.add("one", cordoned=True)
        fleet.add("two")
        assert await words(kube, stack, fleet) == dict.fromkeys(("one", "two"), PULLED.words)
        assert fleet.asked == {"one": 1, "two": 1}


@pytest.mark.parametrize("fault", [LOST, 429, 500, 503])
async def test_a_create_that_fails_by_the_way_costs_no_node(
    fleet: Fleet, kube: KubeClient, stack: Settings, fault: int
) -> None:
    for number in range(4):
        fleet.add(f"node-{number}")
    fleet.faults = iter([fault, 201, fault, fault])
    assert set((await words(kube, stack, fleet)).values()) == {PULLED.words}
    assert set(fleet.asked.values()) == {1}


async def test_an_admission_that_is_broken_is_named_soon(
    fleet: Fleet, kube: KubeClient, stack: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a webhook that does not answer: the API server says 500 to each create."""
    monkeypatch.setattr(retries, "PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(preflight, "PREFLIGHT_SECONDS", 20.0)
    fleet.add("node-1")
    fleet.faults, started = repeat(500), time.monotonic()
    said: list[str] = []
    await prove_nodes(kube, stack, fleet.url, said.append)
    assert "probe pod rejected: words of 500" in said[0]
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("key", ["nodes", "unanswered"])
@pytest.mark.parametrize("written", ["edited", "1", "[1]", '[["a", "b", "soon", "c"]]', "[" * 5_000 + "]" * 5_000])
async def test_records_that_make_no_sense_are_none(
    fleet: Fleet, kube: KubeClient, stack: Settings, key: str, written: str
) -> None:
    fleet.add("node-1")
    await prove_nodes(kube, stack, fleet.url, print)
    assert fleet.proofs
    fleet.proofs["data"][key] = written
    await prove_nodes(kube, stack, fleet.url, print)
    assert fleet.proofs["data"][key] != written


async def test_an_admission_that_is_against_the_pods_is_named(fleet: Fleet, kube: KubeClient, stack: Settings) -> None:
    fleet.add("node-1")
    fleet.faults = iter([403])
    said: list[str] = []
    await prove_nodes(kube, stack, fleet.url, said.append)
    assert "words of 403" in said[0]


@pytest.mark.parametrize("seed", [9, 10, 11])
async def test_no_hiccup_of_the_api_server_stops_an_update(
    fleet: Fleet, kube: KubeClient, stack: Settings, seed: int
) -> None:
    """Three in ten requests fail; the registry is waited for, the lease held and every node asked all the same."""
    for number in range(20):
        fleet.add(f"node-{number:02}")
    async with lease_held(kube, "before", alone=False, say=print):
        fleet.dice = random.Random(seed)  # noqa: S311 - nothing is kept secret with it
    for update in range(5):
        fleet.proofs, said = None, list[str]()
        await wait_ready(kube, seconds=120)
        async with lease_held(kube, f"update {update}", alone=False, say=said.append) as lease:
            await prove_nodes(kube, stack, fleet.url, said.append)
            assert lease.held()
        assert (said, fleet.pods) == ([], {})
    assert all(fleet.hiccups[kind] for kind in HICCUPS)
