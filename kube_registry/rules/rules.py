"""Policy rules: what no resource of a stack may be, read from its type and its inputs alone.

Each rule is a pure function and gives a sentence for every breach. What a preview does not know yet, such as the digest
of an image that is to be pushed, breaks nothing. policy/ hands the rules on to Pulumi, and `registryctl review` asks
them over a preview.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

from kube_registry.build.build import TAG_LENGTH
from kube_registry.names import READ_PORT, WRITE_PORT
from kube_registry.rules.allowed_registries import is_allowed
from kube_registry.rules.pod_security import privileges
from kube_registry.rules.resource_inputs import (
    Inputs,
    at,
    images,
    kind_of,
    known,
    namespace_of,
    number,
    pod_template,
    sequence,
)
from kube_registry.spec.endpoints import Reference, parse_reference
from kube_registry.spec.settings import RegistrySettings

NODE_PORTS = range(30_000, 32_768)
"""Node ports of a cluster whose API server was not told otherwise."""

READ_DOOR = "read"
"""Name of the read door's port in the registry's pod, which is the only one that has a name there."""

NOT_LOOKED_AT = (
    "Not looked at: what a Helm release, an operator or a custom resource makes in the cluster, lists such as PodList, "
    "an image that is not known before an update, and what a container does while it runs."
)
"""What the rules pass over, for those who set them up."""

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_CONTENT_TAG = re.compile(rf"[0-9a-f]{{{TAG_LENGTH}}}")


@dataclass(frozen=True)
class Allowed:
    """What the rules need to know of a stack.

    Args:
        namespace: the registry's, where no Service may lead to the write door.
        node_proxy_namespace: the node proxy's, where pods may be privileged.
        pull_host: the host of pull references, with its port.
        images: references that need no digest and no content tag: those of registry and node proxy.
        node_ports: the node ports that the cluster has.
        registries: other registries and repositories whose images are allowed by digest, as `allowed_names` has them.
    """

    namespace: str
    node_proxy_namespace: str
    pull_host: str
    images: frozenset[str]
    node_ports: range = NODE_PORTS
    registries: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: RegistrySettings, node_ports: range = NODE_PORTS, registries: Iterable[str] = ()) -> Self:
        """Those of one stack."""
        return cls(
            namespace=settings.namespace,
            node_proxy_namespace=settings.node_proxy_namespace,
            pull_host=settings.endpoints.pull_host,
            images=frozenset({settings.registry_image, settings.proxy_image}),
            node_ports=node_ports,
            registries=tuple(registries),
        )


@dataclass(frozen=True)
class Violation:
    """A rule that a resource breaks.

    Args:
        rule: its name, a key of RULES.
        resource: kind and name of the resource.
        text: why, in one sentence.
    """

    rule: str
    resource: str
    text: str


Rule = Callable[[str, Inputs, Allowed], Iterator[str]]
"""Type of a resource as Pulumi has it, its inputs, what the stack allows -> a sentence for each breach."""


def pull_references(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """Images of workloads are pull references with a digest or a content tag, or of an allowed registry by digest."""
    for words, image in images(type_, inputs):
        if image in allowed.images or _lacks_tag(image):
            continue
        reference = _parsed(image)
        if reference is not None and reference.host == allowed.pull_host:
            if not reference.digest and not _CONTENT_TAG.fullmatch(reference.tag or ""):
                yield f"{words} {image}, which has neither a digest nor a content tag"
        elif not is_allowed(image, allowed.registries):
            begin = f"those begin with {allowed.pull_host}/"
            yield f"{words} {image}, which is no pull reference ({begin}) and of no allowed registry"
        elif not _DIGEST.search(image):
            yield f"{words} {image}, which has no digest; without one, its registry decides what it is"


def no_latest(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:  # noqa: ARG001 - every rule is asked alike
    """No image of a workload is named by the tag latest, nor by no tag and no digest, which means the same."""
    for words, image in images(type_, inputs):
        if _lacks_tag(image):
            yield f"{words} {image}, and what :latest or no tag names may be another image tomorrow"


def write_door_closed(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """No Service in the registry's namespace leads to the write door."""
    if kind_of(type_) != "Service" or namespace_of(inputs) != allowed.namespace:
        return
    for port in sequence(at(inputs, "spec", "ports")):
        target = known(at(port, "targetPort")) or known(at(port, "port"))
        if number(target) == WRITE_PORT:
            yield f"its port {at(port, 'port')} leads to {WRITE_PORT}, the write door, which is for port-forwards only"
        elif target and number(target) is None and target != READ_DOOR:
            yield (
                f"its port {at(port, 'port')} leads to a port named {target}, which may be the write door; name "
                f"{READ_DOOR} or {READ_PORT}, the read door"
            )


def node_ports_in_range(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """Node ports lie within the cluster's range."""
    if kind_of(type_) != "Service":
        return
    ports = allowed.node_ports
    for port in sequence(at(inputs, "spec", "ports")):
        given = number(at(port, "nodePort"))
        if given and given not in ports:
            yield f"its node port {given} is not from {ports.start} to {ports.stop - 1}, the cluster's range"


def privileged_in_place(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """No pod outside the node proxy's namespace has more of its node than Pod Security's level "baseline" allows."""
    if namespace_of(inputs) == allowed.node_proxy_namespace:
        return
    for privilege in privileges(pod_template(type_, inputs)):
        yield f"{privilege}, which only pods in namespace {allowed.node_proxy_namespace} may"


RULES: Mapping[str, Rule] = {
    "pull-reference": pull_references,
    "no-latest": no_latest,
    "write-door": write_door_closed,
    "node-port": node_ports_in_range,
    "privileged": privileged_in_place,
}
"""Name of a rule -> the rule."""


def broken(type_: str, name: str, inputs: Inputs, allowed: Allowed) -> list[Violation]:
    """All rules that a resource breaks.

    Args:
        type_: its type as Pulumi has it, such as kubernetes:apps/v1:Deployment.
        name: its name in the stack.
        inputs: its inputs, unknown ones as UNKNOWN.
        allowed: what the stack allows.
    """
    resource = f"{kind_of(type_) or type_} {name}"
    return [Violation(rule, resource, text) for rule, ask in RULES.items() for text in ask(type_, inputs, allowed)]


def _lacks_tag(image: str) -> bool:
    tagged, _, digest = image.partition("@")
    tag = tagged.rpartition("/")[2].partition(":")[2]
    return tag == "latest" or not (tag or digest)


def _parsed(image: str) -> Reference | None:
    try:
        return parse_reference(image)
    except ValueError:
        return None
