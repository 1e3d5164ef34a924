from typing import Any

import pytest

from kube_registry.kube.pods import Object, choose, event_trouble, explain, rollout_trouble, trouble


def pod(name: str = "registry-1", *, ready: bool = True, leaving: bool = False, **status: Any) -> Object:  # noqa: ANN401
    metadata = {"name": name} | ({"deletionTimestamp": "2026-01-01T00:00:01Z"} if leaving else {})
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "status": {"conditions": conditions, **status}}


def waiting(reason: str, message: str = "", **container: Any) -> Object:  # noqa: ANN401
    state = {"waiting": {"reason": reason, "message": message}}
    return pod(ready=False, containerStatuses=[{"name": "write", "state": state, **container}])


def event(reason: str, message: str, second: int, type: str = "Warning") -> Object:  # noqa: A002 - a key
    return {"type": type, "reason": reason, "message": message, "lastTimestamp": f"2026-01-01T00:00:{second:02}Z"}


class TestChoose:
    @pytest.mark.parametrize(
        ("pods", "chosen"),
        [
            ([], None),
            ([pod(ready=False)], None),
            ([pod(leaving=True)], None),
            ([{**pod(), "status": {}}], None),
            ([pod("old", leaving=True), pod("new")], "new"),
            ([pod("starting", ready=False), pod("running")], "running"),
        ],
    )
    def test_only_a_ready_pod_that_stays_is_chosen(self, pods: list[Object], chosen: str | None) -> None:
        assert choose(pods) == chosen


class TestTrouble:
    def test_a_pod_that_is_starting_is_in_none(self) -> None:
        assert trouble([waiting("ContainerCreating"), pod()]) is None

    def test_a_waiting_container_speaks_for_itself(self) -> None:
        assert trouble([waiting("ImagePullBackOff", "no such\n host")]) == (
            "container write of pod registry-1: ImagePullBackOff: no such host"
        )

    def test_a_container_that_keeps_ending_says_its_last_words(self) -> None:
        ended = {"terminated": {"exitCode": 1, "message": "panic: permission denied"}}
        assert trouble([waiting("CrashLoopBackOff", "back-off 10s", lastState=ended)]) == (
            "container write of pod registry-1: CrashLoopBackOff: panic: permission denied"
        )

    @pytest.mark.parametrize(
        ("log", "words"),
        [
            ("panic: no such region\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: no such region"),
            (
                'err.detail="s3aws: RequestError: send request failed\\ncaused by: Put \\"http://s3/\\": EOF" a=b',
                's3aws: RequestError: send request failed\\ncaused by: Put \\"http://s3/\\": EOF',
            ),
        ],
    )
    def test_of_a_registrys_log_only_the_cause_matters(self, log: str, words: str) -> None:
        ended = {"terminated": {"exitCode": 1, "message": log}}
        status = {"name": "bucket", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ended}
        assert trouble([pod(ready=False, initContainerStatuses=[status])]) == (
            f"container bucket of pod registry-1: CrashLoopBackOff: {words}"
        )

    @pytest.mark.parametrize(
        ("state", "exit_code", "is_trouble"),
        [
            ({"running": {}}, 1, True),
            ({"terminated": {"exitCode": 1, "reason": "Error", "message": "denied"}}, 0, True),
            ({"running": {}}, 0, False),
            ({"terminated": {"exitCode": 0, "reason": "Completed"}}, 0, False),
        ],
    )
    def test_an_init_container_that_failed_once_is_in_trouble_while_it_runs_again(
        self, state: dict[str, Any], exit_code: int, *, is_trouble: bool
    ) -> None:
        last = {"terminated": {"exitCode": exit_code, "reason": "Error", "message": "denied"}} if exit_code else {}
        status = {"name": "bucket", "state": state, "lastState": last}
        found = trouble([pod(ready=False, initContainerStatuses=[status])])
        assert found == ("container bucket of pod registry-1: Error: denied" if is_trouble else None)

    def test_a_pod_without_a_node_says_why(self) -> None:
        conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes."}]
        assert trouble([pod(conditions=conditions)]) == "pod registry-1 is not scheduled: 0/2 nodes"

    def test_a_deployment_that_may_make_no_pods_says_why(self) -> None:
        failed = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "exceeded quota"}
        assert rollout_trouble({"status": {"conditions": [failed]}}) == "FailedCreate: exceeded quota"
        assert rollout_trouble({"status": {}}) is None

    def test_the_newest_warning_of_an_object_counts(self) -> None:
        events = [event("Old", "past", 0), event("FailedMount", "no such", 9), event("BackOff", "", 59, type="Normal")]
        assert event_trouble(events) == "FailedMount: no such"
        assert event_trouble(events[2:]) is None

    @pytest.mark.parametrize("reason", ["Scheduled", "Pulling", "Pulled", "Created", "Started"])
    def test_a_warning_is_over_once_the_pod_got_further(self, reason: str) -> None:
        """A pull on a slow node takes longer than a warning may last."""
        failed = event("FailedMount", "no such", 9)
        assert event_trouble([failed, event(reason, "", 9, type="Normal")]) is None
        assert event_trouble([event(reason, "", 8, type="Normal"), failed]) == "FailedMount: no such"


class TestExplain:
    @pytest.mark.parametrize(
        ("pods", "sentence"),
        [
            ([], "it has no pod yet"),
            ([pod(leaving=True)], "its pod is terminating"),
            ([pod(ready=False, phase="Running")], "pod registry-1 is Running"),
            ([pod("old", phase="Running"), pod("new", ready=False, phase="Pending")], "pod new is Pending"),
        ],
    )
    def test_not_yet_is_said_too(self, pods: list[Object], sentence: str) -> None:
        assert explain(pods) == sentence
