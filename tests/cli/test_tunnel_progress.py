"""The lines that a person sees while a tunnel is open."""

import io
import logging
import os
from contextlib import suppress

import pytest
from rich.console import Console

from kube_registry.cli.tunnel_progress import progress, watched
from kube_registry.tunnel.forward import Traffic

LOG = logging.getLogger("kube_registry.tunnel")


def test_the_live_line_counts_in_all_and_a_second() -> None:
    samples = [(100.0, Traffic(1_000_000, 500)), (101.0, Traffic(2_000_000, 500)), (102.0, Traffic(5_000_000, 500))]
    assert progress(samples, 3, since=30.0) == (
        "0:01:12  sent 5.0 MB, 2.0 MB/s  received 500 bytes, 0 bytes/s  reconnects 3"
    )


def test_a_reason_that_is_repeated_is_shown_once(capsys: pytest.CaptureFixture[str]) -> None:
    with watched(Console(file=io.StringIO())):
        for text in ("it has no pod yet", "it has no pod yet", "pod gone", "it has no pod yet"):
            LOG.info("%s", text)
    LOG.info("after the end")
    shown = [line.partition(" ")[2] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["it has no pod yet", "pod gone", "it has no pod yet"]


def test_a_reader_that_has_gone_costs_no_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, pipe = os.pipe()
    os.close(gone)
    with suppress(BrokenPipeError), os.fdopen(pipe, "w") as stdout:
        monkeypatch.setattr("sys.stdout", stdout)
        with watched(Console(file=io.StringIO())):
            LOG.info("a line that nothing reads")
    assert capsys.readouterr().err == ""
