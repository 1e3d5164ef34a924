"""The specs of the registry's pod, with two doors and one volume, and of its network policy; pure."""

import hashlib
import json
from typing import Any, Final

from kube_registry.names import LINUX, READ_PORT, REGISTRY, WRITE_PORT, labels
from kube_registry.spec.sections import MetricsSettings, PodSettings
from kube_registry.spec.settings import RegistrySettings

from .metrics import allowed_to_scrape, container_ports, debug_server

RESTRICTED: Final = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
"""Labels of a namespace that allows only pods of the level "restricted" (Pod Security Standards)."""


def read_door_only(metrics: MetricsSettings | None) -> dict[str, Any]:
    """Return the spec of a network policy that allows connections to the read door, and Prometheus to its metrics.

    The write door needs no rule: it listens on the pod's loopback, which only a port-forward reaches.
    """
    return {
        "podSelector": {"matchLabels": labels("registry")},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": READ_PORT}]}, *allowed_to_scrape(metrics)],
    }


_STORAGE = "/var/lib/registry"
_CONFIG = "/etc/distribution"
_USER = 1000
"""A uid that is neither root nor a user of the node; it is also the group that may access the volume."""


def config_files(settings: RegistrySettings) -> dict[str, str]:
    """Return the configuration files of the two doors: file name -> text.

    Neither has a `cache` block: with it, the registry reports after a garbage collection that it has layers that were
    deleted. Locations are relative URLs, so that they work through the tunnel and through a node. The text is JSON,
    which is valid YAML.
    """
    purging = {"enabled": True, "age": "24h", "interval": "6h", "dryrun": False}
    write = _config(f"127.0.0.1:{WRITE_PORT}", delete={"enabled": True}, maintenance={"uploadpurging": purging})
    frozen = {"uploadpurging": {"enabled": False}, "readonly": {"enabled": True}}
    read = _config(f":{READ_PORT}", maintenance=frozen)
    read["http"] |= debug_server(settings.metrics)
    return {"write.yml": json.dumps(write, indent=2), "read.yml": json.dumps(read, indent=2)}


def deployment_spec(settings: RegistrySettings) -> dict[str, Any]:
    """Return the Deployment's spec.

    It has one replica and the strategy Recreate: the volume is ReadWriteOnce, and two writers on one file system would
    lose uploads.
    """
    checksum = hashlib.sha256("".join(config_files(settings).values()).encode()).hexdigest()
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
        "ports": [{"name": "read", "containerPort": READ_PORT}, *container_ports(settings.metrics)],
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
    """Return the fields of a pod's spec for scheduling and priority."""
    tolerations = [each.model_dump(by_alias=True, exclude_none=True) for each in pod.tolerations]
    return {
        "nodeSelector": {**pod.node_selector, **LINUX},
        **({"tolerations": tolerations} if tolerations else {}),
        **priority(pod),
    }


def priority(pod: PodSettings) -> dict[str, str]:
    """Return the field of a pod's spec for its priority class, if it has one."""
    return {"priorityClassName": pod.priority_class} if pod.priority_class else {}


def _door(name: str, settings: RegistrySettings) -> dict[str, Any]:
    """Return the container of a registry process. Its memory is limited, but not its CPU, which would slow pulls."""
    return {
        "name": name,
        "image": settings.registry_image,
        "args": ["serve", f"{_CONFIG}/{name}.yml"],
        "env": [
            {"name": "OTEL_TRACES_EXPORTER", "value": "none"},
            # Signs the state of uploads. The uid is constant during the pod's life, and needs no Secret.
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
    """Return a probe of `/`, which responds with 503 if the storage check fails, and requires no credentials."""
    return {"httpGet": {"path": "/", "port": "read"}, "periodSeconds": period, "failureThreshold": failures}
