"""A Docker daemon behind ssh: the machine's own client, a server that knows ssh, a socket in the daemon's place."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import asyncssh
import pytest

from kube_registry.docker_daemon.ssh import near_socket

pytestmark = pytest.mark.anyio

SECONDS = 20


class Guest(asyncssh.SSHServer):
    """Lets everybody in and forwards to every socket."""

    def begin_auth(self, username: str) -> bool:  # noqa: ARG002 - as asyncssh calls it
        return False

    def unix_connection_requested(self, dest_path: str) -> bool:  # noqa: ARG002
        return True


async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write((await reader.readline()).upper())
    await writer.drain()
    writer.close()


@pytest.fixture
async def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """Address of a machine with a daemon, which tells where that listens as Docker's client does."""

    async def tell(process: "asyncssh.SSHServerProcess[str]") -> None:
        if process.command and "docker context inspect" in process.command:
            process.stdout.write(f"unix://{tmp_path}/far.sock\n")
            process.exit(0)
        await process.wait_closed()

    key = asyncssh.generate_private_key("ssh-ed25519")
    program = tmp_path / "ssh"
    options = "-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"
    program.write_text(f'#!/bin/sh\nexec /usr/bin/ssh {options} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    serving = asyncssh.listen("127.0.0.1", 0, server_host_keys=[key], server_factory=Guest, process_factory=tell)
    async with serving as server, await asyncio.start_unix_server(shout, tmp_path / "far.sock"):
        yield f"ssh://somebody@127.0.0.1:{server.get_port()}"


async def test_a_socket_leads_to_the_daemon_and_is_gone_afterwards(host: str) -> None:
    async with asyncio.timeout(SECONDS), near_socket(host) as near:
        path = Path(urlsplit(near).path)
        for _ in range(2):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b"hello\n")
            assert await reader.read() == b"HELLO\n"
            writer.close()
    assert not path.parent.exists()


async def test_what_ssh_says_is_told(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    elsewhere = host.rpartition(":")[0] + f":{port}"
    with pytest.raises(OSError, match=f"`ssh -p {port} -- somebody@127.0.0.1`: .*Connection refused"):
        async with near_socket(elsewhere):
            pass


async def test_the_address_may_name_the_socket(host: str, tmp_path: Path) -> None:
    other = tmp_path / "other.sock"
    async with await asyncio.start_unix_server(shout, other), near_socket(f"{host}{other}") as near:
        reader, writer = await asyncio.open_unix_connection(urlsplit(near).path)
        writer.write(b"hello\n")
        assert await reader.read() == b"HELLO\n"
        writer.close()


async def test_a_host_is_never_an_option(tmp_path: Path) -> None:
    made = tmp_path / "made"
    with pytest.raises(OSError, match="ssh"):
        async with near_socket(f"ssh://-oproxycommand=touch%20{made}"):
            pass
    assert not made.exists()
