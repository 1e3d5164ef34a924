"""The command line, run by tests in their own process: one of its own imports for seconds what is here already."""

import io
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from kube_registry.cli.app import main

Verb = Callable[..., CompletedProcess[str]]
"""Runs a verb: folder, words, and variables of the environment by name."""


@pytest.fixture
def registryctl(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Verb:
    """What `python -m registryctl` does from `main` on; its standard input has ended."""

    def run(folder: Path, *words: str, **env: str) -> CompletedProcess[str]:
        signs = {sign: signal.getsignal(sign) for sign in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        with monkeypatch.context() as process:
            process.chdir(folder)
            process.setattr(sys, "argv", ["registryctl", *words])
            process.setattr(sys, "stdin", io.StringIO())
            for name, value in env.items():
                process.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                main("python -m registryctl")
        for sign, handler in signs.items():
            signal.signal(sign, handler)
        status, said = ended.value.code or 0, capfd.readouterr()
        if isinstance(status, str):
            return CompletedProcess(words, 1, said.out, f"{said.err}{status}\n")
        return CompletedProcess(words, status, said.out, said.err)

    return run
