"""Whether each node has proven that it can pull, by the preflight's records."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kube_registry.errors import KubeRegistryError
from kube_registry.housekeeping.exposure import Line
from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node, linux_nodes
from kube_registry.preflight.proven_nodes import Records, proof_key, recall
from kube_registry.spec.settings import Settings

_LATER = "the next update that pushes asks it"


@dataclass(frozen=True)
class Proofs:
    """What there is of proofs.

    Args:
        lines: one for each node; well is None for a node that cannot be asked now or did not answer.
        to_ask: names of the nodes without a proof that can be asked now.
    """

    lines: tuple[Line, ...] = ()
    to_ask: tuple[str, ...] = ()


async def read_proofs(kube: KubeClient, settings: Settings) -> Proofs:
    """Look which nodes have proven that they can pull; none is looked at where `preflight` is off.

    Args:
        kube: client of the registry's cluster.
        settings: the stack.
    """
    if not settings.preflight:
        return Proofs()
    try:
        nodes, records = await linux_nodes(kube), await recall(kube, settings)
    except KubeRegistryError as error:
        return Proofs((Line("nodes", well=False, words=str(error)),))
    architecture = settings.platform.split("/")[1]
    fitting = [node for node in nodes if node.architecture == architecture]
    others = [node for node in nodes if node.architecture != architecture]
    lines = [_line(kube, node, records) for node in fitting]
    lines += [_of(node, f"no image is for it, it is {node.architecture}", well=True) for node in others]
    to_ask = [node.name for node in fitting if proof_key(node) not in records.proven and not node.busy]
    lines.sort(key=lambda line: line.subject)
    return Proofs(tuple(lines) or (Line("nodes", well=False, words="none is there that pulls"),), tuple(to_ask))


def age(of: timedelta) -> str:
    """A time in the one unit that people would use for it."""
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if of.total_seconds() >= seconds:
            return f"{of.total_seconds() // seconds:.0f} {unit}"
    return f"{max(of.total_seconds(), 0):.0f} s"


def _line(kube: KubeClient, node: Node, records: Records) -> Line:
    key, now = proof_key(node), datetime.now(UTC)
    command = f"`.venv/bin/python -m registryctl preflight{kube.where.stack_option}`"
    if proven := records.proven.get(key):
        return _of(node, f"has pulled {age(now - proven)} ago, {node.runtime}", well=True)
    if node.busy:
        return _of(node, f"has no proof yet and cannot be asked now: {node.busy}; {_LATER}", well=None)
    if silent := records.unanswered.get(key):
        words = f"gave no answer {age(now - silent.asked)} ago: {silent.why}; {_LATER}, or {command}"
        return _of(node, words, well=None)
    words = f"has never pulled with {node.runtime}. Fix: {command} asks it, and says why if it cannot pull"
    return _of(node, words, well=False)


def _of(node: Node, words: str, *, well: bool | None) -> Line:
    return Line(f"node {node.name}", well, words)
