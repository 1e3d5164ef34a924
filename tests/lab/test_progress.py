import io
import re
import threading

import pytest
from rich.console import Console

from lab.progress import Progress, duration


def progress_into(file: io.StringIO, *, heartbeat: float = 30.0) -> Progress:
    return Progress(Console(file=file, width=40), heartbeat=heartbeat)


def test_a_step_says_its_number_when_it_starts_and_how_long_it_took() -> None:
    said = io.StringIO()
    steps = progress_into(said).steps(2)
    with steps.step("Kubernetes 1.34.4", "building"):
        pass
    with steps.step("registry 3.1.2", "building"):
        pass
    lines = [
        r"\[1/2\] Kubernetes 1\.34\.4: building…",
        r"\[1/2\] Kubernetes 1\.34\.4: \d\.\d s",
        r"\[2/2\] registry 3\.1\.2: building…",
        r"\[2/2\] registry 3\.1\.2: \d\.\d s",
    ]
    assert re.fullmatch("\n".join([*lines, ""]), said.getvalue())


def test_a_long_step_gives_a_sign_of_life() -> None:
    said = io.StringIO()
    spoken = threading.Event()

    class Listening(io.StringIO):
        def write(self, text: str) -> int:
            if "still" in text:
                spoken.set()
            return said.write(text)

    with progress_into(Listening(), heartbeat=0.01).running("Kubernetes", "building"):
        assert spoken.wait(10)
    assert "Kubernetes: still building, 0 s" in said.getvalue()


def test_a_failed_step_says_so_and_lets_the_error_through() -> None:
    said = io.StringIO()
    with pytest.raises(ValueError, match="no disk"), progress_into(said).steps(1).step("registry", "building"):
        raise ValueError("no disk")
    assert re.fullmatch(r"\[1/1\] registry: failed after \d\.\d s", said.getvalue().splitlines()[-1])


def test_a_phase_is_timed_even_when_it_fails() -> None:
    progress = progress_into(io.StringIO())
    with pytest.raises(ValueError, match="x"), progress.phase("cluster"):
        raise ValueError("x")
    assert [took.name for took in progress.phases] == ["cluster"]


def test_square_brackets_in_names_are_text() -> None:
    said = io.StringIO()
    progress_into(said).say("[red]not markup[/red]")
    assert said.getvalue() == "[red]not markup[/red]\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0.0 s"), (4.23, "4.2 s"), (42.4, "42 s"), (60, "1 min 0 s"), (209.6, "3 min 30 s")]
)
def test_durations_read_like_a_person_says_them(seconds: float, words: str) -> None:
    assert duration(seconds) == words
