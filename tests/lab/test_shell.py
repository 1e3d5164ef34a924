"""The shell of a person, and the lines that make one of theirs so."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Timer

import pytest

from lab import pulumi_home, shell
from lab.errors import LabError

CHECKOUT = Path(__file__).parents[2]
PROBE = "kube-registry-probe"
START = {"PATH": "/usr/bin:/bin", "TERM": "dumb", "LANG": "C", "MAKELEVEL": "1"}
"""The environment that `make` gives."""

SECONDS = 20.0

POSIX = "PATH=/usr/bin:/bin; export KUBECONFIG=/mine; PS1='mine> '; alias of_mine='echo alias'"
FISH = """
set -gx PATH /usr/bin /bin
set -gx KUBECONFIG /mine
function fish_prompt; printf 'mine> '; end
alias of_mine='echo alias'
"""
STARTUP = {
    "bash": (".bashrc", POSIX),
    "zsh": (".zshrc", POSIX),
    "fish": (".config/fish/config.fish", FISH),
    "sh": (".shrc", POSIX),
}
"""Shell -> a person's own file, which sets what is the lab's here, a prompt and something else."""

ASK = """
import runpy, sys, importlib.abc
class Without(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            raise ModuleNotFoundError("no typer", name=name)
sys.meta_path.insert(0, Without())
sys.path.insert(0, sys.argv.pop())
sys.argv = ["lab", "--help"]
runpy.run_module("lab", run_name="__main__")
"""
"""`python -m lab --help` by a Python without typer."""


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder with one program that is nowhere else."""
    folder = tmp_path / "it's a folder"
    folder.mkdir()
    (folder / PROBE).write_text("#!/bin/sh\necho found $KUBECONFIG\n")
    (folder / PROBE).chmod(0o755)
    return folder


def typed(name: str, home: Path, programs: Path, line: str) -> str:
    """What a terminal shows when a person types this line at the prompt of the shell that we open."""
    program = shutil.which(name)
    if not program:
        pytest.skip(f"{name} is not installed here")
    chosen = {"PATH": f"{programs}:/usr/bin:/bin", "KUBECONFIG": "/labs"}
    code = f"from lab.shell import open_shell; open_shell({chosen!r}, 'dev')"
    terminal = subprocess.Popen(
        ["script", "--quiet", "--return", "--command", shlex.join([sys.executable, "-c", code]), "/dev/null"],
        cwd=CHECKOUT,
        env={**os.environ, **START, "HOME": str(home), "SHELL": program, "ENV": str(home / ".shrc")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert terminal.stdin
    assert terminal.stdout
    watchdog = Timer(SECONDS, terminal.kill)
    watchdog.start()
    shown = b""
    with terminal:
        while b"mine> " not in shown and (more := os.read(terminal.stdout.fileno(), 65536)):
            shown += more
        terminal.stdin.write(f"{line}\n".encode())
        terminal.stdin.flush()
        shown += terminal.stdout.read()
    watchdog.cancel()
    assert terminal.returncode == 0, shown
    return shown.decode()


@pytest.mark.parametrize("name", STARTUP)
class TestShell:
    @pytest.fixture
    def home(self, name: str, tmp_path: Path) -> Path:
        file, text = STARTUP[name]
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(text)
        return tmp_path

    def test_its_variables_win_over_a_startup_file_that_is_read_all_the_same(
        self, name: str, home: Path, programs: Path
    ) -> None:
        shown = typed(name, home, programs, f"{PROBE}; of_mine is there; exit")
        assert "found /labs" in shown
        assert "alias is there" in shown

    def test_its_prompt_says_what_it_is_before_what_the_person_has(self, name: str, home: Path, programs: Path) -> None:
        assert "(dev) mine> " in typed(name, home, programs, "exit")

    def test_it_is_in_the_checkout_and_no_part_of_make(self, name: str, home: Path, programs: Path) -> None:
        shown = typed(name, home, programs, 'pwd; echo "level=$MAKELEVEL."; exit')
        assert str(CHECKOUT) in shown
        assert "level=." in shown

    def test_how_its_last_command_ended_is_no_failure_of_the_lab(self, name: str, home: Path, programs: Path) -> None:
        typed(name, home, programs, "exit 3")


def test_a_shell_that_is_none_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/nowhere/bash")
    with pytest.raises(LabError, match="/nowhere/bash"):
        shell.open_shell({}, "dev")


def test_lines_survive_any_shell(programs: Path) -> None:
    chosen = {"KUBECONFIG": "/a b/it's $HOME `id`", "PATH": f"{programs}:/usr/bin:/bin"}
    script = "\n".join([*shell.exports(chosen), PROBE])
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=10, check=True)
    assert done.stdout == "found /a b/it's $HOME `id`\n"


def test_programs_are_first_on_path_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    once = pulumi_home.on_path(Path("/usr/bin"))["PATH"]
    monkeypatch.setenv("PATH", once)
    assert pulumi_home.on_path(Path("/usr/bin"))["PATH"] == once
    assert once.split(":")[-2:] == ["/usr/bin", "/bin"]


def test_registryctl_is_that_of_the_checkout_from_any_folder(tmp_path: Path) -> None:
    env = {"PATH": f"{CHECKOUT / 'lab' / 'bin'}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-c", "registryctl --help"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "Usage: registryctl " in done.stdout


class TestAnyPython:
    """`python3 -m lab`, which has none of the packages."""

    def run(self, checkout: Path) -> "subprocess.CompletedProcess[str]":
        command = [str(Path(sys.base_prefix, "bin", "python3")), "-I", "-c", ASK, str(checkout)]
        return subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=30, check=False)

    def test_it_hands_over_to_that_of_the_virtualenv(self) -> None:
        done = self.run(CHECKOUT)
        assert done.returncode == 0, done.stderr
        assert "Print shell commands" in done.stdout

    def test_without_a_virtualenv_it_says_how_to_make_it(self, tmp_path: Path) -> None:
        shutil.copytree(CHECKOUT / "lab", tmp_path / "lab", ignore=shutil.ignore_patterns("__pycache__", "go"))
        done = self.run(tmp_path)
        assert done.returncode == 1
        assert done.stderr.endswith("Fix: `make venv`\n")
