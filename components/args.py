"""What a Pulumi program says of a registry and of its images: arguments of the components.

Each is a setting of the same name (kube_registry/spec/settings.py); a test compares names and texts. What decides
names, ports and tags is plain, so that every reference is known in preview; what names the cluster may be an output.
"""

from typing import TypedDict

import pulumi


class ImageArgs(TypedDict, total=False):
    """How one image is built."""

    context: str
    """Folder of the build context, relative to the program's folder; that folder itself if not set."""
    dockerfile: str
    """Dockerfile, relative to the build context."""
    target: str
    """Stage of the Dockerfile to build; the last one if not set."""
    build_args: dict[str, str]
    """Build arguments of the Dockerfile."""
    secret_build_args: dict[str, str]
    """More build arguments, whose values the state keeps as secrets; the image's history shows them."""


class ClaimArgs(TypedDict, total=False):
    """The registry's volume, as its PersistentVolumeClaim asks for it."""

    size: str
    """Size of the volume."""
    storage_class: str
    """Storage class of the volume; the cluster's default if not set."""


class TolerationArgs(TypedDict, total=False):
    """One toleration, with the fields that Kubernetes gives it."""

    key: str
    operator: str
    value: str
    effect: str
    toleration_seconds: int


class ResourcesArgs(TypedDict, total=False):
    """What a container asks for, and what it may not exceed."""

    requests: dict[str, str]
    limits: dict[str, str]


class PodArgs(TypedDict, total=False):
    """How the registry's pod is placed and run, beyond what every cluster takes."""

    node_selector: dict[str, str]
    """Node labels that the pod requires, in addition to kubernetes.io/os: linux."""
    tolerations: list[TolerationArgs]
    """Taints that the pod tolerates."""
    resources: ResourcesArgs
    """Resources of each of the pod's two containers; each key overrides one default."""
    priority_class: str
    """Priority class of the pod and of the node proxy."""
    user: str
    """User that the pod and the node proxy run as: a fixed one, or one that the platform assigns (OpenShift)."""


class ClusterRegistryArgs(TypedDict, total=False):
    """All that is chosen about one registry; kube_context or kubeconfig is always given."""

    kube_context: str
    """Kube context of the cluster, as `kubectl config get-contexts` names it; in-cluster for the service account of the
    pod that this runs in; the kubeconfig's current one if not set."""
    kubeconfig: pulumi.Input[str]
    """Path of the kubeconfig file, or a kubeconfig itself, which the state keeps as a secret; $KUBECONFIG or
    ~/.kube/config if not set."""
    namespace: str
    """Namespace to create for the registry."""
    node_port: int
    """Port of the registry on every node, in the cluster's node port range."""
    push_port: int
    """Port on this machine to push images to; derived from project, stack and name if not set."""
    claim: ClaimArgs
    """The registry's volume: size, 10Gi if not set, and storageClass, the cluster's default if not set."""
    registry_image: str
    """Image of the registry, version 3.1 or newer."""
    proxy_image: str
    """Image of the node proxy: HAProxy 2.6 or newer, with a shell."""
    platform: str
    """Platform to build images for."""
    preflight: bool
    """Whether to check that every node can pull before any image is built."""
    exposure: str
    """What serves the registry on every node's loopback: the node port, or a node proxy if kube-proxy does not serve
    node ports there."""
    retain: bool
    """Whether to keep the registry's volume when the stack is destroyed, so that the next one reuses it."""
    local_registry_hosting: bool
    """Whether to advertise the registry to tools such as Tilt, in a ConfigMap of kube-public (KEP-1755)."""
    pod: PodArgs
    """Scheduling and user of the registry's pod: nodeSelector, tolerations, resources, priorityClass, user."""
    images: dict[str, ImageArgs]
    """Images to build and push: repository name -> context, dockerfile, target, buildArgs."""
