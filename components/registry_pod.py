"""The registry's pod: two doors over one volume, what it is kept to, and the network policy around it; pure."""

import hashlib
import json
from typing import Any, Final

from kube_registry.names import LINUX, READ_PORT, REGISTRY, WRITE_PORT, labels
from kube_registry.spec.sections import PodSettings
from kube_registry.spec.settings import RegistrySettings

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


_STORAGE = "/var/lib/registry"
_CONFIG = "/etc/distribution"
_USER = 1000
"""Not root, and nobody on the node; the volume is made accessible to this group."""


def config_files() -> dict[str, str]:
    """File name -> text of the two doors' configurations.

    Neither has a `cache` block: with it, a push after garbage collection is told that a layer is there when its
    bytes are gone. Locations are path-only, so that they are right through the tunnel as well as through a node.
    JSON is YAML.
    """
    purging = {"enabled": True, "age": "24h", "interval": "6h", "dryrun": False}
    write = _config(f"127.0.0.1:{WRITE_PORT}", delete={"enabled": True}, maintenance={"uploadpurging": purging})
    frozen = {"uploadpurging": {"enabled": False}, "readonly": {"enabled": True}}
    read = _config(f":{READ_PORT}", maintenance=frozen)
    return {"write.yml": json.dumps(write, indent=2), "read.yml": json.dumps(read, indent=2)}


def deployment_spec(settings: RegistrySettings) -> dict[str, Any]:
    """The Deployment's spec.

    One replica and Recreate: the volume is ReadWriteOnce, and two writers on one file system would lose uploads.
    """
    checksum = hashlib.sha256("".join(config_files().values()).encode()).hexdigest()
    return {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels("registry")},
        "template": {
            "metadata": {"labels": labels("registry"), "annotations": {"kube-registry/config": checksum}},
            "spec": _pod(settings),
        },
    }


def _config(address: str, **storage: Any) -> dict[str, Any]:  # noqa: ANN401 - a part of a JSON document
    return {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {"filesystem": {"rootdirectory": _STORAGE}, **storage},
        "http": {"addr": address, "relativeurls": True, "draintimeout": "10s"},
        "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
    }


def _pod(settings: RegistrySettings) -> dict[str, Any]:
    read_door = _door("read", settings) | {
        "ports": [{"name": "read", "containerPort": READ_PORT}],
        "readinessProbe": _probe(period=2, failures=3),
        "livenessProbe": _probe(period=10, failures=6),
    }
    user = {"runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER} if settings.pod.has_fixed_user else {}
    return {
        **placement(settings.pod),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            **user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_door("write", settings), read_door],
        "volumes": [
            {"name": "storage", "persistentVolumeClaim": {"claimName": REGISTRY}},
            {"name": "config", "configMap": {"name": REGISTRY}},
        ],
    }


def placement(pod: PodSettings) -> dict[str, Any]:
    """Return the fields of a pod's spec that say where it may run and before which others."""
    tolerations = [each.model_dump(by_alias=True, exclude_none=True) for each in pod.tolerations]
    return {
        "nodeSelector": {**pod.node_selector, **LINUX},
        **({"tolerations": tolerations} if tolerations else {}),
        **priority(pod),
    }


def priority(pod: PodSettings) -> dict[str, str]:
    """Return the field of a pod's spec that names its priority class, if there is one."""
    return {"priorityClassName": pod.priority_class} if pod.priority_class else {}


def _door(name: str, settings: RegistrySettings) -> dict[str, Any]:
    """One registry process; memory is limited, processor time is not, for a slow pull helps nobody."""
    return {
        "name": name,
        "image": settings.registry_image,
        "args": ["serve", f"{_CONFIG}/{name}.yml"],
        "env": [
            {"name": "OTEL_TRACES_EXPORTER", "value": "none"},
            # Signs the state of uploads; the same for as long as the pod lives, and nobody has to keep it.
            {"name": "REGISTRY_HTTP_SECRET", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
        ],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"} | settings.pod.resources.requests,
            "limits": {"memory": "512Mi"} | settings.pod.resources.limits,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "storage", "mountPath": _STORAGE},
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
        ],
    }


def _probe(*, period: int, failures: int) -> dict[str, Any]:
    """`/` answers 503 once the storage check fails, and asks for no credentials."""
    return {"httpGet": {"path": "/", "port": "read"}, "periodSeconds": period, "failureThreshold": failures}
