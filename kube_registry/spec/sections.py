"""The settings with fields of their own: an image, the registry's pod, its volume."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from kube_registry.spec.fields import Quantity, Section, Text, setting, with_values

_QUANTITY = r"^([0-9]*[1-9][0-9]*(\.[0-9]+)?|0+\.[0-9]*[1-9][0-9]*)([KMGTPE]i|[kMGTPE]|[eE][0-9]+)?$"
"""More than zero, with the suffixes of k8s.io/apimachinery's resource.Quantity that make whole bytes."""


class ImageSettings(Section):
    """How one image is built."""

    context: Text | None = setting(
        "Folder of the build context, relative to the program; the program's own if not set.",
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
        "Build arguments of the Dockerfile.", "a map of texts", "1", default={}
    )


class Toleration(Section):
    """One toleration, with the fields that Kubernetes gives it."""

    key: Text | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: Text | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: int | None = None


class Resources(Section):
    """What a container asks for, and what it may not exceed."""

    requests: dict[Text, Quantity] = Field(default={})
    limits: dict[Text, Quantity] = Field(default={})


class PodSettings(Section):
    """How the registry's pod is placed and run, beyond what every cluster takes."""

    node_selector: dict[Text, Text] = setting(
        "Labels that its node must have, besides kubernetes.io/os: linux.",
        "a map of labels",
        "amd64",
        path='nodeSelector["kubernetes.io/arch"]',
        default={},
    )
    tolerations: list[Toleration] = setting(
        "Taints that it tolerates.", "a list of tolerations", "Exists", path="tolerations[0].operator", default=[]
    )
    resources: Resources = setting(
        "Resources of each of its two containers, which replace the defaults key by key.",
        "a map of requests and limits, each of quantities such as 500m or 64Mi",
        "1Gi",
        path="resources.limits.memory",
        default=Resources(),
    )
    priority_class: Text | None = setting(
        "Its priority class, and the node proxy's.",
        "the name of a priority class",
        "system-cluster-critical",
        path="priorityClass",
        default=None,
    )
    user: Literal["fixed", "platform"] = setting(
        "Who it and the node proxy run as: a fixed user, or one that the platform gives, as OpenShift does.",
        "fixed or platform",
        "platform",
        path="user",
        default="fixed",
    )

    @property
    def has_fixed_user(self) -> bool:
        """Whether pods name their user and group."""
        return self.user == "fixed"


class ClaimSettings(Section):
    """The registry's volume, as its PersistentVolumeClaim asks for it."""

    size: Annotated[Text, Field(pattern=_QUANTITY)] = setting(
        "Its size.", "a quantity of more than zero, such as 500Mi or 10Gi", "10Gi", path="size", default="10Gi"
    )
    storage_class: Text | None = setting(
        "Its storage class; the cluster's default if not set.",
        "the name of a storage class",
        "standard",
        path="storageClass",
        default=None,
    )
