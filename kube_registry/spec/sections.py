"""Settings with nested fields: an image, the registry's pod, its volume or bucket, its metrics."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kube_registry.spec.fields import Annotations, Labels, Quantity, Section, Text, setting, with_values

QUANTITY = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|0+\.[0-9]*[1-9][0-9]*)([KMGTPE]i|[kMGTPE]|[eE][0-9]+)?$"
"""A quantity greater than zero, with the suffixes of k8s.io/apimachinery's resource.Quantity for whole bytes."""

LABELS = "a map of labels, whose values have at most 63 letters, digits, dashes, dots and underscores"

LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
"""The name of a namespace, which is a DNS label."""

_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
"""The name of a Secret, which is a DNS subdomain."""

_SERVER = r"^https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/?$"
"""A URL without a user, a path and a query, none of which distribution's driver supports."""

_FOLDER = r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$"
"""A path without parts like `..`: the driver passes them on, and S3 has no such folders."""


class ImageSettings(Section):
    """The settings of one image."""

    context: Text | None = setting(
        "Folder of the build context, relative to the program's folder; that folder itself if not set.",
        "the path of a folder",
        "./app",
        default=None,
    )
    dockerfile: Text = setting(
        "Dockerfile, relative to the build context.", "the path of a file", "Dockerfile", default="Dockerfile"
    )
    target: Text | None = setting(
        "Stage of the Dockerfile to build; the last one if not set.", "the name of a stage", "release", default=None
    )
    build_args: Annotated[dict[Text, Text], BeforeValidator(with_values)] = setting(
        "Build arguments of the Dockerfile.", "a map of strings", "1", default={}
    )


class Toleration(Section):
    """A toleration, with the fields that it has in Kubernetes."""

    key: Text | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Text | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Resources(Section):
    """Resource requests and limits of a container."""

    requests: dict[Text, Quantity] = Field(default={})
    limits: dict[Text, Quantity] = Field(default={})


class PodSettings(Section):
    """Scheduling and security settings of the registry's pod for clusters that need other values than the defaults."""

    node_selector: Labels = setting(
        "Node labels that the pod requires, in addition to kubernetes.io/os: linux.",
        LABELS,
        "amd64",
        path='nodeSelector["kubernetes.io/arch"]',
        default={},
    )
    tolerations: list[Toleration] = setting(
        "Taints that the pod tolerates.", "a list of tolerations", "Exists", path="tolerations[0].operator", default=[]
    )
    resources: Resources = setting(
        "Resources of each of the pod's two containers; each key overrides one default.",
        "a map of requests and limits, each of quantities such as 500m or 64Mi",
        "1Gi",
        path="resources.limits.memory",
        default=Resources(),
    )
    priority_class: Text | None = setting(
        "Priority class of the pod and of the node proxy.",
        "the name of a priority class",
        "system-cluster-critical",
        path="priorityClass",
        default=None,
    )
    user: Literal["fixed", "platform"] = setting(
        "User that the pod and the node proxy run as: a fixed one, or one that the platform assigns (OpenShift).",
        "fixed or platform",
        "platform",
        path="user",
        default="fixed",
    )

    @property
    def has_fixed_user(self) -> bool:
        """Return whether pods specify their user and group."""
        return self.user == "fixed"


class ClaimSettings(Section):
    """The PersistentVolumeClaim of the registry."""

    size: Annotated[Text, Field(pattern=QUANTITY)] = setting(
        "Size of the volume.",
        "a quantity of more than zero, such as 500Mi or 10Gi",
        "10Gi",
        path="size",
        default="10Gi",
    )
    storage_class: Text | None = setting(
        "Storage class of the volume; the cluster's default if not set.",
        "the name of a storage class",
        "standard",
        path="storageClass",
        default=None,
    )


class S3Settings(Section):
    """The bucket that stores the images instead of a volume."""

    bucket: Annotated[Text, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$")] = setting(
        "Name of the bucket, which must exist.", "the name of a bucket", "my-bucket", path="bucket"
    )
    region: Annotated[Text, Field(pattern=r"^[a-z0-9-]+$")] = setting(
        "Region of the bucket.", "the name of a region", "eu-central-1", path="region"
    )
    endpoint: Annotated[Text, Field(pattern=_SERVER)] | None = setting(
        "URL of an S3 server other than AWS, as the registry's pods reach it; AWS if not set.",
        "the URL of a server, with http:// or https:// and without a path",
        "https://s3.example.com",
        path="endpoint",
        default=None,
    )
    root_folder: Annotated[Text, Field(pattern=_FOLDER)] | None = setting(
        "Folder in the bucket for the images; its top level if not set.",
        "a path of letters, digits, dots, dashes and underscores, without a slash at its start or end; no part of it "
        "starts with a dot",
        "registry",
        path="rootFolder",
        default=None,
    )
    redirect: bool = setting(
        "Whether nodes get blobs from the bucket itself instead of the registry's pods; every node must then reach it "
        "under the same address.",
        "true or false",
        "false",
        path="redirect",
        default=False,
    )
    secret: Annotated[Text, Field(max_length=253, pattern=_SUBDOMAIN)] | None = setting(
        "Name of a Secret in the registry's namespace with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; if "
        "not set, the pods have the cloud's identity.",
        "the name of a Secret",
        "registry-s3",
        path="secret",
        default=None,
    )
    service_account_annotations: Annotated[Annotations, BeforeValidator(with_values)] = setting(
        "Annotations of the pods' service account `registry`, which give it the cloud's identity.",
        "a map of annotations",
        "arn:aws:iam::111122223333:role/registry",
        path='serviceAccountAnnotations["eks.amazonaws.com/role-arn"]',
        default={},
    )

    @property
    def place(self) -> str:
        """Return what identifies the stored images: server, bucket and folder."""
        return "/".join(filter(None, ((self.endpoint or "aws").rstrip("/"), self.bucket, self.root_folder)))


class MetricsSettings(Section):
    """Who reads the registry's metrics."""

    namespace: Annotated[Text, Field(pattern=LABEL)] = setting(
        "Namespace that Prometheus runs in; only its pods may read the metrics.",
        "at most 63 lower-case letters, digits and dashes",
        "monitoring",
        path="namespace",
    )
    service_monitor: bool = setting(
        "Whether to create a ServiceMonitor, by which the Prometheus Operator configures Prometheus.",
        "true or false",
        "false",
        path="serviceMonitor",
        default=False,
    )
    service_monitor_labels: Annotated[Labels, BeforeValidator(with_values)] = setting(
        "Labels of the ServiceMonitor, if Prometheus selects ServiceMonitors by labels.",
        LABELS,
        "kube-prometheus-stack",
        path="serviceMonitorLabels.release",
        default={},
    )
