"""The report of a run: nothing of it is lost, nothing in it steers the reader's terminal or browser."""

import io
import re
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest
from pydantic import TypeAdapter
from rich.console import Console

from kube_registry.fleet.outcome import Outcome, Result, Run, Span
from kube_registry.fleet.report import MOST_TICKS, as_html, as_json, digests_differ, table, tick_step
from kube_registry.spec.phases import Phase

ONE, OTHER = "a" * 64, "b" * 64
SPANS = (Span(Phase.WAITING, 0, 4), Span(Phase.REGISTRY, 4, 10), Span(Phase.BUILD, 10, 30))


def reference(digest: str) -> str:
    return f"localhost:30100/app:3f1c0a9be210@sha256:{digest}"


def run(*outcomes: Outcome) -> Run:
    return Run("up", "shop", datetime(2026, 11, 26, 12, 30, tzinfo=UTC), 40.0, outcomes)


GOOD = Outcome("prod-eu", 1, Result.SUCCEEDED, SPANS, {"app": reference(ONE)}, changes={"create": 11})
ALONE = Outcome("prod-us", 1, Result.LEFT_ALONE, (Span(Phase.WAITING, 0, 1),), {"app": reference(ONE)})
FAILED = Outcome("prod-ap", 2, Result.FAILED, SPANS[:2], error="node worker-1 cannot pull; set exposure to nodeProxy")
LOCKED = Outcome("prod-sa", 2, Result.CANCELLED, SPANS, error="cancelled", lock="pulumi cancel --yes --stack prod-sa")
NOT_BEGUN = [Outcome(f"late-{number}", 3, Result.SKIPPED) for number in range(3)]


class Page(HTMLParser):
    """The elements of a page, what they ask for, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.asks_for: list[str] = []
        self.styles: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.asks_for += [value or "" for key, value in attrs if key in ("src", "href")]
        self.styles += [value or "" for key, value in attrs if key == "style"]

    def handle_data(self, data: str) -> None:
        self.text += data


def printed(of: Run, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(table(of))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_json_has_all_of_the_run() -> None:
    written = run(GOOD, ALONE, FAILED, LOCKED, *NOT_BEGUN)
    assert TypeAdapter(Run).validate_json(as_json(written)) == written


def test_the_headline_counts_what_is_good() -> None:
    assert "1 of 2 clusters succeeded" in Page(as_html(run(GOOD, FAILED))).text
    assert "2 of 2 clusters succeeded" in Page(as_html(run(GOOD, ALONE))).text


def test_the_page_tells_every_error_and_the_line_that_releases_a_lock() -> None:
    text = Page(as_html(run(GOOD, FAILED, LOCKED, *NOT_BEGUN))).text
    assert str(FAILED.error) in text
    assert str(LOCKED.lock) in text
    assert "late-0, late-1, late-2" in text
    assert "What went wrong" not in Page(as_html(run(GOOD, ALONE))).text


def test_what_is_no_fault_is_named_and_no_error() -> None:
    remark = "node n1 cannot be asked now: <cordoned>"
    seen = run(replace(ALONE, remarks=(remark,)))
    text = Page(as_html(seen)).text
    assert remark in text
    assert "What went wrong" not in text
    assert TypeAdapter(Run).validate_json(as_json(seen)) == seen


def test_the_page_asks_nobody_for_anything() -> None:
    html = as_html(run(GOOD, FAILED))
    page = Page(html)
    assert "script" not in page.tags
    assert all(target.startswith(("#", "data:")) for target in page.asks_for)
    assert "url(" not in html
    assert "@import" not in html


@pytest.mark.parametrize("place", ["stack", "error", "lock"])
def test_what_a_cluster_says_cannot_steer_the_page(place: str) -> None:
    evil = "<script>alert('x')</script>\"onload=\"y"
    parts = {"stack": "prod", "error": "it failed", "lock": "pulumi cancel", place: evil}
    page = Page(as_html(run(Outcome(parts["stack"], 1, Result.FAILED, error=parts["error"], lock=parts["lock"]))))
    assert "script" not in page.tags
    assert evil in page.text


def test_what_a_cluster_says_cannot_steer_the_terminal() -> None:
    told = printed(run(Outcome("prod\x1b[31m", 1, Result.FAILED, error="one\nline\r\x1b]0;title\x07[bold]two")), 200)
    assert "\x1b" not in told
    assert "[bold]two" in told
    assert len(told.splitlines()) == 2


def test_a_narrow_terminal_folds_only_the_error_and_loses_none_of_it() -> None:
    lines = printed(run(GOOD, FAILED), 64).splitlines()
    assert max(map(len, lines)) <= 64
    assert [line for line in lines if line.startswith("prod-ap") and "✕ failed" in line]
    begin = lines[0].index("error")
    assert " ".join(line[begin:].strip() for line in lines[2:]) == FAILED.error


def test_every_phase_stands_where_it_was() -> None:
    styles = Page(as_html(run(GOOD))).styles
    places = [re.fullmatch(r"left:([\d.]+)%;width:([\d.]+)%", style) for style in styles]
    assert [tuple(map(float, place.groups())) for place in places if place] == [(0, 10), (10, 15), (25, 50)]


def test_seconds_are_those_without_waiting() -> None:
    assert GOOD.busy_seconds == 26
    assert NOT_BEGUN[0].busy_seconds == 0


@pytest.mark.parametrize("seconds", [0.4, 7.0, 59.0, 61.0, 899.0, 86_400.0])
def test_the_axis_has_few_numbers_that_are_round(seconds: float) -> None:
    step = tick_step(seconds)
    assert seconds / step <= MOST_TICKS
    assert str(int(step)).rstrip("0") in ("1", "2", "5")


def test_an_image_whose_bytes_differ_is_named_with_who_has_which() -> None:
    other = Outcome("prod-sa", 2, Result.SUCCEEDED, SPANS, {"app": reference(OTHER)})
    differs = run(GOOD, ALONE, other)
    assert digests_differ(differs) == {"app": {f"sha256:{ONE}", f"sha256:{OTHER}"}}
    text = Page(as_html(differs)).text
    assert "The digest differs between clusters: app" in text
    assert "in 2 clusters: prod-eu, prod-us" in text
    assert digests_differ(run(GOOD, ALONE)) == {}


def test_a_run_over_nothing_has_a_page() -> None:
    assert "No references are known" in as_html(run(Outcome("prod", 1, Result.SKIPPED)))
