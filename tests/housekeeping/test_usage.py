"""Who uses an image: whatever the cluster runs, would run, or would run again after a rollback."""

from typing import Any

import pytest

from housekeeping.usage import Use, output_uses, uses

DIGEST = "sha256:" + "a" * 64
IMAGE = "localhost:30500/team/app:v1"


def object_of(name: str, spec: dict[str, Any], owner: str | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    owners = {"ownerReferences": [{"uid": owner, "controller": True}]} if owner else {}
    return {"metadata": {"uid": name, "name": name, "namespace": "default", **owners}, "spec": spec, **more}


def pod_spec(image: str = IMAGE, **more: object) -> dict[str, Any]:
    return {"containers": [{"image": image}], **more}


class TestUses:
    @pytest.mark.parametrize(
        ("kind", "spec"),
        [
            ("Pod", pod_spec()),
            ("Pod", {"containers": [], "initContainers": [{"image": IMAGE}]}),
            ("Pod", {"containers": [], "ephemeralContainers": [{"image": IMAGE}]}),
            ("Pod", {"containers": [], "volumes": [{"name": "v", "image": {"reference": IMAGE}}]}),
            ("ReplicaSet", {"replicas": 0, "template": {"spec": pod_spec()}}),
            ("StatefulSet", {"template": {"spec": pod_spec()}}),
            ("CronJob", {"suspend": True, "jobTemplate": {"spec": {"template": {"spec": pod_spec()}}}}),
        ],
    )
    def test_each_place_of_an_image_is_found(self, kind: str, spec: dict[str, Any]) -> None:
        assert uses({kind: [object_of("it", spec)]}) == [Use("team/app", "v1", None, f"{kind} default/it", None)]

    def test_a_revision_that_a_rollback_would_bring_back_is_one(self) -> None:
        template = {"spec": {"template": {"spec": pod_spec()}}}
        revision: dict[str, Any] = object_of("web-1", {}) | {"data": template}
        assert [use.user for use in uses({"ControllerRevision": [revision]})] == ["ControllerRevision default/web-1"]

    def test_a_pod_uses_what_its_status_names_too(self) -> None:
        status = {"containerStatuses": [{"image": IMAGE, "imageID": f"localhost:30500/team/app@{DIGEST}"}]}
        found = uses({"Pod": [object_of("p", pod_spec(nodeName="n1"), status=status)]})
        assert found == [
            Use("team/app", "v1", None, "Pod default/p", "n1"),
            Use("team/app", None, DIGEST, "Pod default/p", "n1"),
        ]

    def test_the_user_of_a_pod_is_the_workload_that_a_person_knows(self) -> None:
        found = uses(
            {
                "Deployment": [object_of("web", {})],
                "ReplicaSet": [object_of("web-1", {}, owner="web")],
                "Pod": [object_of("web-1-x", pod_spec(nodeName="n1"), owner="web-1")],
            }
        )
        assert [use.user for use in found] == ["Deployment default/web"]

    def test_an_owner_of_a_kind_that_is_not_known_leaves_the_pod_itself(self) -> None:
        assert [use.user for use in uses({"Pod": [object_of("p", pod_spec(), owner="rollout")]})] == ["Pod default/p"]

    @pytest.mark.parametrize("image", ["nginx:1.29", "ghcr.io/team/app:v1", "localhost/app:v1"])
    def test_what_no_loopback_has_is_none(self, image: str) -> None:
        assert uses({"Pod": [object_of("p", pod_spec(image))]}) == []

    def test_without_a_tag_it_is_latest(self) -> None:
        (found,) = uses({"Pod": [object_of("p", pod_spec("127.0.0.1:5000/app"))]})
        assert found.tag == "latest"


def test_an_output_is_a_use_by_digest() -> None:
    assert output_uses("dev", {"app": f"localhost:30500/app:v1@{DIGEST}"}) == [
        Use("app", "v1", DIGEST, "output of dev", None)
    ]
