"""The arguments of the components.

Each is a setting of the same name (kube_registry/spec/settings.py); a test compares names and texts. Arguments for
names, ports and tags are plain values, so that a preview shows every reference. The kubeconfig may be an output.
"""

from typing import TypedDict

import pulumi


class ImageArgs(TypedDict, total=False):
    """The settings of one image."""

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
    """The PersistentVolumeClaim of the registry."""

    size: str
    """Size of the volume."""
    storage_class: str
    """Storage class of the volume; the cluster's default if not set."""


class S3Args(TypedDict, total=False):
    """The bucket that stores the images instead of a volume."""

    bucket: str
    """Name of the bucket, which must exist."""
    region: str
    """Region of the bucket."""
    endpoint: str
    """URL of an S3 server other than AWS, as the registry's pods reach it; AWS if not set."""
    root_folder: str
    """Folder in the bucket for the images; its top level if not set."""
    redirect: bool
    """Whether nodes get blobs from the bucket itself instead of the registry's pods; every node must then reach it
    under the same address."""
    secret: str
    """Name of a Secret in the registry's namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; if not
    set, the pods have the cloud's identity."""
    service_account_annotations: dict[str, str]
    """Annotations of the pods' service account `registry`, which give it the cloud's identity."""


class TolerationArgs(TypedDict, total=False):
    """A toleration, with the fields that it has in Kubernetes."""

    key: str
    operator: str
    value: str
    effect: str
    toleration_seconds: int


class ResourcesArgs(TypedDict, total=False):
    """Resource requests and limits of a container."""

    requests: dict[str, str]
    limits: dict[str, str]


class PodArgs(TypedDict, total=False):
    """Scheduling and security settings of the registry's pod for clusters that need other values than the defaults."""

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


class MetricsArgs(TypedDict, total=False):
    """Who reads the registry's metrics. The namespace is required."""

    namespace: str
    """Namespace that Prometheus runs in; only its pods may read the metrics."""
    service_monitor: bool
    """Whether to create a ServiceMonitor, by which the Prometheus Operator configures Prometheus."""
    service_monitor_labels: dict[str, str]
    """Labels of the ServiceMonitor, if Prometheus selects ServiceMonitors by labels."""


class SharedVolumeArgs(TypedDict, total=False):
    """The settings of one shared volume."""

    claims: dict[str, str]
    """Namespaces that get a claim to the volume -> size that the claim shows; the namespaces must exist."""
    namespace: str
    """Namespace to create for the NFS server; the registry's, followed by -shared, if not set."""
    size: str
    """Size of the volume behind the NFS server."""
    storage_class: str
    """Storage class of that volume, which must be ReadWriteOnce; the cluster's default if not set."""
    exposure: str
    """How nodes reach the NFS server: clusterIP, by its Service; nodeProxy, by a proxy on their loopback; nodePort, by
    a port that opens the server, which has no password, on all addresses of all nodes."""
    port: int
    """Port that nodes mount from on their loopback if exposure is nodeProxy or nodePort. nodePort opens it on all
    addresses of the nodes, and it must be in the cluster's node port range."""
    mount: str
    """What a program gets while the NFS server does not respond: an error, the first one within a minute (softerr), or
    no answer until the server is back (hard)."""
    csi: bool
    """Whether csi-driver-nfs mounts the volume, which must be installed on every node, instead of the kubelet."""
    user: int
    """User and group that own all files; every program that mounts the volume acts as this user."""
    allow_directory: bool
    """Whether the volume may be a directory of a larger file system, as hostPath and local-path volumes are; a pod
    that forges file handles then reaches that whole file system as the user."""
    node_selector: dict[str, str]
    """Labels of the nodes that can mount the volume; all Linux nodes if not set."""


class ClusterRegistryArgs(TypedDict, total=False):
    """The settings of one registry. At least one of kube_context and kubeconfig is required."""

    kube_context: str
    """Kube context of the cluster, a NAME in `kubectl config get-contexts`; or in-cluster, for the service account of
    the pod that the program runs in; the kubeconfig's current kube context if not set."""
    kubeconfig: pulumi.Input[str]
    """Path or content of the kubeconfig; $KUBECONFIG or ~/.kube/config if not set. The content is a secret in the
    state."""
    namespace: str
    """Namespace to create for the registry."""
    node_port: int
    """Port of the registry on every node: in the cluster's node port range, or any free one from 1024 if exposure is
    nodeProxy."""
    push_port: int
    """Port on this machine to push images to; derived from project, stack and name if not set."""
    claim: ClaimArgs
    """The registry's volume: size, 10Gi if not set, and storageClass, the cluster's default if not set."""
    s3: S3Args
    """The bucket that stores the images instead of a volume: bucket, region, endpoint, rootFolder, redirect, secret,
    serviceAccountAnnotations."""
    replicas: int
    """Number of the registry's pods; more than one requires s3."""
    registry_image: str
    """Image of the registry, version 3.1 or newer."""
    proxy_image: str
    """Image of the node proxy: HAProxy 2.6 or newer, with a shell."""
    platform: str
    """Platform to build images for."""
    preflight: bool
    """Whether to check that every node can pull before any image is built."""
    exposure: str
    """What serves the registry on every node's loopback: nodePort, or nodeProxy if kube-proxy does not serve node ports
    there."""
    retain: bool
    """Whether to keep the registry's volume when the stack is destroyed, so that the next one reuses it."""
    local_registry_hosting: bool
    """Whether to advertise the registry to tools such as Tilt, in a ConfigMap of kube-public (KEP-1755)."""
    keep_local_tags: bool
    """Whether to keep the tag of an image's previous build in the Docker daemon after a new one is pushed."""
    pod: PodArgs
    """Scheduling and user of the registry's pod: nodeSelector, tolerations, resources, priorityClass, user."""
    metrics: MetricsArgs
    """Metrics for Prometheus: namespace, the one that Prometheus runs in, serviceMonitor and serviceMonitorLabels; none
    if not set."""
    shared_volume: SharedVolumeArgs
    """A volume that pods of all nodes read and write: claims, namespace, size, storageClass, exposure, port, mount,
    csi, user, allowDirectory, nodeSelector; none if not set."""
    images: dict[str, ImageArgs]
    """Images to build and push: repository name -> context, dockerfile, target, buildArgs."""
