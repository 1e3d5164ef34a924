"""What one line says about an update."""

from collections.abc import Iterable, Sequence

from kube_registry.dev.update import Update
from kube_registry.dev.workloads import Pods
from kube_registry.spec.phases import Phase
from kube_registry.text import counted, first_of

MOST_NAMED = 3
"""How many changed files a line names."""

_DONE = {
    "create": "created",
    "update": "updated",
    "delete": "deleted",
    "replace": "replaced",
    "read": "read",
    "import": "imported",
}


def cause(changed: Sequence[str]) -> str:
    """Return what led to an update: the changed files, or another reason."""
    return first_of(changed, MOST_NAMED)


def result(update: Update, pods: Pods | None, seconds: float) -> str:
    """Return the outcome of an update that succeeded.

    Args:
        update: the update.
        pods: the pods that run its images; None if the stack has none.
        seconds: how long it took from the change until the pods ran.
    """
    parts = [*_images(update), *_pods(pods, seconds)]
    if not update.built:
        parts = [_changes(update.progress.changes.items()), *parts]
    return ", ".join(parts) if pods else f"{', '.join(parts)}, {seconds:.1f} s in all"


def _images(update: Update) -> list[str]:
    if not update.built:
        return []
    built, pushed = update.seconds(Phase.BUILD), update.seconds(Phase.PUSH)
    named = first_of([urn.rpartition("::")[2] for urn in update.built], MOST_NAMED)
    parts = [f"{named} built in {built:.1f} s" if built is not None else f"{named} built"]
    return [*parts, f"pushed in {pushed:.1f} s"] if pushed is not None else parts


def _pods(pods: Pods | None, seconds: float) -> list[str]:
    if pods is None:
        return []
    if pods.missing:
        return [f"not in all pods after {seconds:.1f} s: {pods.missing}"]
    return [f"in {counted(len(pods.names), 'pod')} after {seconds:.1f} s"]


def _changes(counts: Iterable[tuple[str, int]]) -> str:
    return (
        ", ".join(f"{counted(number, 'resource')} {_DONE.get(kind, kind)}" for kind, number in counts)
        or "nothing to do"
    )
