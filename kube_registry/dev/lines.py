"""What one line says about an update."""

from collections.abc import Mapping, Sequence

from kube_registry.dev.update import Update
from kube_registry.dev.workloads import Pods
from kube_registry.names import resource_name
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
    done = _images(update) if update.built else _changes(update.progress.changes)
    return f"{done}, {_pods(pods, seconds) if pods else f'{seconds:.1f} s in all'}"


def not_ready(awaited: Mapping[str, str], troubles: Sequence[str]) -> str:
    """Return which workloads an update waits for.

    Args:
        awaited: name -> what is missing, as `pulumi` has reported it; empty if that is unknown.
        troubles: what their pods report, which is closer to the cause.
    """
    if troubles:
        return f"{' and '.join(awaited)} {'is' if len(awaited) == 1 else 'are'} not ready: {'; '.join(troubles)}"
    return "; ".join(f"{name} is not ready: {missing}".removesuffix(": ") for name, missing in awaited.items())


def _images(update: Update) -> str:
    built, pushed = update.seconds(Phase.BUILD), update.seconds(Phase.PUSH)
    done = f"{first_of([resource_name(urn) for urn in update.built], MOST_NAMED)} built"
    done += f" in {built:.1f} s" if built is not None else ""
    return f"{done}, pushed in {pushed:.1f} s" if pushed is not None else done


def _pods(pods: Pods, seconds: float) -> str:
    if pods.missing:
        return f"not in all pods after {seconds:.1f} s: {pods.missing}"
    return f"in {counted(len(pods.names), 'pod')} after {seconds:.1f} s"


def _changes(counts: Mapping[str, int]) -> str:
    done = [f"{counted(number, 'resource')} {_DONE.get(kind, kind)}" for kind, number in counts.items()]
    return ", ".join(done) or "nothing to do"
