"""What keeps a registry from running, each in Kubernetes' own words and soon; all cases at once, without Pulumi."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from components.door_config import config_files
from components.registry_pod import deployment_spec
from kube_registry.kube.client import open_client
from kube_registry.names import REGISTRY, labels
from kube_registry.registry.errors import NotReadyError
from kube_registry.registry.readiness import wait_ready
from kube_registry.spec.settings import Settings
from lab.waiting import wait_for
from tests.e2e.conftest import Lab

pytestmark = pytest.mark.lab

KNOWN_SECONDS = 20
"""How soon after the API server knows a reason it is to be told."""

LAST_TRY_IN_VAIN = 5
"""A node tries at 0, 0.5, 1.5, 3.5, 7.5 and 15.5 seconds (kubernetes pkg/util/goroutinemap/exponentialbackoff)."""

Manifests = dict[str, dict[str, Any]]


def no_such_class(manifests: Manifests) -> None:
    manifests["claim"]["spec"]["storageClassName"] = "no-such-class"


def no_pods_allowed(manifests: Manifests) -> None:
    manifests["quota"] = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {"pods": "0"}},
    }


def no_such_node(manifests: Manifests) -> None:
    manifests["deployment"]["spec"]["template"]["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "nowhere"}


def no_such_configuration(manifests: Manifests) -> None:
    manifests["deployment"]["spec"]["template"]["spec"]["containers"][1]["args"] = ["serve", "/nowhere.yml"]


CASES: dict[str, tuple[Callable[[Manifests], None], str]] = {
    "ready-claim": (no_such_class, "its claim registry has no volume: ProvisioningFailed: storageclass.storage.k8s.io"),
    "ready-quota": (no_pods_allowed, "exceeded quota: none"),
    "ready-node": (no_such_node, "is not scheduled: 0/2 nodes are available"),
    "ready-start": (no_such_configuration, "container read of pod"),
}


def manifests_of(settings: Settings) -> Manifests:
    metadata = {"name": REGISTRY, "labels": labels("registry")}
    return {
        "claim": {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": metadata,
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        },
        "config": {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config_files(settings)},
        "deployment": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": deployment_spec(settings),
        },
    }


def settings_for(lab: Lab, namespace: str) -> Settings:
    config = {
        "kubeContext": lab.cluster.kube_context,
        "kubeconfig": str(lab.cluster.kubeconfig),
        "namespace": namespace,
        "images": {"app": {}},
    }
    return Settings.parse(config, project="kube-registry", stack="ready")


@pytest.fixture(scope="module")
def told(lab: Lab) -> Iterator[dict[str, NotReadyError]]:
    """What each case is told, all waited for side by side."""
    for namespace, (spoil, _) in CASES.items():
        manifests = manifests_of(settings_for(lab, namespace))
        spoil(manifests)
        lab.kubectl("create", "namespace", namespace)
        # The quota before what it forbids.
        items = sorted(manifests.values(), key=lambda manifest: str(manifest["kind"]) != "ResourceQuota")
        for item in items:
            lab.kubectl("apply", "--namespace", namespace, "--filename", "-", given=json.dumps(item))
    yield asyncio.run(_all_told(lab))
    lab.kubectl("delete", "namespace", *CASES, "--wait=false")


async def _all_told(lab: Lab) -> dict[str, NotReadyError]:
    async def ask(namespace: str) -> NotReadyError:
        async with open_client(settings_for(lab, namespace)) as kube:
            with pytest.raises(NotReadyError) as raised:
                await wait_ready(kube, seconds=60)
        return raised.value

    async with asyncio.TaskGroup() as group:
        tasks = {namespace: group.create_task(ask(namespace)) for namespace in CASES}
    return {namespace: task.result() for namespace, task in tasks.items()}


@pytest.mark.parametrize("namespace", CASES)
def test_the_reason_is_told_in_its_own_words_and_soon(told: dict[str, NotReadyError], namespace: str) -> None:
    error = told[namespace]
    assert CASES[namespace][1] in error.reason
    assert f"the registry in namespace {namespace} of kube context" in str(error)
    assert "\n" not in str(error)
    assert error.seconds < KNOWN_SECONDS


def test_what_a_node_gets_done_at_a_later_try_is_no_failure(lab: Lab) -> None:
    """A warning stays when the next try succeeds, after 15 seconds, and while the pod then starts."""
    namespace = "ready-late"
    manifests = manifests_of(settings_for(lab, namespace))
    container = manifests["deployment"]["spec"]["template"]["spec"]["containers"][1]
    container["readinessProbe"]["initialDelaySeconds"] = 20  # until long after a warning would be reported
    lab.kubectl("create", "namespace", namespace)

    def apply(*names: str) -> None:
        for name in names:
            lab.kubectl("apply", "--namespace", namespace, "--filename", "-", given=json.dumps(manifests[name]))

    def tried() -> bool:
        events = lab.get("events", "--namespace", namespace, "--field-selector", "reason=FailedMount")
        return any(event.get("count", 0) >= LAST_TRY_IN_VAIN for event in events)

    def fix() -> None:
        wait_for(tried, "the node to try in vain", log=Path("/dev/null"), seconds=30)
        apply("config")

    async def run() -> None:
        async with open_client(settings_for(lab, namespace)) as kube, asyncio.TaskGroup() as group:
            waiting = group.create_task(wait_ready(kube, seconds=60))
            await asyncio.to_thread(fix)
            assert not waiting.done()

    apply("claim", "deployment")
    try:
        asyncio.run(run())  # NotReadyError if the warning counted too soon
    finally:
        lab.kubectl("delete", "namespace", namespace, "--wait=false")
