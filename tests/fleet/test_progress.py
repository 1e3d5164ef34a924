"""From a row of the program to a line of the run: the phase is what the program says it is, whatever the words are."""

import asyncio
from itertools import count

import pulumi
import pytest

from components.push_hooks import row
from kube_registry.engine.engine_events import EngineEvent
from kube_registry.fleet.outcome import Event, Span
from kube_registry.fleet.progress import Progress
from kube_registry.spec.phases import MARKS, PHASES, Phase

APP = "urn:pulumi:dev::shop::kube-registry:index:RegistryImage$docker:index/image:Image::app"
REGISTRY = "urn:pulumi:dev::shop::kube-registry:index:ClusterRegistry::registry"
WORDS = ("words that no one expects", "waiting for the registry", "failed: [build] again\nand more")


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the program writes on rows."""
    written = list[str]()
    monkeypatch.setattr(pulumi.log, "info", lambda text, *_, **__: written.append(text))
    return written


def info(text: str, urn: str = APP) -> EngineEvent:
    line = {"urn": urn, "message": f"{text}\n", "color": "never", "severity": "info", "ephemeral": True}
    return {"sequence": 1, "timestamp": 1, "diagnosticEvent": line}


def write(phase: Phase, text: str) -> None:
    async def on_row() -> None:  # of a resource, which wants an event loop
        row(APP)(phase, text)

    asyncio.run(on_row())


class TestPhases:
    @pytest.mark.parametrize("urn", [APP, REGISTRY])
    @pytest.mark.parametrize("words", WORDS)
    @pytest.mark.parametrize("phase", PHASES[1:])
    def test_a_line_is_of_the_phase_that_the_program_gives_it(
        self, rows: list[str], monkeypatch: pytest.MonkeyPatch, phase: Phase, words: str, urn: str
    ) -> None:
        for key, value in MARKS.items():
            monkeypatch.setenv(key, value)
        write(phase, words)
        events = list[Event]()
        Progress("prod", lambda: 1.0, events.append).record(info(rows[0], urn))
        assert events == [Event(1.0, "prod", phase, words.splitlines()[0])]

    def test_a_person_sees_no_marks(self, rows: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        for key in MARKS:
            monkeypatch.delenv(key, raising=False)
        write(Phase.PREFLIGHT, "waiting")
        assert rows == ["waiting"]

    def test_what_others_write_on_an_images_row_is_of_its_build_and_elsewhere_of_no_interest(self) -> None:
        events = list[Event]()
        progress = Progress("prod", lambda: 1.0, events.append)
        progress.record(info("waiting for the registry", REGISTRY))
        progress.record(info("Step 1/2 : FROM scratch"))
        assert events == [Event(1.0, "prod", Phase.BUILD, "Step 1/2 : FROM scratch")]

    def test_the_image_that_is_furthest_gives_the_phase(self) -> None:
        clock, events = count(), list[Event]()
        progress = Progress("prod", lambda: float(next(clock)), events.append)
        for phase in (Phase.REGISTRY, Phase.BUILD, Phase.PREFLIGHT, Phase.HEALTH):
            progress.report(phase, "")
        assert [event.phase for event in events] == [Phase.REGISTRY, Phase.BUILD, Phase.BUILD, Phase.HEALTH]
        assert progress.spans() == (
            Span(Phase.WAITING, 0, 0),
            Span(Phase.REGISTRY, 0, 1),
            Span(Phase.BUILD, 1, 3),
            Span(Phase.HEALTH, 3, 4),
        )


@pytest.mark.parametrize(
    "event",
    [
        {"diagnosticEvent": {"severity": "info"}},
        {"diagnosticEvent": {"severity": "error"}},
        {"resourcePreEvent": {"metadata": {"urn": APP}}},
        {"resOutputsEvent": {"metadata": {"type": "pulumi:pulumi:Stack", "new": {"outputs": {"images": "[secret]"}}}}},
        {"anEventOfALaterPulumi": {}},
    ],
)
def test_an_event_that_lacks_something_ends_no_rollout(event: EngineEvent) -> None:
    events = list[Event]()
    progress = Progress("prod", lambda: 1.0, events.append)
    progress.record(event)
    assert (events, progress.images, progress.error or "") == ([], {}, "")
