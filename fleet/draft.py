"""A first fleet.yaml, of the kube contexts that a machine knows."""

import re
from collections.abc import Sequence

import yaml

_HEAD = """\
# yaml-language-server: $schema=docs/fleet.schema.json
# Settings in the defaults are those of every stack; beside a stack's name stands what is its own.
# A wave begins when every stack of the one before is well.
"""


def draft(kube_contexts: Sequence[str]) -> str:
    """The text of a fleet.yaml with one stack for each kube context, all in the first wave.

    Args:
        kube_contexts: their names.
    """
    names: list[str] = []
    for kube_context in kube_contexts:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", kube_context).strip("-")[-100:] or "stack"
        names.append(name if name not in names else f"{name[:96]}-{len(names)}")
    stacks = [
        {"name": name, "kubeContext": kube_context, "wave": 1}
        for name, kube_context in zip(names, kube_contexts, strict=True)
    ]
    content = {"defaults": {"images": {"app": {"context": "./app"}}}, "stacks": stacks}
    return _HEAD + yaml.safe_dump(content, sort_keys=False)
