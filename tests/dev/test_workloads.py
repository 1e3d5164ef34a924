"""Which workloads run the new images, and whether their pods do."""

from typing import Any

import pytest

from kube_registry.dev import workloads
from kube_registry.dev.workloads import Pods, Workload, pods_of, problem_of, workloads_with

NEW, OLD = "sha256:" + "a" * 64, "sha256:" + "b" * 64
REFERENCE = f"localhost:30100/app:tag@{NEW}"

ALL, NONE, AGAIN = Pods((("default", "a"),)), Pods((), "0 of 1"), Pods((("default", "a"),), restarts=1)


def spec(*images: object) -> dict[str, Any]:
    return {"containers": [{"name": f"c{number}", "image": image} for number, image in enumerate(images)]}


def resource(kind: str, pod: object, name: str = "default/web") -> dict[str, Any]:
    return {"type": kind, "id": name, "inputs": {"spec": {"template": {"spec": pod}}}}


def test_workloads_are_those_whose_pods_name_the_new_digest() -> None:
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
    resources = [
        resource("kubernetes:apps/v1:Deployment", spec("busybox", REFERENCE), "shop/web"),
        resource("kubernetes:apps/v1:DaemonSet", {"containers": [], "initContainers": [{"image": REFERENCE}]}),
        resource("kubernetes:apps/v1:StatefulSet", spec(f"localhost:30100/app:tag@{OLD}"), "default/old"),
        resource("kubernetes:apps/v1:Deployment", spec(REFERENCE), "")
        | {"inputs": {"metadata": {"name": "new"}, "spec": spec(REFERENCE)}},
        resource("kubernetes:batch/v1:CronJob", spec(REFERENCE), "default/cron"),
        resource("kubernetes:apps/v1:Deployment", secret, "default/secret"),
        resource("kubernetes:apps/v1:Deployment", spec(secret), "default/secret-image"),
        {"type": "kubernetes:core/v1:ConfigMap", "id": "default/data", "inputs": {"data": {"image": REFERENCE}}},
    ]
    assert workloads_with([REFERENCE], resources) == [
        Workload("deployments", "shop", "web", frozenset([NEW])),
        Workload("daemonsets", "default", "web", frozenset([NEW])),
        Workload("deployments", "default", "new", frozenset([NEW])),
    ]


def pod(name: str, digest: str = NEW, *, ran: str | None = None, ready: bool = True, leaving: bool = False) -> Any:  # noqa: ANN401
    leaves = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if leaving else {}
    status = {
        "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        "containerStatuses": [
            {"name": "c0", "imageID": f"localhost:30100/app@{ran or digest}", "state": {}, "restartCount": 0}
        ],
    }
    return {
        "metadata": {"namespace": "default", "name": name, **leaves},
        "spec": spec(f"localhost:30100/app:tag@{digest}"),
        "status": status,
    }


DEPLOYMENT = {
    "kind": "Deployment",
    "metadata": {"generation": 2},
    "spec": {"replicas": 2},
    "status": {"observedGeneration": 2},
}


@pytest.mark.parametrize(
    ("pods", "running", "complete"),
    [
        ([pod("a"), pod("b")], ("a", "b"), True),
        ([pod("a")], ("a",), False),
        ([pod("a"), pod("b", OLD)], ("a",), False),
        ([pod("a"), pod("b"), pod("c", OLD)], ("a", "b"), False),
        ([pod("a"), pod("b"), pod("c", OLD, leaving=True)], ("a", "b"), True),
        ([pod("a"), pod("b", ready=False)], ("a",), False),
        ([pod("a"), pod("b", ran=OLD)], ("a",), False),
    ],
)
def test_all_pods_have_to_be_ready_with_the_new_digest(
    pods: list[Any], running: tuple[str, ...], *, complete: bool
) -> None:
    found = pods_of(DEPLOYMENT, pods, frozenset([NEW]))
    assert found.names == tuple(("default", name) for name in running)
    assert (found.missing is None) == complete


def test_a_workload_whose_controller_has_not_seen_the_change_is_not_complete() -> None:
    stale = {**DEPLOYMENT, "status": {"observedGeneration": 1}}
    assert pods_of(stale, [pod("a"), pod("b")], frozenset([NEW])).missing


def test_a_daemonset_wants_the_pods_that_its_controller_has_scheduled() -> None:
    item = {"kind": "DaemonSet", "metadata": {}, "spec": {}, "status": {"desiredNumberScheduled": 1}}
    assert pods_of(item, [pod("a")], frozenset([NEW])) == Pods((("default", "a"),))


def test_a_workload_that_is_scaled_to_zero_is_complete() -> None:
    assert pods_of({**DEPLOYMENT, "spec": {"replicas": 0}}, [], frozenset([NEW])) == Pods(())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([ALL, ALL], ALL),
        ([NONE, ALL, ALL], ALL),
        ([ALL, NONE, AGAIN, AGAIN], AGAIN),
        ([ALL, AGAIN, AGAIN], AGAIN),
        ([ALL, NONE], NONE),
    ],
    ids=["at once", "later", "after it had ended", "after it had been started again", "never"],
)
async def test_pods_have_to_stay_ready(seen: list[Pods], expected: Pods, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "STABLE_SECONDS", 0.01)
    monkeypatch.setattr(workloads, "PODS_SECONDS", 1.0)
    reads = iter(seen)

    async def read() -> Pods:
        return next(reads, seen[-1])

    assert await workloads.stable(read) == expected


@pytest.mark.anyio
async def test_the_second_in_which_pods_stay_ready_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "STABLE_SECONDS", 0.01)
    reads: list[Pods] = []

    async def read() -> Pods:
        reads.append(Pods((("default", "a"),)))
        return reads[-1]

    assert (await workloads.stable(read)).seen == reads[0].seen < reads[1].seen


def test_what_is_missing_is_the_problem_of_a_pod_if_there_is_one() -> None:
    waiting = pod("a", ready=False)
    waiting["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff", "message": "gone"}}
    assert "ImagePullBackOff: gone" in str(pods_of(DEPLOYMENT, [waiting], frozenset([NEW])).missing)
    ended = pod("a", ready=False)
    ended["status"]["containerStatuses"][0] |= {"ready": False, "state": {"terminated": {"exitCode": 1}}}
    assert "container c0 of pod a: ended, exit code 1" in str(pods_of(DEPLOYMENT, [ended], frozenset([NEW])).missing)
    assert pods_of(DEPLOYMENT, [pod("a")], frozenset([NEW])).missing == "1 of 2 pods run the new image"


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"state": {"running": {}}}, None),
        ({"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}, "Error, exit code 3"),
        (
            {"state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}},
            "OOMKilled",
        ),
        ({"state": {"waiting": {"reason": "RunContainerError", "message": "no such file"}}}, "no such file"),
    ],
)
def test_a_pod_that_does_not_become_ready_has_a_reason(states: dict[str, Any], words: str | None) -> None:
    failing = pod("a", ready=False)
    failing["status"]["containerStatuses"][0] |= {"ready": False, **states}
    found = problem_of([failing])
    assert found is None if words is None else words in str(found)
