"""Kubernetes objects as Pulumi's inputs describe them, read with care: nothing in them has been checked."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Inputs = Mapping[str, Any]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What Pulumi writes in place of a value that only an update makes known."""

_POD_TEMPLATE = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"),
        ("spec", "template"),
    ),
}
"""Kind of a workload -> where its pod's metadata and spec are."""

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def kind_of(type_: str) -> str:
    """Kind of a Kubernetes object, of whatever version of its API; nothing of other resources."""
    return type_.rpartition(":")[2].removesuffix("Patch") if type_.startswith("kubernetes:") else ""


def namespace_of(inputs: Inputs) -> str:
    """The namespace that an object is in."""
    return str(at(inputs, "metadata", "namespace") or "default")


def pod_template(type_: str, inputs: Inputs) -> Any:  # noqa: ANN401 - whatever stands there
    """The metadata and spec of a workload's pod; None of what is no workload."""
    way = _POD_TEMPLATE.get(kind_of(type_))
    return None if way is None else at(inputs, *way)


def containers(spec: object) -> Iterator[tuple[str, Inputs]]:
    """Name of each container of a pod, init and ephemeral ones too, and the container."""
    for kind in _CONTAINERS:
        for container in sequence(at(spec, kind)):
            yield str(at(container, "name")), container


def images(type_: str, inputs: Inputs) -> Iterator[tuple[str, str]]:
    """What has each image of a pod, in words, and the image, if it is known: containers, and volumes made of one."""
    spec = at(pod_template(type_, inputs), "spec")
    named = (
        *((f"container {name} runs", at(container, "image")) for name, container in containers(spec)),
        *(
            (f"volume {at(volume, 'name')} mounts", at(volume, "image", "reference"))
            for volume in sequence(at(spec, "volumes"))
        ),
    )
    yield from ((words, str(image)) for words, image in named if known(image))


def at(value: object, *way: str) -> Any:  # noqa: ANN401 - whatever stands there
    """What stands at the end of a way of keys; None where something else is in between."""
    for key in way:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def sequence(value: object) -> Sequence[Any]:
    """A list that stands there; an empty one if none does."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def known(value: object) -> object:
    """A value; None if only an update makes it known."""
    return None if value == UNKNOWN else value


def number(value: object) -> int | None:
    """A port's number, which Pulumi may have as a float or as text."""
    try:
        return int(str(value).removesuffix(".0"))
    except ValueError:
        return None


def is_true(value: object) -> bool:
    """Whether a switch is on, which Pulumi may have as text."""
    return value is True or value == "true"
