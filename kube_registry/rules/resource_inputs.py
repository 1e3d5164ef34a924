"""Kubernetes objects in Pulumi's inputs, read with care: nothing has validated them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Inputs = Mapping[str, Any]

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What Pulumi writes for a value that is unknown before an update."""

_POD_TEMPLATE = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(
        ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "ReplicationController", "Job"),
        ("spec", "template"),
    ),
}
"""Kind of a workload -> path of its pod template, which has metadata and spec."""

_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def kind_of(type_: str) -> str:
    """Return the kind of a Kubernetes object, in any API version; empty for other resources."""
    return type_.rpartition(":")[2].removesuffix("Patch") if type_.startswith("kubernetes:") else ""


def namespace_of(inputs: Inputs) -> str:
    """Return the namespace of an object."""
    return str(at(inputs, "metadata", "namespace") or "default")


def pod_template(type_: str, inputs: Inputs) -> Any:  # noqa: ANN401 - any value
    """Return the metadata and spec of a workload's pod; None if the object is not a workload."""
    path = _POD_TEMPLATE.get(kind_of(type_))
    return None if path is None else at(inputs, *path)


def containers(spec: object) -> Iterator[tuple[str, Inputs]]:
    """Yield the name and the object of each container of a pod, including init and ephemeral containers."""
    for kind in _CONTAINERS:
        for container in sequence(at(spec, kind)):
            yield str(at(container, "name")), container


def images(type_: str, inputs: Inputs) -> Iterator[tuple[str, str]]:
    """Yield each known image of a pod, after words on what uses it: a container, or a volume from an image."""
    spec = at(pod_template(type_, inputs), "spec")
    named = (
        *((f"container {name} runs", at(container, "image")) for name, container in containers(spec)),
        *(
            (f"volume {at(volume, 'name')} mounts", at(volume, "image", "reference"))
            for volume in sequence(at(spec, "volumes"))
        ),
    )
    yield from ((words, str(image)) for words, image in named if known(image))


def at(value: object, *path: str) -> Any:  # noqa: ANN401 - any value
    """Return the value at a path of keys; None if there is none."""
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def sequence(value: object) -> Sequence[Any]:
    """Return a value if it is a list, else an empty list."""
    return value if isinstance(value, Sequence) and not isinstance(value, str) else ()


def known(value: object) -> object:
    """Return a value; None if it is unknown before an update."""
    return None if value == UNKNOWN else value


def number(value: object) -> int | None:
    """Return the number of a port, which Pulumi may hold as a float or a string; None if it is not a number."""
    try:
        return int(str(value).removesuffix(".0"))
    except ValueError:
        return None


def is_true(value: object) -> bool:
    """Return whether a boolean is true, which Pulumi may hold as a string."""
    return value is True or value == "true"
