"""The verb `tunnel`, as a person uses it: the command of docs/clone-and-run.md, `docker push`, Ctrl-C."""

import io
import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.e2e.access import PUSHER, Access, manifest
from tests.e2e.conftest import CHECKOUT, STACK, Lab, Program, settings_of
from tests.fakes.podman import podman

pytestmark = pytest.mark.lab

PUSHED = 3_000_000
"""Bytes of the image that is pushed, which nothing makes fewer."""

NODE_PORT = 30123
"""Not the default, which who asks no stack must find out."""

PAGE = (CHECKOUT / "docs" / "clone-and-run.md").read_text()
(COMMAND,) = re.findall(r"\n\.venv/bin/python -m registryctl (tunnel .*)\n", PAGE)
(PODMAN,) = re.findall(r"`podman (push .*) localhost:<pushPort>/app:1`", PAGE)


@dataclass(frozen=True)
class Running:
    """The verb while it runs, and the line that it opened with."""

    process: subprocess.Popen[str]
    line: str

    @property
    def push_port(self) -> int:
        return int(self.found(r"push address localhost:(\d+),"))

    @property
    def pull_host(self) -> str:
        return self.found(r"pull host (localhost:\d+)")

    def found(self, pattern: str) -> str:
        match = re.search(pattern, self.line)
        assert match, self.line
        return match[1]

    def end(self, sign: signal.Signals = signal.SIGINT) -> str:
        """All that it still says once it is told to end."""
        self.process.send_signal(sign)
        said, errors = self.process.communicate(timeout=10)
        assert (self.process.returncode, errors) == (0, ""), said
        return said


@pytest.fixture(scope="module")
def deployed(program: Program) -> Program:
    program.configure(nodePort=str(NODE_PORT))
    program.up()
    return program


@pytest.fixture(scope="module")
def env(lab: Lab, deployed: Program) -> dict[str, str]:
    return {**lab.env, **deployed.stack.workspace.env_vars}


@contextmanager
def running(deployed: Program, env: Mapping[str, str], *command: str) -> Iterator[Running]:
    with subprocess.Popen(
        [sys.executable, "-m", "registryctl", *command],
        cwd=deployed.folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout
            assert select.select([process.stdout], [], [], 60)[0], "it says nothing"
            yield Running(process, process.stdout.readline())
        finally:
            process.kill()


def failure(deployed: Program, env: Mapping[str, str], *command: str) -> str:
    """The one sentence of a verb that cannot do what it is asked."""
    words = [sys.executable, "-m", "registryctl", *command]
    done = subprocess.run(words, cwd=deployed.folder, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    (sentence,) = done.stderr.splitlines()
    return sentence


def new_layer() -> bytes:
    """A layer that no registry has yet."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo("new")
        entry.size = PUSHED
        archive.addfile(entry, io.BytesIO(os.urandom(PUSHED)))
    return layer.getvalue()


def docker_push(host: str, repository: str) -> None:
    """Push an image that no registry has a layer of yet, under the tag 1."""
    with closing(docker.DockerClient(base_url=host)) as client:
        client.api.import_image_from_data(new_layer(), repository, "1")
        steps = [json.loads(step) for step in client.images.push(repository, "1").splitlines()]
        client.images.remove(f"{repository}:1")
    assert not [step for step in steps if "error" in step]


def manifest_of(lab: Lab, pull_host: str, repository: str) -> dict[str, Any]:
    """What a node is answered on its own loopback."""
    found: dict[str, Any] = json.loads(lab.fetch(f"http://{pull_host}/v2/{repository}/manifests/1"))
    return found


def bytes_of(text: str) -> float:
    number, unit = text.split()
    return float(number) * {"bytes": 1, "kB": 1e3, "MB": 1e6}[unit]


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class TestByStack:
    def test_the_readmes_command_holds_a_tunnel_that_docker_pushes_through(
        self, lab: Lab, deployed: Program, env: dict[str, str]
    ) -> None:
        with running(deployed, env, *COMMAND.replace("my-cluster", STACK).split()) as opened:
            assert opened.push_port == settings_of(lab).push_port
            assert opened.pull_host == f"localhost:{NODE_PORT}"
            docker_push(env["DOCKER_HOST"], f"localhost:{opened.push_port}/by/hand")
            said = opened.end()
        assert is_free(opened.push_port)
        assert manifest_of(lab, opened.pull_host, "by/hand")["layers"][0]["size"] >= PUSHED
        totals = re.fullmatch(r"closed: sent (.*), received (.*), reconnects 0\n", said)
        assert totals, said
        assert PUSHED <= bytes_of(totals[1]) <= PUSHED * 1.1
        assert 0 < bytes_of(totals[2]) < 100_000

    def test_podman_pushes_with_the_option_of_the_page(
        self, lab: Lab, deployed: Program, env: dict[str, str], tmp_path: Path
    ) -> None:
        layer = tmp_path / "layer.tar"
        layer.write_bytes(new_layer())
        with podman() as here, running(deployed, env, "tunnel", "--stack", STACK) as opened:
            name = f"localhost:{opened.push_port}/by/podman:1"
            here.run("import", "--quiet", str(layer), name)
            here.run(*PODMAN.split(), name)
        assert manifest_of(lab, opened.pull_host, "by/podman")["layers"][0]["size"] >= PUSHED

    def test_it_is_the_selected_stack_where_none_is_named(self, deployed: Program, env: dict[str, str]) -> None:
        with running(deployed, env, "tunnel") as opened:
            assert opened.pull_host == f"localhost:{NODE_PORT}"

    def test_an_open_connection_does_not_hold_up_the_end(self, deployed: Program, env: dict[str, str]) -> None:
        with running(deployed, env, "tunnel", "--stack", STACK) as opened:
            with socket.create_connection(("127.0.0.1", opened.push_port), timeout=10) as held:
                held.sendall(f"GET /v2/ HTTP/1.1\r\nHost: localhost:{opened.push_port}\r\n\r\n".encode())
                assert held.recv(1 << 16).startswith(b"HTTP/1.1 200")
                said = opened.end(signal.SIGTERM)
                with suppress(ConnectionResetError):
                    assert held.recv(1) == b""
            assert said.startswith("closed: sent")

    def test_what_happens_to_the_pod_is_a_line_and_a_reconnect(
        self, lab: Lab, deployed: Program, env: dict[str, str]
    ) -> None:
        with running(deployed, env, "tunnel", "--stack", STACK) as opened:
            lab.kubectl("delete", "pods", "--namespace", "kube-registry", "--all", "--wait=false")
            with urllib.request.urlopen(f"http://127.0.0.1:{opened.push_port}/v2/", timeout=60) as answer:
                assert answer.status == 200
            said = opened.end()
        assert re.search(r"^\d\d:\d\d:\d\d the tunnel from port .* failed: ", said, re.MULTILINE), said
        assert re.search(r"^closed: .*, reconnects [1-9]", said, re.MULTILINE), said

    def test_another_program_holds_the_port(self, deployed: Program, env: dict[str, str]) -> None:
        with running(deployed, env, "tunnel", "--stack", STACK) as opened:
            sentence = failure(deployed, env, "tunnel", "--stack", STACK)
            assert f"cannot listen on port {opened.push_port} of this machine" in sentence
            with running(deployed, env, "tunnel", "--stack", STACK, "--push-port", "21999") as beside:
                assert beside.push_port == 21999

    def test_a_stack_that_is_not_there(self, deployed: Program, env: dict[str, str]) -> None:
        sentence = failure(deployed, env, "tunnel", "--stack", "nope")
        assert "no stack named 'nope' found" in sentence


class TestByKubeContext:
    @pytest.fixture
    def no_pulumi(self, env: dict[str, str]) -> dict[str, str]:
        return {**env, "PATH": "/usr/bin:/bin"}

    def test_it_asks_no_pulumi_and_finds_the_node_port(
        self, lab: Lab, deployed: Program, no_pulumi: dict[str, str]
    ) -> None:
        with running(deployed, no_pulumi, "tunnel", "--kube-context", lab.cluster.kube_context) as opened:
            assert opened.pull_host == f"localhost:{NODE_PORT}"
            docker_push(no_pulumi["DOCKER_HOST"], f"localhost:{opened.push_port}/without/stack")
            opened.end()
        assert manifest_of(lab, opened.pull_host, "without/stack")["layers"]

    def test_a_pushers_rights_suffice(self, lab: Lab, deployed: Program, no_pulumi: dict[str, str]) -> None:
        access = Access(lab, Path(os.devnull), 0)
        access.admin("apply", "--filename", "-", given=manifest(PUSHER))
        kubeconfig = access.kubeconfig(PUSHER)
        mine = {**no_pulumi, "KUBECONFIG": str(kubeconfig)}
        with running(deployed, mine, "tunnel", "--kube-context", lab.cluster.kube_context) as opened:
            assert "(assumed: no permission to read the registry's Service)" in opened.line
            docker_push(mine["DOCKER_HOST"], f"localhost:{opened.push_port}/by/pusher")
            opened.end()


class TestTerminal:
    def test_a_person_sees_what_to_copy_and_a_live_line_and_ends_it_with_control_c(
        self, deployed: Program, env: dict[str, str]
    ) -> None:
        with terminal(deployed, env) as (process, screen):
            shown = read(screen, until=r"sent \S+ \S+, .*/s  received")
            port = port_on(shown)
            assert f"docker push localhost:{port}/NAME:TAG" in shown
            assert f"image: localhost:{NODE_PORT}/NAME:TAG" in shown
            docker_push(env["DOCKER_HOST"], f"localhost:{port}/at/terminal")
            read(screen, until=r"sent \S+ MB, ")
            os.write(screen, b"\x03\x03")
            shown = read(screen, until=r"closed: sent .*\n")
            assert "Traceback" not in shown
            assert process.wait(timeout=10) == 0


def port_on(shown: str) -> str:
    found = re.search(r"push address localhost:(\d+)", shown)
    assert found, shown
    return found[1]


@contextmanager
def terminal(deployed: Program, env: Mapping[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The verb on a terminal of its own, whose Ctrl-C it gets."""
    screen, its_end = os.openpty()
    command = ["setsid", "--ctty", sys.executable, "-m", "registryctl", "tunnel", "--stack", STACK]
    surroundings = {**env, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(
        command, cwd=deployed.folder, env=surroundings, stdin=its_end, stdout=its_end, stderr=its_end
    ) as process:
        os.close(its_end)
        try:
            yield process, screen
        finally:
            process.kill()
            os.close(screen)


def read(screen: int, *, until: str) -> str:
    """What a terminal shows, up to some words."""
    deadline, shown = time.monotonic() + 60, ""
    while not re.search(until, shown):
        assert select.select([screen], [], [], max(0, deadline - time.monotonic()))[0], shown
        shown += os.read(screen, 1 << 16).decode()
    return shown
