"""What the status of a probe pod means: statuses as kubelets with containerd and CRI-O write them."""

from typing import Any

import pytest

from kube_registry.preflight.probe_pod import (
    ARCHITECTURE,
    PROBE,
    PULLED,
    RUNTIME,
    SEE_MESSAGE,
    USE_NODE_PROXY,
    meaning,
    probe_pod,
    refused,
    verdict,
)

HEAD = 'failed to pull and unpack image "localhost:30100/kube-registry/preflight:probe": failed to do request: Head '


def pod(*, phase: str = "Pending", image_id: str = "", **state: object) -> dict[str, Any]:
    return {"status": {"phase": phase, "containerStatuses": [{"name": PROBE, "imageID": image_id, "state": state}]}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


class TestVerdict:
    @pytest.mark.parametrize(
        "status",
        [
            pod(**waiting("RunContainerError", "exec: /nothing: no such file")),
            pod(**waiting("CreateContainerError")),
            pod(**waiting("CreateContainerConfigError")),
            pod(**waiting("CrashLoopBackOff")),
            pod(image_id="sha256:1", **waiting("ContainerCreating")),
            pod(phase="Failed", image_id="sha256:1", terminated={"reason": "StartError"}),
            pod(phase="Running", image_id="sha256:1", running={}),
        ],
    )
    def test_a_container_that_was_tried_has_its_image(self, status: dict[str, Any]) -> None:
        assert verdict(status) is PULLED

    @pytest.mark.parametrize(
        "status", [{"status": {}}, {"status": {"phase": "Pending"}}, pod(**waiting("ContainerCreating"))]
    )
    def test_one_that_is_on_its_way_is_waited_for(self, status: dict[str, Any]) -> None:
        assert verdict(status) is None

    @pytest.mark.parametrize(
        "reason",
        [
            "ErrImagePull",
            "ImagePullBackOff",
            "ImageInspectError",
            "SignatureValidationFailed",
            "RegistryUnavailable",
            "InvalidImageName",
            "ErrImageNeverPull",
            "AReasonOfANewerKubelet",
        ],
    )
    def test_a_reason_that_does_not_come_after_a_pull_is_no_pull(self, reason: str) -> None:
        assert verdict(pod(**waiting(reason, "its words"))) == meaning("its words")
        assert verdict(pod(**waiting(reason))) == meaning(reason)

    def test_the_container_of_the_preflight_is_asked_and_no_sidecar(self) -> None:
        status = pod(**waiting("ErrImagePull", "its words"))
        sidecar = {"name": "a-sidecar", "imageID": "sha256:2", "state": {"running": {}}}
        status["status"]["containerStatuses"].insert(0, sidecar)
        assert verdict(status) == meaning("its words")
        assert verdict({"status": {"phase": "Running", "containerStatuses": [sidecar]}}) is None

    def test_a_container_that_the_kubelet_has_lost_proves_nothing(self) -> None:
        assert verdict(pod(terminated={"reason": "ContainerStatusUnknown"})) is not PULLED

    @pytest.mark.parametrize("reason", ["OutOfpods", "OutOfcpu", "NodeAffinity", "Evicted"])
    def test_a_node_that_takes_no_pod_is_asked_later(self, reason: str) -> None:
        created = {"name": PROBE, "imageID": "", "state": {"waiting": {"reason": "ContainerCreating"}}}
        for containers in ([], [created]):
            told = verdict({"status": {"phase": "Failed", "reason": reason, "containerStatuses": containers}})
            assert told
            assert (told.words, told.later) == (f"it accepts no pod: {reason}", True)

    @pytest.mark.parametrize(
        ("message", "words", "fix"),
        [
            (
                HEAD + "dial tcp 127.0.0.1:30100: connect: connection refused",
                "connection refused on loopback",
                USE_NODE_PROXY,
            ),
            (HEAD + "dial tcp 127.0.0.1:30100: i/o timeout", "no response on loopback", USE_NODE_PROXY),
            (HEAD + "http: server gave HTTP response to HTTPS client", "its runtime requires HTTPS", RUNTIME),
            ("no match for platform in manifest sha256:1: not found", ARCHITECTURE.words, ARCHITECTURE.fix),
            ("localhost:30100/kube-registry/preflight:probe: not found", "image not found", "nodePort"),
            ("something else", "something else", SEE_MESSAGE),
        ],
    )
    def test_a_failed_pull_is_told_in_words_with_what_mends_it(self, message: str, words: str, fix: str) -> None:
        told = verdict(pod(**waiting("ErrImagePull", message)))
        assert told == meaning(message)
        assert told.words.startswith(words)
        assert fix in told.fix

    def test_a_pod_that_may_not_be_made_says_who_is_against_it(self) -> None:
        assert "exceeded quota: small" in refused('pods "preflight-1" is forbidden: exceeded quota: small').words


class TestProbePod:
    def test_it_is_allowed_where_pod_security_is_restricted_and_tolerates_every_taint(self) -> None:
        spec = probe_pod("localhost:30100/kube-registry/preflight:probe", "node-1", "1")["spec"]
        (container,) = spec["containers"]
        assert spec["nodeName"] == "node-1"
        assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert spec["tolerations"] == [{"operator": "Exists"}]
        assert spec["securityContext"]["runAsNonRoot"]
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["imagePullPolicy"] == "Always"

    def test_it_names_no_user(self) -> None:
        spec = probe_pod("image", "node-1", "1")["spec"]
        assert "runAsUser" not in spec["securityContext"]
