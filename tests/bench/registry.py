"""The registry in a cluster of the lab without Pulumi: the program's own manifests, applied as they are.

For what goes through a tunnel, which does not care who made the registry.
"""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

from components.door_config import config_files
from components.registry_pod import HTTP_FIELD, deployment_spec
from kube_registry.names import HTTP_KEY, READ_PORT, REGISTRY, labels, selector
from kube_registry.spec.settings import Settings
from lab.errors import LabError
from lab.spec import ClusterSpec
from lab.toolchain import tool
from tests.s3_server import KEY, PASSWORD

READY_SECONDS = 120
"""How long the registry may take to run."""


def settings_for(spec: ClusterSpec, push_port: int, **more: object) -> Settings:
    """The settings of a registry in that cluster, with more of them by their keys."""
    config = {"kubeContext": spec.kube_context, "kubeconfig": str(spec.kubeconfig), "pushPort": push_port}
    return Settings.parse({**config, "images": {"app": {}}, **more}, project="kube-registry", stack=spec.name)


def deploy(spec: ClusterSpec, settings: Settings, *more: dict[str, Any]) -> None:
    """Make the registry, and return when it runs. Idempotent.

    Args:
        spec: the cluster.
        settings: those of the registry.
        more: objects that it needs besides, in its namespace.

    Raises:
        LabError: it does not run.
    """
    namespace, *rest = _manifests(settings)
    objects = {"apiVersion": "v1", "kind": "List", "items": [namespace, *more, *rest]}
    kubectl(spec, "apply", "--filename=-", given=json.dumps(objects))
    wait_ready(spec, settings)


def wait_ready(spec: ClusterSpec, settings: Settings) -> None:
    """Return when the registry runs.

    Raises:
        LabError: it does not.
    """
    rollout = ("rollout", "status", f"--namespace={settings.namespace}", f"deployment/{REGISTRY}")
    kubectl(spec, *rollout, f"--timeout={READY_SECONDS}s")


def pods_of(spec: ClusterSpec, settings: Settings) -> list[dict[str, Any]]:
    """The registry's pods that are not being deleted."""
    listed = kubectl(
        spec, "get", "pods", f"--namespace={settings.namespace}", f"--selector={selector('registry')}", "--output=json"
    )
    return [pod for pod in json.loads(listed)["items"] if "deletionTimestamp" not in pod["metadata"]]


def bucket_secrets(settings: Settings) -> list[dict[str, Any]]:
    """The Secrets that the pods of a registry with a bucket of tests/s3_server.py need; none with a volume."""
    if not settings.s3:
        return []
    data = {
        HTTP_KEY: {HTTP_FIELD: "0" * 64},
        str(settings.s3.secret): {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": PASSWORD},
    }
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": settings.namespace},
            "stringData": each,
        }
        for name, each in data.items()
    ]


def pod_of(spec: ClusterSpec, settings: Settings) -> dict[str, Any]:
    """The registry's pod, where there is just one.

    Raises:
        LabError: there is none, or more than one.
    """
    pods = pods_of(spec, settings)
    if len(pods) != 1:
        raise LabError(f"The registry in cluster {spec.name} has {len(pods)} pods, not 1.")
    return pods[0]


def kubectl(spec: ClusterSpec, *words: str, given: str | None = None) -> str:
    """What kubectl prints.

    Args:
        spec: the cluster.
        words: its arguments.
        given: its standard input.

    Raises:
        LabError: it failed.
    """
    command = [str(tool("kubectl")), f"--kubeconfig={spec.kubeconfig}", *words]
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False, timeout=2 * READY_SECONDS)
    if done.returncode:
        raise LabError(f"kubectl {' '.join(words)} on cluster {spec.name} failed: {done.stderr.strip()}")
    return done.stdout


def _manifests(settings: Settings) -> Iterator[dict[str, Any]]:
    metadata = {"name": REGISTRY, "namespace": settings.namespace, "labels": labels("registry")}
    ports = [{"name": "read", "port": READ_PORT, "targetPort": "read", "nodePort": settings.node_port}]
    service = {"type": "NodePort", "selector": labels("registry"), "ports": ports}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": settings.namespace}}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config_files(settings)}
    if not settings.s3:
        claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": settings.claim.size}}}
        yield {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment_spec(settings)}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service}
