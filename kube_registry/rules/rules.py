"""Policy rules: checks of a resource's type and inputs.

Each rule is a pure function that yields a sentence for every violation. A value that is unknown in a preview, such as
the digest of an image before its push, violates nothing. policy/ registers the rules with Pulumi; `registryctl review`
applies them to a preview.
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
from kube_registry.text import add_fix

NODE_PORTS = range(30_000, 32_768)
"""The API server's default range of node ports."""

READ_DOOR = "read"
"""Name of the read door's port, the only port of the registry's pod that has a name."""

NOT_CHECKED = (
    "Not checked: what a Helm release, an operator or a custom resource creates in the cluster, lists such as PodList, "
    "images that are unknown before an update, and what a container does while it runs."
)
"""The limits of the rules, for the descriptions of the policies."""

_DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
_CONTENT_TAG = re.compile(rf"[0-9a-f]{{{TAG_LENGTH}}}")


@dataclass(frozen=True)
class Allowed:
    """What a stack allows.

    Args:
        namespace: namespace of the registry, in which no Service may lead to the write door.
        privileged: namespaces in which pods may be privileged: those of node proxies and of the NFS server.
        pull_host: host of pull references, with its port.
        images: references that need neither a digest nor a content tag: those of registry and node proxy.
        node_ports: node port range of the cluster.
        registries: other registries and repositories whose images are allowed by digest, from `allowed_names`.
    """

    namespace: str
    privileged: tuple[str, ...]
    pull_host: str
    images: frozenset[str]
    node_ports: range = NODE_PORTS
    registries: tuple[str, ...] = ()

    @classmethod
    def of(cls, settings: RegistrySettings, node_ports: range = NODE_PORTS, registries: Iterable[str] = ()) -> Self:
        """Return what the stack with these settings allows."""
        shared = settings.shared_namespace
        of_volume = (shared, f"{shared}-proxy") if settings.shared_volume else ()
        return cls(
            namespace=settings.namespace,
            privileged=(settings.node_proxy_namespace, *of_volume),
            pull_host=settings.endpoints.pull_host,
            images=frozenset({settings.registry_image, settings.proxy_image}),
            node_ports=node_ports,
            registries=tuple(registries),
        )


@dataclass(frozen=True)
class Violation:
    """A rule that a resource violates.

    Args:
        rule: its name, a key of RULES.
        resource: kind and name of the resource.
        text: why, in one sentence.
    """

    rule: str
    resource: str
    text: str


Rule = Callable[[str, Inputs, Allowed], Iterator[str]]
"""Takes the Pulumi type and the inputs of a resource, and what the stack allows; yields a sentence for each violation.
"""


def pull_references(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """Images of workloads are pull references with a digest or content tag, or of an allowed registry with a digest."""
    for words, image in images(type_, inputs):
        if image in allowed.images or _lacks_tag(image):
            continue
        reference = _parsed(image)
        if reference is not None and reference.host == allowed.pull_host:
            if not reference.digest and not _CONTENT_TAG.fullmatch(reference.tag or ""):
                yield f"{words} {image}, which has neither a digest nor a content tag"
        elif not is_allowed(image, allowed.registries):
            begin = f"those begin with {allowed.pull_host}/"
            yield f"{words} {image}, which is neither a pull reference ({begin}) nor from an allowed registry"
        elif not _DIGEST.search(image):
            yield f"{words} {image}, which has no digest, so that its registry may change it"


def no_latest(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:  # noqa: ARG001 - all rules have one signature
    """Images of workloads do not use the tag latest, nor omit both tag and digest, which means the same."""
    for words, image in images(type_, inputs):
        if _lacks_tag(image):
            yield f"{words} {image}, whose content may change, because it has the tag latest or no tag"


def write_door_closed(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """No Service in the registry's namespace leads to the write door."""
    if kind_of(type_) != "Service" or namespace_of(inputs) != allowed.namespace:
        return
    for port in sequence(at(inputs, "spec", "ports")):
        target = known(at(port, "targetPort")) or known(at(port, "port"))
        if number(target) == WRITE_PORT:
            yield f"its port {at(port, 'port')} leads to {WRITE_PORT}, the write door, which is for port-forwards only"
        elif target and number(target) is None and target != READ_DOOR:
            problem = f"its port {at(port, 'port')} leads to a port named {target}, which may be the write door"
            yield add_fix(problem, f"use {READ_DOOR} or {READ_PORT}, the read door")


def node_ports_in_range(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """Node ports are within the cluster's range."""
    if kind_of(type_) != "Service":
        return
    ports = allowed.node_ports
    for port in sequence(at(inputs, "spec", "ports")):
        given = number(at(port, "nodePort"))
        if given and given not in ports:
            yield f"its node port {given} is outside the cluster's range, {ports.start}-{ports.stop - 1}"


def privileged_in_place(type_: str, inputs: Inputs, allowed: Allowed) -> Iterator[str]:
    """No pod outside the namespaces for it has privileges that the Pod Security level "baseline" forbids."""
    if namespace_of(inputs) in allowed.privileged:
        return
    places = f"namespace {' or '.join(allowed.privileged)}"
    for privilege in privileges(pod_template(type_, inputs)):
        yield f"{privilege}, which is allowed only in {places}"


RULES: Mapping[str, Rule] = {
    "pull-reference": pull_references,
    "no-latest": no_latest,
    "write-door": write_door_closed,
    "node-port": node_ports_in_range,
    "privileged": privileged_in_place,
}
"""Name of a rule -> the rule."""


def violations_of(type_: str, name: str, inputs: Inputs, allowed: Allowed) -> list[Violation]:
    """Return all violations of a resource.

    Args:
        type_: its type in Pulumi, such as kubernetes:apps/v1:Deployment.
        name: its name in the stack.
        inputs: its inputs, unknown ones as UNKNOWN.
        allowed: what the stack allows.
    """
    resource = f"{kind_of(type_) or type_} {name}"
    return [Violation(rule, resource, text) for rule, check in RULES.items() for text in check(type_, inputs, allowed)]


def _lacks_tag(image: str) -> bool:
    tagged, _, digest = image.partition("@")
    tag = tagged.rpartition("/")[2].partition(":")[2]
    return tag == "latest" or not (tag or digest)


def _parsed(image: str) -> Reference | None:
    try:
        return parse_reference(image)
    except ValueError:
        return None
