"""What a probe pod says of a mount: statuses and events as kubelets with nfs-utils 2.6 write them."""

from typing import Any

import pytest

from kube_registry.preflight.probe_pod import PROBE
from kube_registry.shared_volume.mount_pod import MOUNTED, late_verdict, mount_pod, mount_verdict
from kube_registry.spec.shared_volume import SharedVolumeSettings

CLUSTER_IP = SharedVolumeSettings()
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
            ("No such device", "modprobe nfsv4"),
            ("bad option; for several filesystems (e.g. nfs, cifs) you might need a helper program", "nfs-common"),
        ],
    )
    def test_the_event_has_the_cause(self, message: str, fix: str) -> None:
        found = late_verdict(CLUSTER_IP, HEAD + message)
        assert not found.later
        assert fix in found.fix

    @pytest.mark.parametrize(
        "warned",
        [
            "FailedMount: … driver name nfs.csi.k8s.io not found in the list of registered CSI drivers",
            "FailedAttachVolume: AttachVolume.Attach failed: timed out waiting for external-attacher",
            None,
        ],
    )
    def test_a_missing_driver(self, warned: str | None) -> None:
        assert "sharedVolume.csi" in late_verdict(SharedVolumeSettings(csi=True), warned).fix

    def test_another_message_is_its_own_cause(self) -> None:
        message = "an incorrect mount option was specified"
        assert late_verdict(CLUSTER_IP, HEAD + message).words.endswith(message)

    @pytest.mark.parametrize("start", [HEAD, HEAD[:20], ""])
    def test_the_secret_name_of_the_folder_is_left_out(self, start: str) -> None:
        folder = "0123456789abcdef" * 2
        message = f"{start}access denied by server while mounting 10.96.14.7:/{folder}"
        assert folder[:13] not in late_verdict(CLUSTER_IP, f"FailedMount: …{folder[3:]} Output: {message}").words

    def test_a_mount_without_an_answer_has_failed(self) -> None:
        assert not late_verdict(CLUSTER_IP, None).later

    @pytest.mark.parametrize("warned", [None, f"{HEAD}Connection timed out"])
    def test_the_fix_is_not_what_is_set(self, warned: str | None) -> None:
        assert "sharedVolume.exposure" not in late_verdict(SharedVolumeSettings(exposure="nodeProxy"), warned).fix

    def test_a_node_that_did_not_try_is_tested_later(self) -> None:
        assert late_verdict(CLUSTER_IP, "FailedCreatePodSandBox: no network").later


def test_the_pod_has_no_privilege_and_mounts_the_claim() -> None:
    spec = mount_pod("image", "probe", "node-1", "1")["spec"]
    assert spec["nodeName"] == "node-1"
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["volumes"] == [{"name": "shared", "persistentVolumeClaim": {"claimName": "probe"}}]
    (container,) = spec["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
