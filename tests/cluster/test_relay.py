"""The relay: its program as it stands in the repository, and its container on the lab's engine."""

import hashlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound
from rich.console import Console

from cluster.relay.container import open_relay
from cluster.relay.image import relay_archive, relay_image
from lab import docker_engine
from lab.progress import Progress
from lab.waiting import wait_for

PROGRAM = Path(__file__).parents[2] / "cluster/relay/relay-amd64"
FAR = "127.0.0.2"
SECONDS = 20


@contextmanager
def relay() -> Iterator[tuple[int, socket.socket, subprocess.Popen[bytes]]]:
    """A running relay: its port, the listener at its far end, and its process."""
    with socket.create_server(("127.0.0.1", 0)) as near:  # whoever else may use the port on the other address
        port = near.getsockname()[1]
        far = socket.create_server((FAR, port))
    with far:
        far.settimeout(SECONDS)
        with subprocess.Popen([PROGRAM, str(port), FAR], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"listening\n"
            yield port, far, process
            process.kill()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def read_all(end: socket.socket) -> bytes:
    return b"".join(iter(lambda: end.recv(65536), b""))


def test_carries_twenty_megabytes_both_ways_at_once_and_each_end_on_its_own() -> None:
    sent = os.urandom(20_000_000)
    read: list[bytes] = []

    def send(end: socket.socket) -> None:
        end.sendall(sent)
        end.shutdown(socket.SHUT_WR)

    with relay() as (port, far, _), connect(port) as near, far.accept()[0] as other:
        work = [threading.Thread(target=send, args=[end]) for end in (near, other)]
        work += [threading.Thread(target=lambda end=end: read.append(read_all(end))) for end in (near, other)]
        for each in work:
            each.start()
        for each in work:
            each.join(SECONDS)
    assert [hashlib.sha256(each).digest() for each in read] == [hashlib.sha256(sent).digest()] * 2


def test_an_answer_comes_after_the_question_has_ended() -> None:
    with relay() as (port, far, _), connect(port) as near, far.accept()[0] as other:
        near.sendall(b"question")
        near.shutdown(socket.SHUT_WR)
        assert read_all(other) == b"question"
        other.sendall(b"answer")
        other.close()
        assert read_all(near) == b"answer"


def test_serves_fifty_connections_side_by_side() -> None:
    with relay() as (port, far, _):
        pairs = [(connect(port), far.accept()[0]) for _ in range(50)]
        for number, (near, _) in enumerate(pairs):
            near.sendall(bytes([number]))
        assert [other.recv(1) for _, other in pairs] == [bytes([number]) for number in range(50)]
        for near, other in pairs:
            near.close()
            other.close()


def test_a_refused_connection_is_closed_and_the_relay_goes_on() -> None:
    with relay() as (port, far, process):
        far.close()
        for _ in range(2):
            with connect(port) as near:
                assert read_all(near) == b""
        assert process.poll() is None


@pytest.mark.parametrize("number", [None, signal.SIGTERM])
def test_ends_with_its_standard_input_and_on_sigterm(number: signal.Signals | None) -> None:
    with relay() as (_, _, process):
        assert process.stdin
        if number:
            process.send_signal(number)
        else:
            process.stdin.close()
        assert process.wait(SECONDS) == 0


def test_says_that_it_cannot_listen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [str(PROGRAM), str(taken.getsockname()[1]), FAR]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 2
    assert "cannot listen on 127.0.0.1" in done.stderr


def test_the_program_is_what_its_source_makes(tmp_path: Path) -> None:
    shutil.copy(PROGRAM.with_name("relay.c"), tmp_path)
    words = ["cc", "-target", "x86_64-linux-musl", "-static", "-Os", "-s", "-o", "relay", "relay.c"]
    subprocess.run([sys.executable, "-m", "ziglang", *words], cwd=tmp_path, check=True, timeout=250)
    assert (tmp_path / "relay").read_bytes() == PROGRAM.read_bytes()


def test_the_image_is_the_same_each_time() -> None:
    assert relay_archive("arm64") == relay_archive("arm64")
    assert relay_image("arm64") != relay_image("amd64")


@pytest.fixture
def daemon() -> Iterator[docker.DockerClient]:
    engine = docker_engine.up(Progress(Console(quiet=True)))
    with closing(docker.DockerClient(base_url=engine.host, timeout=30)) as client:
        yield client


@pytest.fixture
def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def is_gone(client: docker.DockerClient, port: int) -> bool:
    try:
        client.containers.get(f"kube-registry-relay-{port}")
    except NotFound:
        return True
    return False


@pytest.mark.lab
@pytest.mark.anyio
async def test_its_container_is_there_for_the_block_only(daemon: docker.DockerClient, free_port: int) -> None:
    async with open_relay(daemon, free_port):
        assert not is_gone(daemon, free_port)
        connect(free_port).close()
    assert is_gone(daemon, free_port)


@pytest.mark.lab
@pytest.mark.anyio
async def test_a_port_that_is_taken_is_told(daemon: docker.DockerClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="cannot listen"):
            async with open_relay(daemon, port):
                pass
    assert is_gone(daemon, port)


@pytest.mark.lab
def test_its_container_ends_when_its_holder_is_killed(daemon: docker.DockerClient, free_port: int) -> None:
    hold = (
        "import asyncio, docker, sys\nfrom cluster.relay.container import open_relay\n"
        "async def hold():\n async with open_relay(docker.DockerClient(sys.argv[1]), int(sys.argv[2])):\n"
        "  print('held', flush=True); await asyncio.sleep(60)\nasyncio.run(hold())"
    )
    host = docker_engine.up(Progress(Console(quiet=True))).host
    command = [sys.executable, "-c", hold, host, str(free_port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    wait_for(lambda: is_gone(daemon, free_port), "the relay to end", log=PROGRAM, seconds=10)
