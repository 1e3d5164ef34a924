"""One update of a stack: what the engine has reported of it."""

from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from typing import Any

from kube_registry.dev.workloads import Workload, workloads_with
from kube_registry.engine.engine_events import (
    EngineEvent,
    error_text,
    failed_step_of,
    is_image,
    output_of,
    resource_of,
    step_of,
    warning_of,
)
from kube_registry.fleet.progress import OnEvent, Progress
from kube_registry.names import IMAGE_TYPE, resource_name
from kube_registry.spec.phases import Phase

_MOST_LINES = 60
"""How many lines are shown of what a failed build has printed, or a program that gave no other reason."""

STUCK_SECONDS = 5.0
"""How long pods usually take at most to become ready; a change after that ends the update that waits for them."""

_DIGEST_OF_STEP = "digest: sha256:"
"""Start of a line that BuildKit prints before the name of each step; it explains no failed build."""

_CHANGING = ("create", "update", "create-replacement")


class Update:
    """What is known of an update.

    Args:
        stack: name of the stack.
        clock: returns the seconds since it began.
        on_event: called with every line worth showing.

    Attributes:
        progress: its phases and changes.
        resources: URN -> resource after its step, with secrets left out.
        errors: what went wrong, each as a whole text.
        warnings: URN of a resource -> the last warning about it, such as that a pod is not ready.
    """

    def __init__(self, stack: str, clock: Callable[[], float], on_event: OnEvent) -> None:
        self.progress = Progress(stack, clock, on_event)
        self._clock = clock
        self.resources: dict[str, Mapping[str, Any]] = {}
        self.errors: list[str] = []
        self.warnings: dict[str, str] = {}
        self._changed: set[str] = set()
        self._running: dict[str, tuple[Mapping[str, Any], float]] = {}
        self._output: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=_MOST_LINES))

    def record(self, event: EngineEvent) -> None:
        """Record an event of the engine."""
        self.progress.record(event)
        if resource := resource_of(event):
            self.resources[resource["urn"]] = resource
            self._running.pop(resource["urn"], None)
        if error := error_text(event):
            self.errors.append(error)
        step = step_of(event)
        if step.get("op") in _CHANGING:
            self._changed.add(step["urn"])
            self._running[step["urn"]] = step, self._clock()
        if warning := warning_of(event):
            self.warnings |= [warning]
        if (printed := output_of(event)) and not printed[1].startswith(_DIGEST_OF_STEP):
            urn, text = printed
            self._output[urn].extend([text] if urn else text.splitlines())  # a program's lines come many at once
        if is_image(failed := failed_step_of(event)) and self._output[failed]:
            self.errors.append("\n".join(dict.fromkeys(self._output.pop(failed))))

    @property
    def awaited(self) -> dict[str, str]:
        """If it has only been waiting for pods, for STUCK_SECONDS or more: name of the workload -> what is missing."""
        kinds, begun = [step["type"] for step, _ in self._running.values()], [at for _, at in self._running.values()]
        only_workloads = bool(kinds) and all(kind.startswith("kubernetes:") for kind in kinds)
        stuck = only_workloads and self._clock() - max(begun) >= STUCK_SECONDS
        return {resource_name(urn): self.warnings.get(urn, "") for urn in self._running} if stuck else {}

    @property
    def failure(self) -> str:
        """Why it failed: all errors, or else what the program has printed; empty if it has printed nothing."""
        return "\n".join(dict.fromkeys(self.errors) or self._output[""])

    @property
    def built(self) -> dict[str, str]:
        """The images that were built and pushed: URN -> pull reference."""
        return {urn: reference for urn, reference in self._references().items() if urn in self._changed}

    @property
    def workloads(self) -> list[Workload]:
        """The workloads that run the images of the stack, also those that the update waits for."""
        begun = [step.get("new") or {} for step, _ in self._running.values()]
        return workloads_with(self._references().values(), [*self.resources.values(), *begun])

    def _references(self) -> dict[str, str]:
        """Return the pull references of the stack's images; a docker Image of the user's own is none of them."""
        references: dict[str, str] = {}
        for urn in sorted(urn for urn in self.resources if f"{IMAGE_TYPE}$" in urn):
            component = self.resources.get(self.resources[urn].get("parent", ""), {})
            text = (component.get("outputs") or {}).get("reference")
            references |= {urn: text} if isinstance(text, str) else {}
        return references

    def seconds(self, phase: Phase) -> float | None:
        """Return how long a phase took; None if there was none."""
        return next((span.seconds for span in self.progress.spans() if span.phase is phase), None)
