"""`registryctl dev` as a process, at a terminal or without one."""

import fcntl
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from kube_registry.spec.endpoints import parse_reference
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program

SECONDS = 120.0
"""How long to wait for a line; dev itself waits a minute for pods that are not ready after an update."""

END_SECONDS = 6.0
"""How long Ctrl-C may take; two seconds on an idle machine, but these tests share theirs with others."""


class Developing:
    """A running `registryctl dev`."""

    def __init__(self, process: "subprocess.Popen[bytes]", terminal: int, program: Program) -> None:
        self.process, self.program = process, program
        self._terminal, self._text = terminal, ""

    @property
    def text(self) -> str:
        """What it has printed so far."""
        while select.select([self._terminal], [], [], 0)[0]:
            try:
                data = os.read(self._terminal, 65536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            self._text += data.decode(errors="replace").replace("\r\n", "\n")
        return self._text

    def wait_for(self, text: str, number: int = 1) -> str:
        """Return what was printed once a text is in it for the given time."""
        self.until(lambda: self.text.count(text) >= number, lambda: f"no {text!r} in {self.text}")
        return self.text

    def until(self, condition: Callable[[], bool], problem: Callable[[], str]) -> None:
        ends = time.monotonic() + SECONDS
        while not condition():
            assert time.monotonic() < ends, f"{problem()}\n{self.process_tree()}"
            assert self.process.poll() is None, self.text
            time.sleep(0.02)

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def busy(self) -> bool:
        """Whether an update has locked the stack."""
        return bool(locks(self.program))

    def end(self, how: Callable[[], object] | None = None) -> float:
        """End it, by Ctrl-C if no other way is given; return how long that took."""
        children = self.process_children()
        began = time.monotonic()
        (how or (lambda: self.process.send_signal(signal.SIGINT)))()
        while self.process.poll() is None and time.monotonic() < began + SECONDS:
            assert self.text is not None  # a full terminal would hold it up
            time.sleep(0.01)
        took = time.monotonic() - began
        assert self.process.returncode == 0, self.text
        assert locks(self.program) == []
        assert [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE] == []
        return took

    def process_tree(self) -> str:
        """The processes that it has started, and what each waits for."""
        lines = []
        for child in self.process_children():
            with suppress(psutil.Error, OSError):
                waits = Path(f"/proc/{child.pid}/wchan").read_text()
                lines.append(f"{child.ppid()} {child.pid} {child.status()} {waits} {' '.join(child.cmdline())[:200]}")
        return "\n".join(lines)

    def process_children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


def locks(program: Program) -> list[Path]:
    return list((program.folder.parent / "state" / ".pulumi" / "locks").rglob("*.json"))


@contextmanager
def developing(program: Program, *options: str, terminal: bool = False) -> Iterator[Developing]:
    """Run it until the block ends."""
    master, slave = pty.openpty() if terminal else os.pipe()
    command = [sys.executable, "-m", "registryctl", "dev", *(options or ("--stack", program.stack.name))]
    with subprocess.Popen(
        command,
        cwd=program.folder,
        stdin=slave if terminal else subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
        env={**program.stack.workspace.env_vars, "COLUMNS": "200"},
        start_new_session=True,
        preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None,  # noqa: PLW1509
    ) as process:
        os.close(slave)
        try:
            yield Developing(process, master, program)
        finally:
            process.terminate()
            process.wait(SECONDS)
            os.close(master)


@pytest.fixture(scope="module")
def developed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """examples/library in a checkout: the components are in its own folder, where a test may edit them."""
    folder = tmp_path_factory.mktemp("dev") / "library"
    left_out = shutil.ignore_patterns("__pycache__", ".venv")
    shutil.copytree(CHECKOUT / "examples" / "library", folder, ignore=left_out)
    shutil.copytree(CHECKOUT / "kube_registry", folder / "kube_registry", ignore=left_out)
    shutil.copytree(CHECKOUT / "components", folder / "kube_registry" / "components", ignore=left_out)
    shutil.copy(CHECKOUT / "registryctl.py", folder)
    (folder / ".venv").symlink_to(sys.prefix)
    with (folder / "app" / ".dockerignore").open("a") as file:
        file.write("\n**/*.log\n")
    with (folder / "__main__.py").open("a") as file:
        file.write("from kube_registry.components import registry_image\n")
        file.write("pulumi.export('edited', getattr(registry_image, 'EDITED', 'no'))\n")
    made = new_program(lab, folder.parent, folder)
    made.configure(clusterFile=str(lab.cluster.kubeconfig))
    yield made
    made.destroy()


def digests_in_pods(lab: Lab) -> list[str]:
    """What the ready pods of the workload run."""
    pods = lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=library")
    states = [state for pod in pods for state in pod["status"].get("containerStatuses", []) if state["ready"]]
    return sorted({state["imageID"].rpartition("@")[2] for state in states})


def digest(program: Program) -> str:
    """The digest of the program's image."""
    return str(parse_reference(program.output("image")).digest)


def runs_in_pods(lab: Lab, version: str) -> bool:
    """Whether all pods of the workload run, with this text in the file that the tests edit."""
    pods = lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=library")
    read = ("--namespace", "default", "--", "cat", "/site/version")
    try:
        return {lab.kubectl("exec", pod["metadata"]["name"], *read).strip() for pod in pods} == {version}
    except subprocess.CalledProcessError:  # one does not run
        return False
