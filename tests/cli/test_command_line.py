"""The command line: what is wrong is one sentence, and Ctrl-C ends it at any time."""

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.waiting import wait_for
from tests.cli.conftest import Verb

ROOT = Path(__file__).parents[2]


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "registryctl", *words]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--stack", "one", "--kube-context", "two"], "Use --stack or --kube-context, not both"),
        (["--kube-context", ""], "--stack and --kube-context must not be empty"),
    ],
)
def test_a_choice_that_is_none(registryctl: Verb, words: list[str], sentence: str) -> None:
    done = registryctl(ROOT, "tunnel", *words)
    assert done.returncode == 2
    assert sentence in done.stderr.splitlines()[-1]


def test_what_goes_wrong_is_one_sentence(registryctl: Verb, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text('{"contexts": [{"name": "kind", "context": {}}], "clusters": [], "users": []}')
    done = registryctl(ROOT, "tunnel", "--kube-context", "nowhere", KUBECONFIG=str(file))
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    assert "it has no such kube context, only kind" in sentence


def test_a_letter_that_the_terminal_lacks_does_not_end_a_command() -> None:
    code = "import atexit; from kube_registry.cli.app import main; atexit.register(print, '\\u2026'); main()"
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout.endswith("\\u2026\n")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("verb", "status"), [("tunnel", 0), ("images", 1), ("gc", 1)])
def test_it_can_be_ended_while_pulumi_is_asked(tmp_path: Path, sign: signal.Signals, verb: str, status: int) -> None:
    asked = tmp_path / "asked"
    (tmp_path / "pulumi").write_text(f'#!/bin/sh\necho "$$" > {asked}.new; mv {asked}.new {asked}; exec sleep 60\n')
    (tmp_path / "pulumi").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen(command(verb), cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as running:
        wait_for(asked.exists, "pulumi to be asked", log=tmp_path, seconds=30)
        running.send_signal(sign)
        running.send_signal(sign)
        assert running.communicate(timeout=10)[1] == ""
    assert running.returncode == status
    assert not Path("/proc", asked.read_text().strip()).exists()


def test_ctrl_c_has_its_meaning_before_anything_slow_is_imported() -> None:
    code = "import sys, registryctl; print(*(name for name in sys.modules if name.startswith('kube_registry.')))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "kube_registry.cli kube_registry.cli.app\n"


@pytest.mark.parametrize(
    ("old", "new"), [(["status"], "doctor"), (["preview"], "review"), (["fleet", "preview"], "review")]
)
def test_an_old_name_is_hidden_says_the_new_one_and_does_the_same(
    registryctl: Verb, tmp_path: Path, old: list[str], new: str
) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: kube-registry\nruntime: python\n")
    (tmp_path / "fleet.yaml").write_text("stacks: [{name: eu, kubeContext: eu, images: {app: {context: ./app}}}]\n")
    done, expected = registryctl(tmp_path, *old, PATH="/nowhere"), registryctl(tmp_path, new, PATH="/nowhere")
    said, *rest = done.stderr.splitlines()
    assert f"`registryctl {new}`" in said
    assert (done.returncode, done.stdout, rest) == (expected.returncode, "", expected.stderr.splitlines())
    listed = registryctl(ROOT, *old[:-1], "--help").stdout.partition("Commands:")[2].splitlines()
    assert old[-1] not in {line.split()[0] for line in listed if line}


@pytest.mark.parametrize("on_terminal", [True, False])
def test_on_a_terminal_the_fix_of_an_error_has_its_own_line(tmp_path: Path, *, on_terminal: bool) -> None:
    (tmp_path / "fleet.yaml").write_text("stacks: 1\n")
    terminal, end = pty.openpty()
    with os.fdopen(terminal, "rb"), os.fdopen(end, "wb"), (tmp_path / "stderr").open("wb") as file:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        stream = end if on_terminal else file
        done = subprocess.run(command("fleet", "list"), cwd=tmp_path, env=env, stderr=stream, timeout=60, check=False)
        written = os.read(terminal, 2**16) if on_terminal else (tmp_path / "stderr").read_bytes()
    assert done.returncode == 1
    assert [line.startswith("Fix: ") for line in written.decode().splitlines()] == [False, True][: 1 + on_terminal]
