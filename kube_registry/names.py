"""Names, labels and ports of what the program puts into a cluster; components/ makes them, the package finds them."""

import re
from pathlib import Path
from typing import Final

from kube_registry import __version__

USER_AGENT: Final = f"kube-registry/{__version__}"
"""Name and version by which API servers and their logs know us."""

REGISTRYCTL: Final = (
    "registryctl" if Path(__file__).with_name("components").exists() else ".venv/bin/python -m registryctl"
)
"""The command line: on PATH where the wheel is installed, which has the components in it; else that of a checkout."""

REGISTRY: Final = "registry"
"""Name of the registry's Deployment, Service, claim and ConfigMap: the namespace tells them from others."""

HOSTING: Final = "local-registry-hosting"
HOSTING_NAMESPACE: Final = "kube-public"
"""Name and namespace of the ConfigMap that tells tools of a cluster's registry (KEP-1755)."""

NODE_PROXY: Final = "node-proxy"
"""Name of the node proxy's DaemonSet and ConfigMap, in a namespace of its own."""

VIRTUAL_NODES: Final = {"type": "virtual-kubelet", "eks.amazonaws.com/compute-type": "fargate"}
"""Labels of nodes that are an API to something else: they pull nothing themselves and have no loopback."""

LINUX: Final = {"kubernetes.io/os": "linux"}
"""Node selector of every pod: kubelets set this label, and a Windows pool may have no taint."""

WRITE_PORT: Final = 5000
"""The write door: on the pod's own 127.0.0.1, reached by a port-forward only."""

READ_PORT: Final = 5001
"""The read door: read-only, behind the NodePort Service."""

RETAINED: Final = "kube-registry/retained"
"""Annotation of a namespace that outlives its stack, so that the volume in it is found again by the next one."""

FORCE: Final = {"pulumi.com/patchForce": "true"}
"""Annotation for the kubernetes provider: the program's values win over a change by another field manager, which is an
error without it."""

OURS: Final = {"pulumi.com/skipAwait": "true", **FORCE}
"""The same, and no waiting: the program itself reports within seconds why something does not run."""

IN_CLUSTER: Final = "in-cluster"
"""The kube context that means the service account of the pod that we run in; no kubeconfig is asked for it."""


PROBE_REPOSITORY: Final = "kube-registry/preflight"
"""The repository of the preflight's own image, which no image of a stack may have."""


def rbac_name(text: str) -> str:
    """A name for a role or a binding, made of words that may have letters which no name of Kubernetes has."""
    return _NO_NAME.sub("-", text.lower()).strip("-")


_NO_NAME = re.compile(r"[^a-z0-9]+")


def short_name(stack: str) -> str:
    """The name of a stack within its project, without organization and project."""
    return stack.rpartition("/")[2]


def labels(component: str) -> dict[str, str]:
    """Kubernetes' recommended labels for one part of the program, which are its selector too."""
    return {
        "app.kubernetes.io/name": "kube-registry",
        "app.kubernetes.io/component": component,
        "app.kubernetes.io/managed-by": "pulumi",
    }


def selector(component: str) -> str:
    """The same labels as a label selector of the Kubernetes API."""
    return ",".join(f"{key}={value}" for key, value in labels(component).items())


def image_urn(project: str, stack: str, name: str) -> str:
    """The URN of an image's build and push, which `pulumi up --replace` takes.

    Args:
        project: name of the Pulumi project.
        stack: name of the stack, without organization and project.
        name: the image's name in the settings.
    """
    return f"urn:pulumi:{stack}::{project}::kube-registry:index:RegistryImage$docker:index/image:Image::{name}"
