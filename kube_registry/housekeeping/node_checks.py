"""Checks that nodes find the registry under its pull references, and have proven that they can pull from it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from kube_registry.errors import KubeRegistryError, on_stack
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.names import READ_SERVICE, REGISTRY, REGISTRYCTL
from kube_registry.preflight.preflight import conditions_of
from kube_registry.preflight.proven_nodes import Records, proof_key, recall
from kube_registry.registry.preconditions import free_node_port, node_ports
from kube_registry.registry.readiness import wait_node_proxy_ready
from kube_registry.spec.endpoints import Exposure
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import add_fix

NOW_SECONDS = 1.0
"""How long a check waits for a registry or a node proxy, which should be ready now."""

_LATER = "the next update that pushes checks it"


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        subject: what was checked.
        well: whether it is as it should be; None if that could not be checked.
        words: what was found, or what is wrong and how to fix it.
    """

    subject: str
    well: bool | None
    words: str


@dataclass(frozen=True)
class Proofs:
    """The proofs of a cluster's nodes that they can pull.

    Args:
        findings: one for each node; well is None for a node that cannot give a proof now or did not answer.
        to_ask: names of the nodes without a proof that can give one now.
    """

    findings: tuple[Finding, ...] = ()
    to_ask: tuple[str, ...] = ()


async def exposed(kube: KubeClient, settings: RegistrySettings) -> list[Finding]:
    """Return what is wrong with the Service and with the node proxy, if any; a single good finding if nothing is."""
    port = settings.node_port
    if not settings.has_node_proxy:
        service = await kube.find(kube.path("services", REGISTRY))
        if service and port in [each.get("nodePort") for each in service["spec"]["ports"]]:
            return [Finding("read door", well=True, words=f"node port {port}")]
        return [_read_door(kube, f"no Service {REGISTRY} has node port {port} in {kube.where}", "`pulumi up`")]
    found = list[Finding]()
    if await kube.find(kube.path("services", READ_SERVICE)) is None:
        found.append(_read_door(kube, f"there is no Service {READ_SERVICE} in {kube.where}", "`pulumi up`"))
    holders = await node_ports(kube)
    if holder := holders.get(port):
        problem = f"service {holder} uses port {port}, too, and in iptables mode kube-proxy serves its node port first"
        found.append(_read_door(kube, problem, f"`pulumi config set nodePort {free_node_port(holders)}`"))
    try:
        await wait_node_proxy_ready(kube, settings.node_proxy_namespace, seconds=NOW_SECONDS)
    except KubeRegistryError as error:
        found.append(Finding("node proxy", well=False, words=with_fix(error)))
    return found or [Finding("read door", well=True, words=f"port {port} of the node proxy")]


def _read_door(kube: KubeClient, problem: str, fix: str) -> Finding:
    words = on_stack(add_fix(problem, fix), kube.where.stack, kube.where.component)
    return Finding("read door", well=False, words=words)


async def read_proofs(kube: KubeClient, settings: RegistrySettings) -> Proofs:
    """Read which nodes have proven that they can pull; nothing if the setting `preflight` is off.

    Args:
        kube: client of the registry's cluster.
        settings: settings of the registry.
    """
    if not settings.preflight:
        return Proofs()
    try:
        nodes, records = await linux_nodes(kube), await recall(kube, conditions_of(settings))
    except KubeRegistryError as error:
        return Proofs((Finding("nodes", well=False, words=str(error)),))
    fitting = [node for node in nodes if node.architecture == settings.architecture]
    to_ask = [node.name for node in fitting if proof_key(node) not in records.proven and not node.busy]
    found = [_proof(kube, node, records, settings.exposure) for node in fitting]
    found += [
        _of(node, f"not checked, as no image is for its architecture {node.architecture}", well=True)
        for node in nodes
        if node.architecture != settings.architecture
    ]
    found.sort(key=lambda each: each.subject)
    return Proofs(
        tuple(found) or (Finding("nodes", well=False, words="there is no node that can pull"),), tuple(to_ask)
    )


def with_fix(error: KubeRegistryError) -> str:
    """Return the sentence of an error; the fix for a missing object of the stack is the next update."""
    if isinstance(error, RefusedError) and error.status == HTTPStatus.NOT_FOUND:
        return on_stack(add_fix(str(error), "`pulumi up`"), error.where.stack)
    return str(error)


def age(time: timedelta) -> str:
    """Return a time in its largest whole unit."""
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if time.total_seconds() >= seconds:
            return f"{time.total_seconds() // seconds:.0f} {unit}"
    return f"{max(time.total_seconds(), 0):.0f} s"


def _proof(kube: KubeClient, node: Node, records: Records, exposure: Exposure) -> Finding:
    key, now = proof_key(node), datetime.now(UTC)
    command = f"`{REGISTRYCTL} preflight{kube.where.stack_option}`"
    if proven := records.proven.get(key):
        return _of(node, f"pulled {age(now - proven)} ago with {node.runtime}", well=True)
    if node.busy:
        return _of(node, f"has not pulled yet and cannot be checked now: {node.busy}; {_LATER}", well=None)
    if silent := records.unanswered.get(key):
        words = f"gave no answer {age(now - silent.asked)} ago: {silent.why}; {_LATER}, or {command}"
        return _of(node, words, well=None)
    words = f"has no recorded pull with {node.runtime} and exposure {exposure}"
    return _of(node, add_fix(words, command), well=False)


def _of(node: Node, words: str, *, well: bool | None) -> Finding:
    return Finding(f"node {node.name}", well, words)
