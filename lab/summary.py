"""Print the summary of the demo: nodes, pods, the pull reference and durations."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from lab.progress import Took, duration

PLAIN_WIDTH = 160
"""Characters per line, if there is no terminal."""


def show(
    nodes: Sequence[dict[str, Any]], pods: Sequence[dict[str, Any]], reference: str, phases: Sequence[Took]
) -> None:
    """Print the nodes, the pods with their image, the pull reference and the duration of each phase.

    Args:
        nodes: Node objects from the API server.
        pods: Pod objects from the API server.
        reference: the image reference that the pods should run.
        phases: the measured phases.
    """
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    console.print()
    console.print(_table(("node", "ready", "Kubernetes", "runtime"), [_node(node) for node in nodes]))
    console.print(_table(("pod", "node", "phase", "runs"), [_pod(pod, reference) for pod in pods]))
    console.print("pull reference:", reference, soft_wrap=True)
    console.print(_table(("phase", "took"), [(took.name, duration(took.seconds)) for took in phases]))


def _node(node: dict[str, Any]) -> tuple[str, ...]:
    ready = next(condition["status"] for condition in node["status"]["conditions"] if condition["type"] == "Ready")
    info = node["status"]["nodeInfo"]
    return node["metadata"]["name"], ready, info["kubeletVersion"], info["containerRuntimeVersion"]


def _pod(pod: dict[str, Any], reference: str) -> tuple[str, ...]:
    """Return a pod's row. It runs the reference if its node pulled the digest of the reference."""
    digest = reference.partition("@")[2]
    pulled = [status.get("imageID", "") for status in pod["status"].get("containerStatuses", [])]
    images = {container["image"] for container in pod["spec"]["containers"]}
    runs = "the pull reference" if all(digest in image_id for image_id in pulled) else ", ".join(sorted(images))
    name = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
    return name, pod["spec"].get("nodeName", ""), pod["status"]["phase"], runs


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in heads:
        table.add_column(head)
    for row in rows:
        table.add_row(*row)
    return table
