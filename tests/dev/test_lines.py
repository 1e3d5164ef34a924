"""What a line says about an update, from events as the engine prints them."""

from typing import Any

import pytest

from kube_registry.dev.lines import cause, not_ready, result
from kube_registry.dev.update import Update
from kube_registry.dev.workloads import Pods, Workload

COMPONENT = "urn:pulumi:dev::shop::kube-registry:index:RegistryImage::app"
IMAGE = "urn:pulumi:dev::shop::kube-registry:index:RegistryImage$docker:index/image:Image::app"
REFERENCE = "localhost:30100/app:0123456789abcdef@sha256:" + "a" * 64


def info(text: str) -> dict[str, Any]:
    return {"diagnosticEvent": {"urn": IMAGE, "message": f"{text}\n", "severity": "info", "ephemeral": True}}


def step(op: str) -> dict[str, Any]:
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": IMAGE, "type": "docker:index/image:Image"}}}


def done(urn: str, parent: str = "", **outputs: str) -> dict[str, Any]:
    return {"resOutputsEvent": {"metadata": {"new": {"urn": urn, "parent": parent, "outputs": outputs}}}}


def summary(**changes: int) -> dict[str, Any]:
    return {"summaryEvent": {"resourceChanges": {"same": 9, **changes}}}


def update(*timed: tuple[float, dict[str, Any]], ended: float = 10.0) -> Update:
    now = [0.0]
    seen = Update("dev", lambda: now[0], lambda _: None)
    for at, event in timed:
        now[0] = at
        seen.record(event)
    now[0] = ended
    return seen


BUILT = (
    (1.0, step("update")),
    (1.2, info("[preflight] waiting for an answer")),
    (2.0, info("Starting Docker build")),
    (2.4, info("Step 1/2")),
    (2.6, info("Pushing Image to the registry")),
    (2.9, info("Pushed")),
    (3.0, info("[reading back] reading the image back")),
    (3.2, done(IMAGE, COMPONENT)),
    (3.3, done(COMPONENT, reference=REFERENCE)),
    (4.0, summary(update=2)),
)


def test_a_built_image_with_its_pods() -> None:
    pods = Pods((("default", "web-1"), ("default", "web-2")))
    assert update(*BUILT).built == {IMAGE: REFERENCE}
    assert result(update(*BUILT), pods, 4.25) == "app built in 0.6 s, pushed in 0.4 s, in 2 pods after 4.2 s"


def test_a_built_image_that_no_pod_of_the_stack_runs() -> None:
    assert result(update(*BUILT), None, 4.25) == "app built in 0.6 s, pushed in 0.4 s, 4.2 s in all"


def test_pods_that_do_not_run_it() -> None:
    assert result(update(*BUILT), Pods((), "deployments default/web: 0 of 2 pods run the new image"), 60.0) == (
        "app built in 0.6 s, pushed in 0.4 s, not in all pods after 60.0 s: "
        "deployments default/web: 0 of 2 pods run the new image"
    )


def test_an_image_that_was_refreshed_or_deleted_was_not_built() -> None:
    unchanged = [(1.0, step(op)) for op in ("same", "refresh", "delete", "delete-replaced")]
    assert update(*unchanged, (2.0, done(IMAGE, COMPONENT)), (3.0, done(COMPONENT, reference=REFERENCE))).built == {}


def test_an_image_for_another_registry_is_none_of_the_stacks() -> None:
    component, image = "urn:pulumi:dev::shop::my:App::app", "urn:pulumi:dev::shop::my:App$docker:index/image:Image::app"
    pushed = begin(image), done(image, component), done(component, reference="registry.example.com/app:1")
    seen = update(*((1.0, event) for event in pushed))
    assert (seen.built, seen.workloads) == ({}, [])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "nothing to do"),
        ({"update": 1}, "1 resource updated"),
        ({"create": 2, "delete": 1}, "2 resources created, 1 resource deleted"),
    ],
)
def test_an_update_without_a_build(changes: dict[str, int], words: str) -> None:
    assert result(update((1.0, summary(**changes))), None, 1.5) == f"{words}, 1.5 s in all"


def test_a_failed_build_has_its_output_in_the_errors() -> None:
    failing = update(
        (1.0, step("update")),
        (1.1, info("[preflight] waiting")),
        (2.0, info("Step 1/2")),
        (2.0, info("digest: sha256:1234")),
        (2.1, info("no such command")),
        (3.0, {"diagnosticEvent": {"severity": "error", "urn": IMAGE, "message": "build failed\nreally\n"}}),
        (3.1, {"resOpFailedEvent": {"metadata": {"urn": IMAGE}}}),
        (3.2, {"diagnosticEvent": {"severity": "error", "message": "update failed\n"}}),
    )
    assert failing.errors == ["build failed\nreally", "Step 1/2\nno such command"]


def test_a_cause_names_three_files() -> None:
    assert cause(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


WEB = "urn:pulumi:dev::shop::kubernetes:apps/v1:DaemonSet::web"


def begin(urn: str, op: str = "update") -> dict[str, Any]:
    return {"resourcePreEvent": {"metadata": {"op": op, "urn": urn, "type": urn.split("::")[2].rpartition("$")[2]}}}


def warning(text: str) -> dict[str, Any]:
    return {"diagnosticEvent": {"severity": "warning", "urn": WEB, "message": f"{text}\n"}}


@pytest.mark.parametrize(
    ("timed", "awaited"),
    [
        ([(1.0, begin(WEB))], {"web": ""}),
        ([(1.0, begin(WEB)), (2.0, warning("no such file")), (3.0, warning("ended"))], {"web": "ended"}),
        ([(1.0, begin(WEB)), (2.0, done(WEB))], {}),
        ([(1.0, begin(WEB, "same"))], {}),
        ([(1.0, begin(WEB)), (1.0, begin(IMAGE))], {}),
        ([(1.0, begin(WEB)), (1.0, begin(IMAGE)), (2.0, done(IMAGE, COMPONENT))], {"web": ""}),
        ([(9.0, begin(WEB))], {}),
        ([], {}),
    ],
)
def test_an_update_that_only_waits_for_pods_names_their_workloads(timed: list[Any], awaited: dict[str, str]) -> None:
    assert update(*timed).awaited == awaited


@pytest.mark.parametrize("image", ["update", "same"])
@pytest.mark.parametrize("workload", ["create", "update"])
def test_a_workload_is_known_while_its_pods_are_awaited(image: str, workload: str) -> None:
    inputs = {"metadata": {"namespace": "shop", "name": "web-1"}, "spec": {"containers": [{"image": REFERENCE}]}}
    waiting = begin(WEB, workload)
    waiting["resourcePreEvent"]["metadata"]["new"] = {"type": "kubernetes:apps/v1:DaemonSet", "inputs": inputs}
    built = (1.0, step(image)), (2.0, done(IMAGE, COMPONENT)), (2.0, done(COMPONENT, reference=REFERENCE))
    digest = REFERENCE.rpartition("@")[2]
    assert update(*built, (3.0, waiting)).workloads == [Workload("daemonsets", "shop", "web-1", frozenset([digest]))]


def test_the_last_lines_of_a_program_are_shown_as_it_has_printed_them() -> None:
    text = "".join(f"  line {number}\n" for number in range(100))
    failing = update((1.0, {"diagnosticEvent": {"severity": "info", "message": text}}))
    assert failing.failure.splitlines() == [f"  line {number}" for number in range(40, 100)]


def test_a_workload_of_which_nothing_is_known_is_only_not_ready() -> None:
    assert not_ready({"web": "no such image", "db": ""}, ()) == "web is not ready: no such image; db is not ready"


def test_what_pods_report_is_closer_to_the_cause_than_what_pulumi_reports() -> None:
    assert not_ready({"web": "unhealthy"}, ["container c: RunContainerError"]).endswith(
        ": container c: RunContainerError"
    )
    assert not_ready({"web": "", "db": ""}, ["a", "b"]) == "web and db are not ready: a; b"
