"""Test whether one node can pull: the probe pod, and the verdict from its status; pure functions.

The verdict follows from the status of the container PROBE. The image contains no program, so a container that cannot be
created has been pulled: the test ends there. The pod must not run as root and names no user, and the image has none, so
the kubelet refuses to create the container (kubernetes pkg/kubelet/kuberuntime, verifyRunAsNonRoot). If the platform
assigns a user, as OpenShift does, the container is created and cannot be started.

Reasons of a waiting container: kubernetes pkg/kubelet/images/types.go, pkg/kubelet/kuberuntime.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kube_registry.kube.pods import STARTING, Object
from kube_registry.names import LINUX, labels
from kube_registry.text import last_words

PROBE = "preflight"
"""Component label of probe pods, and last part of their repository's name."""

RUN = "kube-registry/run"
"""Label that identifies the probe pods of one preflight."""

_AFTER_PULL = (
    "CreateContainerConfigError",
    "PreCreateHookError",
    "CreateContainerError",
    "PreStartHookError",
    "RunContainerError",
    "PostStartHookError",
    "CrashLoopBackOff",
)
"""Reasons that a kubelet reports only after the pull; any other reason means that the pull failed."""


@dataclass(frozen=True)
class Verdict:
    """Whether a node has passed a test.

    Args:
        words: the cause, for the table.
        fix: how to correct it; empty if it has passed.
        later: whether the node gave no result, and is tested in the next update; this does not stop the update.
    """

    words: str
    fix: str
    later: bool = False

    @property
    def passed(self) -> bool:
        """Return whether the node has passed the test."""
        return not self.fix


PULLED = Verdict("pulled", "")
LEFT = Verdict("it was removed during the test", "the next update", later=True)
ARCHITECTURE = Verdict(
    "another architecture than the build platform", "`pulumi config set platform linux/ARCHITECTURE`"
)
USE_NODE_PROXY = "`pulumi config set exposure nodeProxy`"
REFUSED = Verdict("connection refused on loopback: kube-proxy does not listen there", USE_NODE_PROXY)
SEE_MESSAGE = "correct the cause in the table; docs/compatibility.md lists what each kind of node needs"
RUNTIME = "configure the runtime to pull from localhost over HTTP, see docs/compatibility.md"

_KNOWN = (
    ("no match for platform", ARCHITECTURE),
    ("server gave HTTP response to HTTPS client", Verdict("its runtime requires HTTPS", RUNTIME)),
    ("first record does not look like a TLS handshake", Verdict("its runtime requires HTTPS", RUNTIME)),
    ("connection refused", REFUSED),
    ("i/o timeout", Verdict("no response on loopback: kube-proxy does not listen there", USE_NODE_PROXY)),
    ("not found", Verdict("image not found: another registry answers there", "`pulumi config set nodePort NUMBER`")),
)
"""Part of a runtime's message -> its verdict, the more specific ones first."""


_RESOURCES = {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
"""Requests that fit on a full node, and limits that a quota may require; lower limits slow the runtime's start down."""


def probe_pod(image: str, node: str, run: str) -> dict[str, Any]:
    """Return a pod that makes one node pull.

    It is assigned to the node without the scheduler, tolerates every taint, requests almost no resources, complies with
    the Pod Security level `restricted`, and always contacts the registry, even if the node has pulled the image before.

    Args:
        image: the pull reference.
        node: name of the node.
        run: label value of this preflight's pods.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            # A fixed name for each node and run, so that a create can be retried after a lost response.
            "name": f"{PROBE}-{run}-{hashlib.sha256(node.encode()).hexdigest()[:10]}",
            "labels": {**labels(PROBE), RUN: run},
        },
        "spec": {
            "nodeName": node,
            "nodeSelector": LINUX,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": PROBE,
                    "image": image,
                    "imagePullPolicy": "Always",
                    "command": ["/nothing"],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "resources": _RESOURCES,
                }
            ],
        },
    }


def verdict(pod: Object) -> Verdict | None:
    """Return the verdict from a probe pod's status: PULLED, or why not; None while it is unknown.

    Containers that an admission webhook has added are ignored: their images come from elsewhere.
    """
    status: Mapping[str, Any] = pod["status"]
    for container in status.get("containerStatuses", []):
        if container["name"] == PROBE and (found := _container_verdict(container)):
            return found
    if status.get("phase") == "Failed":  # rejected by the kubelet, or evicted: nothing was pulled
        return busy(f"it accepts no pod: {status.get('reason')}")
    return None


def _container_verdict(status: Mapping[str, Any]) -> Verdict | None:
    waiting = status["state"].get("waiting", {})
    reason = waiting.get("reason", STARTING[0])
    if reason not in (*STARTING, *_AFTER_PULL):
        return meaning(waiting.get("message") or reason)
    return PULLED if status.get("imageID") or reason in _AFTER_PULL else None


def busy(words: str) -> Verdict:
    """Return the verdict for a node that accepts no pods now."""
    return Verdict(words, "see `kubectl describe node`", later=True)


def refused(message: str) -> Verdict:
    """Return the verdict for a probe pod that an admission webhook, a quota or Pod Security rejected."""
    fix = "allow the pod, or `pulumi config set preflight false`"
    return Verdict(f"probe pod rejected: {last_words(message)}", fix, later=True)


def meaning(message: str) -> Verdict:
    """Return the verdict for a runtime's message about a failed pull; an unknown message is its own cause."""
    found = (known for part, known in _KNOWN if part in message)
    return next(found, Verdict(last_words(message), SEE_MESSAGE))
