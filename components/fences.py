"""What the registry's pod is kept to, and who may come near it: Pod Security and the network policy; pure."""

from typing import Any, Final

from stack.names import READ_PORT, labels

RESTRICTED: Final = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
"""Labels of a namespace in which no pod may have more rights than the registry's (Pod Security Standards)."""


def read_door_only() -> dict[str, Any]:
    """The spec of a policy that lets everybody to the read door, and nobody anywhere else.

    The write door needs none, it listens on the pod's own loopback, where a port-forward is at home.
    """
    return {
        "podSelector": {"matchLabels": labels("registry")},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": READ_PORT}]}],
    }
