"""What a probe pod says of a mount: statuses and events as kubelets with nfs-utils 2.6 write them."""

from typing import Any

import pytest

from kube_registry.preflight.probe_pod import PROBE
from kube_registry.shared_volume.mount_pod import (
    MOUNTED,
    late_verdict,
    mount_pod,
    mount_verdict,
)
from kube_registry.spec.shared_volume import SharedVolumeSettings

HEAD = 'FailedMount: MountVolume.SetUp failed for volume "shared" : mount failed: exit status 32 Output: mount.nfs: '


def pod(**state: object) -> dict[str, Any]:
    return {"status": {"containerStatuses": [{"name": PROBE, "imageID": "", "state": state}]}}


class TestVerdict:
    @pytest.mark.parametrize("reason", ["CreateContainerConfigError", "RunContainerError", "ErrImagePull"])
    def test_a_kubelet_mounts_before_it_pulls(self, reason: str) -> None:
        assert mount_verdict(pod(waiting={"reason": reason, "message": "connection refused"})) is MOUNTED

    @pytest.mark.parametrize("status", [{"status": {}}, pod(waiting={"reason": "ContainerCreating"})])
    def test_one_that_still_mounts_is_waited_for(self, status: dict[str, Any]) -> None:
        assert mount_verdict(status) is None

    def test_a_node_that_rejects_the_pod_is_tested_later(self) -> None:
        found = mount_verdict({"status": {"phase": "Failed", "reason": "OutOfpods"}})
        assert found
        assert found.later


class TestLate:
    @pytest.mark.parametrize(
        ("message", "fix"),
        [
            ("Connection refused", "sharedVolume.exposure nodeProxy"),
            ("Connection timed out", "sharedVolume.exposure nodeProxy"),
            ("No such device", "nfs-common"),
            ("bad option; for several filesystems (e.g. nfs, cifs) you might need a helper program", "nfs-common"),
        ],
    )
    def test_the_event_has_the_cause(self, message: str, fix: str) -> None:
        found = late_verdict(HEAD + message)
        assert not found.later
        assert fix in found.fix

    def test_a_missing_driver(self) -> None:
        warned = "FailedMount: … driver name nfs.csi.k8s.io not found in the list of registered CSI drivers"
        assert "sharedVolume.csi" in late_verdict(warned).fix

    def test_another_message_is_its_own_cause(self) -> None:
        assert late_verdict(HEAD + "an incorrect mount option was specified").words.endswith("was specified")

    def test_a_mount_without_an_answer_has_failed(self) -> None:
        assert not late_verdict(None).later

    def test_a_node_that_did_not_try_is_tested_later(self) -> None:
        assert late_verdict("FailedCreatePodSandBox: no network").later


def test_the_port_is_an_option_only_where_it_is_another_one() -> None:
    assert not [each for each in SharedVolumeSettings().mount_options if each.startswith("port=")]
    for exposure in ("nodeProxy", "nodePort"):
        assert "port=32050" in SharedVolumeSettings(exposure=exposure, port=32050).mount_options


def test_only_a_soft_mount_has_a_time_limit() -> None:
    soft, hard = (SharedVolumeSettings(mount=mount).mount_options for mount in ("softerr", "hard"))
    assert {"softerr", "hard"} & {*soft} == {"softerr"}
    assert not [each for each in hard if each.startswith("timeo")]


def test_the_pod_has_no_privilege_and_mounts_the_claim() -> None:
    spec = mount_pod("image", "probe", "node-1", "1")["spec"]
    assert spec["nodeName"] == "node-1"
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["volumes"] == [{"name": "shared", "persistentVolumeClaim": {"claimName": "probe"}}]
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
