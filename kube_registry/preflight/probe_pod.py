"""One node asked whether it can pull: the pod that asks, and what its status answers; pure.

The verdict is the status of the container PROBE. The image holds nothing that could run, so a container that could
not be started was pulled: nothing else is waited for.

Reasons of a waiting container: kubernetes pkg/kubelet/images/types.go, pkg/kubelet/kuberuntime.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kube_registry.kube.pods import ON_ITS_WAY, Object
from kube_registry.names import LINUX, labels
from kube_registry.text import last_words

PROBE = "preflight"
"""The component that probe pods are, and the end of their repository's name."""

RUN = "kube-registry/run"
"""Label of the probe pods of one preflight."""

_AFTER_PULL = (
    "CreateContainerConfigError",
    "PreCreateHookError",
    "CreateContainerError",
    "PreStartHookError",
    "RunContainerError",
    "PostStartHookError",
    "CrashLoopBackOff",
)
"""Reasons that a kubelet gives only once the image is there; any other means that it is not."""


@dataclass(frozen=True)
class Verdict:
    """Whether a node can pull; PULLED is the good one.

    Args:
        words: for the table.
        fix: what mends it.
        later: whether the node has not answered and is asked next time, which stops no update.
    """

    words: str
    fix: str
    later: bool = False


PULLED = Verdict("pulled", "")
LEFT = Verdict("it left meanwhile", "the next update", later=True)
ARCHITECTURE = Verdict(
    "another architecture than the build platform", "`pulumi config set platform linux/ARCHITECTURE`"
)
USE_NODE_PROXY = "`pulumi config set exposure nodeProxy`"
REFUSED = Verdict("refused on loopback: kube-proxy does not answer there", USE_NODE_PROXY)
SEE_MESSAGE = "what the message says; docs/compatibility.md tells what each kind of node needs"
RUNTIME = "a runtime that pulls from localhost over HTTP, docs/compatibility.md says how"

_KNOWN = (
    ("no match for platform", ARCHITECTURE),
    ("server gave HTTP response to HTTPS client", Verdict("its runtime wants HTTPS", RUNTIME)),
    ("first record does not look like a TLS handshake", Verdict("its runtime wants HTTPS", RUNTIME)),
    ("connection refused", REFUSED),
    ("i/o timeout", Verdict("no answer on loopback: kube-proxy does not answer there", USE_NODE_PROXY)),
    ("not found", Verdict("image not found: another registry answers there", "`pulumi config set nodePort NUMBER`")),
)
"""What a runtime's message contains -> what it means, the more special first."""


_RESOURCES = {"requests": {"cpu": "1m", "memory": "4Mi"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
"""Room on a full node, and what a quota may ask for; with less of a limit the runtime itself takes seconds to start."""


def probe_pod(node: str, image: str, run: str, *, fixed_user: bool = True) -> dict[str, Any]:
    """The pod that makes one node pull.

    It is given to the node past the scheduler, tolerates every taint, needs next to nothing, is allowed where Pod
    Security is `restricted`, and always asks the registry, whatever the node has pulled before.

    Args:
        node: name of the node.
        image: the pull reference.
        run: tells the pods of one preflight from those of another.
        fixed_user: whether it names its user, where the platform does not give one.
    """
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            # One name for each node and run, so that a create whose answer was lost can be sent again.
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
            "securityContext": {
                "runAsNonRoot": True,
                **({"runAsUser": 65534} if fixed_user else {}),
                "seccompProfile": {"type": "RuntimeDefault"},
            },
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
    """Return what a probe pod's status says of its own container: PULLED, or why not; None while that is not known.

    Containers that admission has added are passed over: their images come from elsewhere.
    """
    status: Mapping[str, Any] = pod["status"]
    for container in status.get("containerStatuses", []):
        if container["name"] == PROBE and (told := _of_container(container)):
            return told
    if status.get("phase") == "Failed":  # admission by the kubelet, eviction: nothing was pulled yet
        return busy(f"it takes no pod: {status.get('reason')}")
    return None


def _of_container(status: Mapping[str, Any]) -> Verdict | None:
    waiting = status["state"].get("waiting", {})
    reason = waiting.get("reason", ON_ITS_WAY[0])
    if reason not in (*ON_ITS_WAY, *_AFTER_PULL):
        return meaning(waiting.get("message") or reason)
    return PULLED if status.get("imageID") or reason in _AFTER_PULL else None


def busy(words: str) -> Verdict:
    """Return what it means that a node takes no pods now."""
    return Verdict(words, "what `kubectl describe node` says of it", later=True)


def refused(message: str) -> Verdict:
    """Return what it means that a probe pod may not be made: admission, a quota or Pod Security is against it."""
    fix = "leave to make it, or `pulumi config set preflight false`"
    return Verdict(f"no probe pod allowed: {last_words(message)}", fix, later=True)


def meaning(message: str) -> Verdict:
    """What a runtime's message about a failed pull means; its own words where that is not known."""
    found = (known for part, known in _KNOWN if part in message)
    return next(found, Verdict(last_words(message), SEE_MESSAGE))
