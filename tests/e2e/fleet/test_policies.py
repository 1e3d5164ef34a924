"""The rule `privileged` beside the API server's own admission, which holds a namespace to Pod Security's "baseline"."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from kube_registry.rules.pod_security import privileges
from lab.versions import OLDEST, chosen
from tests.conftest import Lab
from tests.fakes.pods import APPARMOR, BASELINE, PRIVILEGED, pod

pytestmark = pytest.mark.lab

NAMESPACE = "held-to-baseline"

PROC_MOUNT = "container web has procMount Unmasked"
"""From Kubernetes 1.35 on, baseline accepts it in a user namespace, without which the pod is not valid.

The rule finds it everywhere, because older clusters refuse it."""

COMPLETED: Mapping[str, tuple[str, Mapping[str, bool]]] = {
    "sets hostProcess": ("hostProcess", {"hostNetwork": True}),
    "container web sets hostProcess": ("hostProcess", {"hostNetwork": True}),
    PROC_MOUNT: ("procMount", {"hostUsers": False}),
}
"""Pods that are invalid without another field: the admission's name of what they have, and that field."""


@pytest.fixture(scope="module", autouse=True)
def namespace(lab: Lab) -> Iterator[None]:
    held = {"pod-security.kubernetes.io/enforce": "baseline"}
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": held}}
    lab.kubectl("apply", "--filename", "-", given=json.dumps(made))
    lab.kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", NAMESPACE, "--timeout=20s")
    yield
    lab.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def answer(lab: Lab, spec: Mapping[str, Any], annotations: Mapping[str, str] | None = None) -> str:
    """The API server's answer to a pod that it does not keep."""
    metadata = {"name": "tried", "namespace": NAMESPACE, "annotations": annotations or {}}
    tried = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    try:
        return lab.kubectl("create", "--dry-run=server", "--filename", "-", given=json.dumps(tried))
    except subprocess.CalledProcessError as error:
        return str(error.stderr)


@pytest.mark.parametrize("name", PRIVILEGED)
def test_what_the_rule_finds_is_refused_there(lab: Lab, name: str) -> None:
    reason, more = COMPLETED.get(name, ("", {}))
    host_ipc = PRIVILEGED[name].get("hostIPC") == "true"  # Pulumi may have it as text
    spec = {**PRIVILEGED[name], **more, "hostIPC": host_ipc}
    _, violates, reasons = answer(lab, spec).partition("violates PodSecurity")
    if name == PROC_MOUNT and chosen().kubernetes != OLDEST.kubernetes:
        assert not violates
        return
    assert violates
    assert reason in reasons


@pytest.mark.parametrize("name", BASELINE)
def test_what_the_rule_passes_is_accepted_there(lab: Lab, name: str) -> None:
    spec = {**BASELINE[name], "hostPID": False}  # the same
    assert "created" in answer(lab, spec)


@pytest.mark.parametrize("profile", ["unconfined", "runtime/default", "localhost/own"])
def test_an_annotation_of_apparmor_means_the_same_to_both(lab: Lab, profile: str) -> None:
    annotations = {f"{APPARMOR}web": profile}
    found = list(privileges({"metadata": {"annotations": annotations}, "spec": pod()}))
    assert bool(found) == ("violates PodSecurity" in answer(lab, pod(), annotations)) == (profile == "unconfined")
