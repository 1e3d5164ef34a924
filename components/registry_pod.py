"""The specs of the registry's pod, with two doors and a volume or bucket, and of its network policy; pure."""

import hashlib
from typing import Any, Final

from kube_registry.names import BUCKET_KEYS, HTTP_KEY, LINUX, READ_PORT, REGISTRY, WRITE_PORT, labels
from kube_registry.spec.sections import MetricsSettings, PodSettings, S3Settings
from kube_registry.spec.settings import RegistrySettings

from .door_config import DRAIN_SECONDS, STORAGE, config_files
from .metrics import allowed_to_scrape, container_ports

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


_CONFIG = "/etc/distribution"
_USER = 1000
"""A uid that is neither root nor a user of the node; it is also the group that may access the volume."""

PAUSE_SECONDS: Final = 5
"""How long a pod that ends still accepts connections, until every node has removed it from its rules."""

START_SECONDS: Final = 30
"""How long the first request to a bucket may take; the search for the cloud's identity takes ten seconds or more."""

HTTP_FIELD: Final = "key"
"""The field of the Secret HTTP_KEY that has the key."""


def deployment_spec(settings: RegistrySettings) -> dict[str, Any]:
    """Return the Deployment's spec.

    With a volume it has one replica and the strategy Recreate: the volume is ReadWriteOnce, and two writers on one file
    system would lose uploads. A bucket allows several, and a new pod that is ready before an old one ends.
    """
    checksum = hashlib.sha256("".join(config_files(settings).values()).encode()).hexdigest()
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    return {
        "replicas": settings.replicas,
        "strategy": rolling if settings.s3 else {"type": "Recreate"},
        "selector": {"matchLabels": labels("registry")},
        "template": {
            "metadata": {"labels": labels("registry"), "annotations": {"kube-registry/config": checksum}},
            "spec": _pod(settings),
        },
    }


def disruption_budget() -> dict[str, Any]:
    """Return the spec of a PodDisruptionBudget that lets nodes be drained one by one."""
    return {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",  # a pod that is not ready serves no node
        "selector": {"matchLabels": labels("registry")},
    }


def _pod(settings: RegistrySettings) -> dict[str, Any]:
    read_door = _door("read", settings) | {
        "ports": [{"name": "read", "containerPort": READ_PORT}, *container_ports(settings.metrics)],
        "readinessProbe": _probe(period=2, failures=3),
        "livenessProbe": _alive() if settings.s3 else _probe(period=10, failures=6),
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
            *([] if settings.s3 else [{"name": "storage", "persistentVolumeClaim": {"claimName": REGISTRY}}]),
            {"name": "config", "configMap": {"name": REGISTRY}},
        ],
        **(_of_bucket(settings, settings.s3) if settings.s3 else {}),
    }


def _of_bucket(settings: RegistrySettings, s3: S3Settings) -> dict[str, Any]:
    """Return the fields of the spec of a pod with a bucket: how it starts and ends, its node, its identity."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels("registry")},
        "matchLabelKeys": ["pod-template-hash"],  # or pods that an update replaces would count
    }
    return {
        "initContainers": [_bucket_check(settings)],
        "terminationGracePeriodSeconds": PAUSE_SECONDS + DRAIN_SECONDS + 5,
        "topologySpreadConstraints": [spread],
        **({} if s3.secret else {"serviceAccountName": REGISTRY}),
    }


def _bucket_check(settings: RegistrySettings) -> dict[str, Any]:
    """Return the container that ends with an error, and a line of the log, if the registry cannot list its bucket.

    So a wrong bucket, or wrong keys, do not replace pods that work. The registry itself does not connect at its start.
    """
    door = {key: value for key, value in _door("write", settings).items() if key not in ("args", "lifecycle")}
    return door | {"name": "bucket", "command": ["sh", "-c", _LIST_BUCKET]}


_LIST_BUCKET = f"""\
registry serve {_CONFIG}/write.yml &
ask() {{ timeout {START_SECONDS} wget -q -O /dev/null "http://127.0.0.1:{WRITE_PORT}/v2/$1" 2>/dev/null; }}
until ask; do kill -0 $! || exit; sleep 0.1; done
ask '_catalog?n=1' || {{ echo 's3aws: RequestCanceled: no response' >&2; exit 1; }}
"""
"""The last line counts only if the log has no other error of the driver before it. The registry may end by itself: it
refuses a region that it does not know."""


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


_ENVIRONMENT = {
    "OTEL_TRACES_EXPORTER": "none",
    # Each blob that is sent takes a buffer of 4 MiB (distribution v3.1, registry/storage/filereader.go), and a node
    # fetches three at a time. Used buffers are freed before they amount to more than a quarter.
    "GOGC": "25",
}


def _door(name: str, settings: RegistrySettings) -> dict[str, Any]:
    """Return the container of a registry process. Its memory is limited, but not its CPU, which would slow pulls."""
    return {
        "name": name,
        "image": settings.registry_image,
        "args": ["serve", f"{_CONFIG}/{name}.yml"],
        "env": [*({"name": name, "value": value} for name, value in _ENVIRONMENT.items()), *_secrets(settings.s3)],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {
            "requests": {"cpu": "50m", "memory": "64Mi"} | settings.pod.resources.requests,
            "limits": {"memory": "2Gi"} | settings.pod.resources.limits,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            *([] if settings.s3 else [{"name": "storage", "mountPath": STORAGE}]),
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
        ],
        **({"lifecycle": {"preStop": {"exec": {"command": ["sleep", str(PAUSE_SECONDS)]}}}} if settings.s3 else {}),
    }


def _secrets(s3: S3Settings | None) -> list[dict[str, Any]]:
    """Return the environment variables with secret values.

    The HTTP secret signs the state of uploads. The uid of the only pod is constant during its life, and needs no
    Secret. Several pods need one in common, because an upload may continue at another pod.
    """
    if s3 is None:
        return [{"name": "REGISTRY_HTTP_SECRET", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]
    keys = {"REGISTRY_HTTP_SECRET": (HTTP_KEY, HTTP_FIELD)}
    if s3.secret:
        keys |= {name: (s3.secret, name) for name in BUCKET_KEYS}
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}
        for name, (secret, key) in keys.items()
    ]


def _probe(*, period: int, failures: int) -> dict[str, Any]:
    """Return a probe of `/`, which responds with 503 if the storage check fails, and requires no credentials."""
    return {"httpGet": {"path": "/", "port": "read"}, "periodSeconds": period, "failureThreshold": failures}


def _alive() -> dict[str, Any]:
    """Return a probe that the bucket has no influence on: a restart would not help, and would delay the recovery."""
    return {"tcpSocket": {"port": "read"}, "periodSeconds": 10, "failureThreshold": 6}
