"""A first fleet.yaml, from the kube contexts of a kubeconfig."""

import re
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, count

import yaml

from kube_registry.fleet.fleet_file import free_push_ports
from kube_registry.spec.endpoints import derive_push_port

_HEAD = """\
# yaml-language-server: $schema=docs/fleet.schema.json
# Settings in the defaults apply to every stack; a stack's own settings override them.
# A wave starts after the previous one has succeeded.
"""

_LONGEST = 95
"""Characters of a name, with room for a number that makes it unique; Pulumi allows 100."""


def draft(kube_contexts: Sequence[str], project: str, need_node_proxy: Collection[str] = ()) -> str:
    """Return a fleet.yaml with one stack for each kube context, all in the first wave.

    Args:
        kube_contexts: their names.
        project: name of the Pulumi project, from which push ports are derived.
        need_node_proxy: those of the kube contexts whose nodes do not serve node ports on loopback.
    """
    names = list(_names(kube_contexts))
    derived = [derive_push_port(project, name) for name in names]
    free = free_push_ports(derived)
    stacks = [
        {"name": name, "kubeContext": kube_context, "wave": 1}
        | ({"pushPort": next(free)} if derived[index] in derived[:index] else {})
        | ({"exposure": "nodeProxy"} if kube_context in need_node_proxy else {})
        for index, (name, kube_context) in enumerate(zip(names, kube_contexts, strict=True))
    ]
    content = {"defaults": {"images": {"app": {"context": "./app"}}}, "stacks": stacks}
    return _HEAD + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _names(kube_contexts: Sequence[str]) -> Iterator[str]:
    """Yield a unique name for each kube context, in characters that Pulumi allows; case does not make it unique."""
    taken: set[str] = set()
    for kube_context in kube_contexts:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", kube_context).strip("-")[-_LONGEST:] or "stack"
        numbered = (f"{name}-{number}" for number in count(2))
        distinct = next(each for each in chain([name], numbered) if each.lower() not in taken)
        taken.add(distinct.lower())
        yield distinct
