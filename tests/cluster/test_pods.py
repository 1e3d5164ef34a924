from typing import Any

import pytest

from cluster.pods import choose, explain


def pod(name: str = "registry-1", *, ready: bool = True, deleted: bool = False, **status: Any) -> dict[str, Any]:  # noqa: ANN401
    metadata = {"name": name, "creationTimestamp": "2026-01-01T00:00:00Z"}
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:01Z"
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    return {"metadata": metadata, "status": {"conditions": conditions, **status}}


class TestChoose:
    @pytest.mark.parametrize(
        ("pods", "chosen"),
        [
            ([], None),
            ([pod(ready=False)], None),
            ([pod(deleted=True)], None),
            ([{**pod(), "status": {}}], None),
            ([pod("old", deleted=True), pod("new")], "new"),
            ([pod("starting", ready=False), pod("running")], "running"),
        ],
    )
    def test_only_a_ready_pod_that_stays_is_chosen(self, pods: list[dict[str, Any]], chosen: str | None) -> None:
        assert choose(pods) == chosen


class TestExplain:
    def test_no_pod_is_said_so(self) -> None:
        assert explain([]) == "it has no pod yet"

    def test_a_waiting_container_speaks_for_itself(self) -> None:
        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such host"}}
        statuses = [{"name": "write", "state": waiting}]
        assert explain([pod(ready=False, containerStatuses=statuses)]) == (
            "container write waits: ImagePullBackOff: no such host"
        )

    def test_a_pod_without_a_node_says_why(self) -> None:
        conditions = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}]
        assert explain([pod(conditions=conditions)]) == "pod registry-1: Unschedulable: 0/2 nodes"
