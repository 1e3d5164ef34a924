"""The relay: its program as it stands in the repository, our end of it, and its container on the lab's engine."""

import asyncio
import itertools
import os
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest
from docker.errors import NotFound
from rich.console import Console

from kube_registry.docker_daemon.relay.carry import carry
from kube_registry.docker_daemon.relay.container import open_relay
from kube_registry.docker_daemon.relay.frames import WINDOW, Kind, frame, read_frames
from kube_registry.docker_daemon.relay.image import relay_archive, relay_image
from kube_registry.docker_daemon.ssh import near_socket
from kube_registry.tunnel.http_guard import HttpGuard
from kube_registry.tunnel.http_head import RefusedRequestError
from lab import docker_engine, far_engine, images, pki
from lab.docker_site import Engine, Site
from lab.progress import Progress
from lab.waiting import wait_for
from tests.docker_daemon.test_ssh import host
from tests.fakes.docker_api import over_tcp
from tests.fakes.ports import free_port

__all__ = ["host"]

PROGRAM = Path(__file__).parents[2] / "kube_registry/docker_daemon/relay/relay-amd64"
SECONDS = 20

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def cut(said: bytes, source: int = 1) -> bytes:
    """What a daemon makes of a piece of a container's output."""
    return struct.pack("!B3xI", source, len(said)) + said


async def cut_anywhere(output: asyncio.StreamReader, framed: asyncio.StreamReader) -> None:
    lengths = itertools.cycle([1, 7, 8, 9, 100, 32768])
    while piece := await output.read(next(lengths)):
        framed.feed_data(cut(piece))
    framed.feed_eof()


class Registry:
    """What listens at the push address: gives each accepted connection to the test."""

    def __init__(self) -> None:
        self.accepted: asyncio.Queue[Ends] = asyncio.Queue()

    async def serve(self, *ends: asyncio.StreamReader | asyncio.StreamWriter) -> None:
        await self.accepted.put(ends)  # type: ignore[arg-type]


@dataclass
class Relay:
    """A running relay and both its ends."""

    port: int
    registry: Registry
    server: asyncio.Server
    process: asyncio.subprocess.Process

    async def connect(self) -> tuple[Ends, Ends]:
        """A connection as the daemon has it, and as the registry has it."""
        near = await asyncio.open_connection("127.0.0.1", self.port)
        return near, await self.registry.accepted.get()


@asynccontextmanager
async def relay() -> AsyncIterator[Relay]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    registry = Registry()
    async with asyncio.timeout(SECONDS), await asyncio.start_server(registry.serve, "127.0.0.1", 0) as server:
        process = await asyncio.create_subprocess_exec(PROGRAM, str(port), stdin=PIPE, stdout=PIPE)
        assert process.stdin
        assert process.stdout
        framed = asyncio.StreamReader()
        frames = read_frames(framed)
        async with asyncio.TaskGroup() as group:
            cutting = group.create_task(cut_anywhere(process.stdout, framed))
            assert await anext(frames) == (Kind.LISTENING, 0, 0, b"")
            carrying = group.create_task(carry(frames, process.stdin, server.sockets[0].getsockname()[1]))
            yield Relay(port, registry, server, process)
            process.stdin.close()
            await process.wait()
            await cutting
            await carrying


async def send(ends: Ends, content: bytes) -> None:
    ends[1].write(content)
    await ends[1].drain()
    ends[1].write_eof()


@pytest.mark.anyio
async def test_carries_twenty_megabytes_both_ways_at_once_and_each_end_on_its_own() -> None:
    sent = os.urandom(20_000_000)
    async with relay() as running:
        near, far = await running.connect()
        async with asyncio.TaskGroup() as group:
            group.create_task(send(near, sent))
            group.create_task(send(far, sent))
            read = [group.create_task(ends[0].read()) for ends in (near, far)]
        assert [task.result() == sent for task in read] == [True, True]


@pytest.mark.anyio
async def test_listens_at_both_addresses_of_loopback() -> None:
    """Docker dials [::1] first where "localhost" is both: a neighbour that listened there would get what is pushed."""
    async with relay() as running:
        near = await asyncio.open_connection("::1", running.port)
        far = await running.registry.accepted.get()
        await send(near, b"question")
        assert await far[0].read() == b"question"
        await send(far, b"answer")
        assert await near[0].read() == b"answer"


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_port_that_is_taken_is_named(address: str, shown: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    port = free_port()
    with socket.create_server((address, port), family=family):
        done = subprocess.run([PROGRAM, str(port)], input="", capture_output=True, text=True, timeout=9, check=False)
    assert done.returncode == 2
    assert f"cannot listen on {shown}:{port}: " in done.stderr


def test_a_machine_without_ipv6_has_the_other_loopback() -> None:
    own = 'ip link set lo up && echo 1 >/proc/sys/net/ipv6/conf/lo/disable_ipv6 && exec "$0" 5000'
    command = ["unshare", "--net", "sh", "-c", own, str(PROGRAM)]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=9, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, frame(Kind.LISTENING, 0), b"")


@pytest.mark.anyio
async def test_an_answer_comes_after_the_question_has_ended() -> None:
    async with relay() as running:
        near, far = await running.connect()
        await send(near, b"question")
        assert await far[0].read() == b"question"
        await send(far, b"answer")
        assert await near[0].read() == b"answer"


@pytest.mark.anyio
async def test_serves_two_hundred_connections_side_by_side_and_as_many_after_them() -> None:
    async with relay() as running:
        for _ in range(2):
            pairs = [await running.connect() for _ in range(200)]
            for number, (near, _) in enumerate(pairs):
                near[1].write(bytes([number]))
            assert [await far[0].readexactly(1) for _, far in pairs] == [bytes([number]) for number in range(200)]
            for pair in pairs:
                for _, writer in pair:
                    writer.close()


@pytest.mark.anyio
async def test_one_that_is_not_read_holds_up_no_other() -> None:
    sent = os.urandom(3 * WINDOW)
    async with relay() as running:
        stuck = [await running.connect() for _ in range(2)]
        filling = [asyncio.ensure_future(send(end, 20 * sent)) for end in (stuck[0][0], stuck[1][1])]
        near, far = await running.connect()
        for one, other in ((near, far), (far, near)):
            one[1].write(sent)
            assert await other[0].readexactly(len(sent)) == sent
        assert not any(task.done() for task in filling)
        for task in filling:
            task.cancel()
        for _, writer in (end for pair in stuck for end in pair):
            writer.transport.abort()


@pytest.mark.anyio
async def test_what_breaks_at_one_end_breaks_at_the_other() -> None:
    async with relay() as running:
        near, far = await running.connect()
        far[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        far[1].transport.abort()
        with pytest.raises(ConnectionResetError):
            await near[0].read()
        near, far = await running.connect()
        near[1].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        near[1].transport.abort()
        assert await far[0].read() == b""


@pytest.mark.anyio
async def test_a_refused_connection_is_closed_and_the_relay_goes_on() -> None:
    async with relay() as running:
        running.server.close()
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            with pytest.raises(ConnectionResetError):
                await reader.read()
            writer.close()
        assert running.process.returncode is None


@pytest.mark.anyio
@pytest.mark.parametrize("number", [None, signal.SIGTERM])
async def test_ends_with_its_standard_input_and_on_sigterm(number: signal.Signals | None) -> None:
    async with relay() as running:
        near, _ = await running.connect()
        if number:
            running.process.send_signal(number)
            await running.process.wait()
    assert running.process.returncode == 0
    with suppress(ConnectionResetError):
        assert await near[0].read() == b""


@pytest.mark.anyio
async def test_frames_are_read_wherever_they_are_cut_and_standard_error_is_an_error() -> None:
    said = frame(Kind.OPEN, 7) + frame(Kind.DATA, 7, 3) + b"abc" + frame(Kind.CREDIT, 0xFFFFFF, 2**32 - 1)
    for at in range(len(said) + 1):
        stream = asyncio.StreamReader()
        stream.feed_data(cut(said[:at]) + cut(said[at:]))
        stream.feed_eof()
        read = [each async for each in read_frames(stream)]
        assert [each[:2] for each in read if each[0] is not Kind.DATA] == [(Kind.OPEN, 7), (Kind.CREDIT, 0xFFFFFF)]
        assert b"".join(each[3] for each in read) == b"abc"
    stream = asyncio.StreamReader()
    stream.feed_data(cut(b"relay: cannot ", 2) + cut(b"listen\n", 2))
    stream.feed_eof()
    with pytest.raises(OSError, match=r"^relay: cannot listen$"):
        await anext(read_frames(stream))


def test_the_program_is_what_its_source_makes(tmp_path: Path) -> None:
    shutil.copy(PROGRAM.with_name("relay.c"), tmp_path)
    words = ["cc", "-target", "x86_64-linux-musl", "-static", "-Os", "-s", "-o", "relay", "relay.c"]
    subprocess.run([sys.executable, "-m", "ziglang", *words], cwd=tmp_path, check=True, timeout=250)
    assert (tmp_path / "relay").read_bytes() == PROGRAM.read_bytes()


def test_the_image_is_the_same_each_time() -> None:
    assert relay_archive("arm64") == relay_archive("arm64")
    assert relay_image("arm64") != relay_image("amd64")


@pytest.fixture(scope="module")
def far() -> Iterator[Engine]:
    """An engine in a network of its own, from which no way leads to this machine."""
    progress, folder = Progress(Console(quiet=True)), Path(tempfile.mkdtemp(prefix="relay-", dir="/run"))
    site = Site(folder / "state", folder / "run", bridge="lab-relay", far=True)  # other tests' is in use meanwhile
    yield far_engine.up(progress, site)
    far_engine.down(progress, site)
    shutil.rmtree(folder)


@pytest.fixture
def daemon(far: Engine) -> Iterator[docker.DockerClient]:
    with closing(docker.DockerClient(base_url=far.host, timeout=30)) as client:
        yield client


def is_gone(client: docker.DockerClient, port: int) -> bool:
    try:
        client.containers.get(f"kube-registry-relay-{port}")
    except NotFound:
        return True
    return False


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readline()).upper())
    writer.close()


def ask(client: docker.DockerClient, port: int) -> str:
    """What answers at a port of the daemon's loopback."""
    command = ["sh", "-c", f"echo hello | nc 127.0.0.1 {port}"]
    said = client.containers.run(images.BUSYBOX, command, network_mode="host", remove=True)
    return bytes(said).decode().strip()


@pytest.mark.lab
@pytest.mark.anyio
async def test_a_port_of_the_daemons_loopback_leads_here_for_the_block_only(
    far: Engine, daemon: docker.DockerClient
) -> None:
    lost: list[OSError] = []
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_relay(daemon, far.host, {}, port, lost.append):
            assert await asyncio.to_thread(ask, daemon, port) == "HELLO"
        assert is_gone(daemon, port)
    assert lost == []


@pytest.mark.lab
@pytest.mark.anyio
async def test_docker_names_the_push_address_as_host_and_the_guard_lets_it_pass(
    far: Engine, daemon: docker.DockerClient
) -> None:
    """The registry refuses the upload, which Docker does not try again."""
    heads, refused = list[bytes](), set[int]()

    async def registry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer):
            head = await reader.read(1 << 16)
            try:
                HttpGuard(port).feed(memoryview(head))
            except RefusedRequestError as error:
                refused.add(error.status)
                writer.write(error.answer)
                return
            heads.append(head)
            status = b"200 OK" if b" /v2/ " in head else b"403 Forbidden" if head.startswith(b"POST") else b"404 No"
            writer.write(b"HTTP/1.1 %b\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" % status)

    async with await asyncio.start_server(registry, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        repository = f"localhost:{port}/team/app"
        async with open_relay(daemon, far.host, {}, port, lambda _: None):
            with pytest.raises(docker.errors.APIError):
                await asyncio.to_thread(daemon.images.get_registry_data, repository, {})
            daemon.images.get(images.BUSYBOX).tag(repository, "v1")
            said = await asyncio.to_thread(daemon.images.push, repository, "v1", auth_config={"username": ""})
    assert "errorDetail" in said
    assert {head.partition(b" ")[0] for head in heads} >= {b"GET", b"HEAD", b"POST"}
    assert {line for head in heads for line in head.splitlines() if line.lower().startswith(b"host:")} == {
        b"Host: localhost:%d" % port
    }
    assert refused <= {400}  # Docker tries TLS first


def certificates(folder: Path) -> tuple[ssl.SSLContext, dict[str, str]]:
    """What a server needs that wants a client's certificate, and the variables that name one."""
    authority = pki.found(folder / "authority")
    identity = pki.issue(authority, "localhost", addresses=["localhost"])
    shutil.copy(authority.certificate, folder / "ca.pem")
    (folder / "cert.pem").write_text(identity.certificate)
    (folder / "key.pem").write_text(identity.key)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, {"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(folder)}


@pytest.mark.lab
@pytest.mark.anyio
async def test_so_it_does_over_tls(far: Engine, daemon: docker.DockerClient, tmp_path: Path) -> None:
    tls, variables = certificates(tmp_path)
    async with over_tcp(far, tls) as host, await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with open_relay(daemon, host, variables, port, lambda _: None):
            assert await asyncio.to_thread(ask, daemon, port) == "HELLO"
        with pytest.raises(ConnectionResetError):
            async with open_relay(daemon, host, {}, port, lambda _: None):
                pass


@pytest.mark.lab
@pytest.mark.anyio
async def test_so_it_does_over_ssh(far: Engine, host: str) -> None:
    path = far.host.removeprefix("unix://")
    async with near_socket(f"{host}{path}") as near, await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with closing(await asyncio.to_thread(docker.DockerClient, near, timeout=30)) as client:
            async with open_relay(client, near, {}, port, lambda _: None):
                assert await asyncio.to_thread(ask, client, port) == "HELLO"


@pytest.mark.lab
@pytest.mark.anyio
async def test_one_that_ends_before_the_block_does_is_lost(far: Engine, daemon: docker.DockerClient) -> None:
    lost: asyncio.Queue[OSError] = asyncio.Queue()
    async with open_relay(daemon, far.host, {}, 21000, lost.put_nowait):
        await asyncio.to_thread(daemon.containers.get("kube-registry-relay-21000").kill)
        async with asyncio.timeout(SECONDS):
            assert str(await lost.get())


@pytest.mark.lab
@pytest.mark.anyio
async def test_a_port_that_is_taken_is_said() -> None:
    engine = docker_engine.up(Progress(Console(quiet=True)))  # it shares this machine's loopback
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        closing(docker.DockerClient(base_url=engine.host, timeout=30)) as client,
    ):
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="cannot listen"):
            async with open_relay(client, engine.host, {}, port, lambda _: None):
                pass
        assert is_gone(client, port)


@pytest.mark.lab
def test_its_container_ends_when_its_holder_is_killed(far: Engine, daemon: docker.DockerClient) -> None:
    hold = (
        "import asyncio, docker, sys\nfrom kube_registry.docker_daemon.relay.container import open_relay\n"
        "async def hold():\n"
        " async with open_relay(docker.DockerClient(sys.argv[1]), sys.argv[1], {}, 21001, print):\n"
        "  print('held', flush=True); await asyncio.sleep(60)\nasyncio.run(hold())"
    )
    with subprocess.Popen([sys.executable, "-c", hold, far.host], stdout=subprocess.PIPE) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
    wait_for(lambda: is_gone(daemon, 21001), "the relay to end", log=PROGRAM, seconds=10)
