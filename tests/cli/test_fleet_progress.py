"""What a person sees of a run over a fleet while it goes on: lines in a file, a table on a terminal."""

import io

import pytest
from rich.console import Console

from kube_registry.cli.fleet_progress import Rows, shown
from kube_registry.fleet.fleet_file import Member
from kube_registry.fleet.outcome import Event, Result
from kube_registry.spec.phases import Phase
from kube_registry.spec.settings import Settings


@pytest.mark.parametrize("text", ["succeeded", "other words"])
def test_where_there_is_no_terminal_the_end_of_a_stack_is_a_line_whatever_its_words(text: str) -> None:
    console = Console(file=io.StringIO(), width=200)
    with shown([], console, as_json=False) as tell:
        tell(Event(1.0, "prod", Phase.BUILD, "Step 1/2"))
        tell(Event(2.0, "prod", Phase.BUILD, "failed: to be seen by those who watch"))
        tell(Event(3.0, "prod", Phase.BUILD, text, Result.SUCCEEDED))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line.split("build: ")[1] for line in lines] == ["Step 1/2", text]


def test_the_table_has_the_phase_of_a_stack_and_then_its_result_with_the_error() -> None:
    settings = Settings.parse({"kubeContext": "kind", "images": {"app": {}}}, project="shop", stack="prod")
    rows = Rows([Member(name, 1, {}, {}, settings, "shop") for name in ("prod", "test", "late")])

    def shown_now() -> list[list[str]]:
        console = Console(file=io.StringIO(), width=80)
        console.print(rows.table())
        return [line.split() for line in console.file.getvalue().splitlines()[1:]]  # type: ignore[attr-defined]

    rows.update(Event(1.0, "prod", Phase.BUILD, "Step 1/2"))
    rows.update(Event(1.0, "late", Phase.WAITING, "not healthy any more: gone"))
    assert shown_now() == [
        ["prod", "build", "0:00", "Step", "1/2"],
        ["test", "waiting"],
        ["late", "waiting", "not", "healthy", "any", "more:", "gone"],
    ]
    rows.update(Event(2.0, "prod", Phase.BUILD, "failed: it broke", Result.FAILED))
    rows.update(Event(2.0, "test", Phase.WAITING, "left alone", Result.LEFT_ALONE))
    assert shown_now()[:2] == [["prod", "failed", "0:00", "it", "broke"], ["test", "left", "alone", "0:00"]]
