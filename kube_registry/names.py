"""Names, labels and ports of the objects that components/ creates in a cluster and this package looks up."""

import re
from pathlib import Path
from typing import Final

from kube_registry import __version__

USER_AGENT: Final = f"kube-registry/{__version__}"
"""User agent in requests to API servers, which their audit logs record."""

REGISTRYCTL: Final = (
    "registryctl" if Path(__file__).with_name("components").exists() else ".venv/bin/python -m registryctl"
)
"""The command for messages: `registryctl` if the wheel is installed, which contains components/; else a checkout's."""

REGISTRY: Final = "registry"
"""Name of the registry's Deployment, node port Service, claim and ConfigMap; the namespace makes it unique."""

READ_SERVICE: Final = "registry-read"
"""Name of the Service for pods and for the node proxy, which is ClusterIP with every exposure."""

HTTP_KEY: Final = "registry-http"
"""Name of the Secret with the key that the replicas of a registry sign the state of uploads with."""

BUCKET_KEYS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
"""The keys of the Secret of a bucket, which are also the names of the pods' environment variables."""

ARCHITECTURE: Final = "kubernetes.io/arch"
"""Label with the architecture of a node, which its kubelet sets."""

NFS_SERVER: Final = "nfs-server"
SHARED_VOLUME: Final = "shared-volume"
"""Name of a shared volume's Deployment, Service, claim and ConfigMap, which have a separate namespace."""

NFS_REPOSITORY: Final = "kube-registry/nfs-server"
"""The repository of the NFS server's image."""

NFS_PORT: Final = 2049
"""The port of NFS, which a mount uses without the option `port`."""

OF_REGISTRY: Final = "kube-registry/registry"
"""Annotation of a shared volume's Deployment with the namespace of the registry that has its image."""

HOSTING: Final = "local-registry-hosting"
HOSTING_NAMESPACE: Final = "kube-public"
"""Name and namespace of the ConfigMap that advertises a cluster's registry to tools (KEP-1755)."""

NODE_PROXY: Final = "node-proxy"
"""Name of the node proxy's DaemonSet and ConfigMap, which have a separate namespace."""

VIRTUAL_NODES: Final = {"type": "virtual-kubelet", "eks.amazonaws.com/compute-type": "fargate"}
"""Labels of virtual nodes, which represent another API: they pull no images themselves and have no loopback."""

LINUX: Final = {"kubernetes.io/os": "linux"}
"""Node selector of every pod. Kubelets set this label; a Windows node pool may have no taint."""

REGISTRY_TYPE: Final = "kube-registry:index:ClusterRegistry"
IMAGE_TYPE: Final = "kube-registry:index:RegistryImage"
"""Pulumi's type tokens of two components, which a stack's state also contains."""

WRITE_PORT: Final = 5000
"""The write door: on the pod's 127.0.0.1, reachable only through a port-forward."""

READ_PORT: Final = 5001
"""The read door: read-only, behind both Services."""

METRICS_PORT: Final = 5002
"""The debug server of the read door, with the setting `metrics`: behind the Service READ_SERVICE only."""

RETAINED: Final = "kube-registry/retained"
"""Annotation of a namespace and a claim that are kept when their stack is destroyed, so that the next stack finds the
volume; the claim is also kept when the stack changes to a bucket."""

FORCE: Final = {"pulumi.com/patchForce": "true"}
"""Annotation for the kubernetes provider: the program's values override those of another field manager. Without it,
such a conflict is an error."""

NODE_PORT: Final = "kube-registry/node-port"
"""Annotation of the Service REGISTRY with the port of the node proxy, while the Service itself has no node port."""

OURS: Final = {"pulumi.com/skipAwait": "true", **FORCE}
"""The same, and the provider does not wait: the program itself reports within seconds why a pod does not start."""

IN_CLUSTER: Final = "in-cluster"
"""The kube context that stands for the service account of the current pod; it is not read from a kubeconfig."""

PROBE_REPOSITORY: Final = "kube-registry/preflight"
"""The repository of the preflight's probe image; images of a stack must not use it."""


def rbac_name(text: str) -> str:
    """Return a valid name of a Role or RoleBinding, made from any text."""
    return _NO_NAME.sub("-", text.lower()).strip("-")


_NO_NAME = re.compile(r"[^a-z0-9]+")


def short_name(stack: str) -> str:
    """Return the name of a stack without organization and project."""
    return stack.rpartition("/")[2]


def labels(component: str) -> dict[str, str]:
    """Return Kubernetes' recommended labels for one component; its selector uses the same labels."""
    return {
        "app.kubernetes.io/name": "kube-registry",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "pulumi",
    }


def selector(component: str) -> str:
    """Return the same labels as a label selector of the Kubernetes API."""
    return ",".join(f"{key}={value}" for key, value in labels(component).items())


def resource_name(urn: str) -> str:
    """Return the name of the resource with a URN."""
    return urn.rpartition("::")[2]


def image_urn(project: str, stack: str, name: str) -> str:
    """Return the URN of an image's build and push, for `pulumi up --replace`.

    Args:
        project: name of the Pulumi project.
        stack: name of the stack, without organization and project.
        name: the image's name in the settings.
    """
    return f"urn:pulumi:{stack}::{project}::{IMAGE_TYPE}$docker:index/image:Image::{name}"
