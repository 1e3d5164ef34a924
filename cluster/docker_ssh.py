"""A Docker daemon behind ssh, as a socket of this machine: by the person's own ssh, with its configuration and agent.

The docker SDK's own way takes a second implementation of ssh, which knows neither.
"""

import asyncio
import shlex
import tempfile
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from kube_registry.concurrency import poll
from kube_registry.limits import SSH_SECONDS

_PAUSE = 0.05
_SOCKET_OF_DOCKER = shlex.join(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
"""What Docker's client on the other machine talks to: /var/run/docker.sock, or that of a daemon without root."""


@asynccontextmanager
async def near_socket(host: str) -> AsyncIterator[str]:
    """A block in which a Unix socket leads to a daemon that is reached by ssh.

    Args:
        host: ssh://[USER@]HOST[:PORT][/PATH], PATH being the socket's on that machine.

    Yields:
        The socket's address, unix://PATH.

    Raises:
        OSError: it cannot be reached so, in ssh's own words.
    """
    place = urlsplit(host)
    whom = _ssh_words(place)
    ssh = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]
    name = f"`ssh {shlex.join(whom)}`"
    far = place.path.rstrip("/") or await _far_socket([*ssh, *whom, _SOCKET_OF_DOCKER], name)
    with tempfile.TemporaryDirectory(prefix="kube-registry-") as folder:
        near = Path(folder, "docker.sock")
        async with _started([*ssh, "-N", "-L", f"{near}:{far}", *whom]) as forwarding:

            async def settled() -> bool | None:
                return await asyncio.to_thread(near.exists) or forwarding.returncode is not None or None

            await poll(settled, seconds=SSH_SECONDS, pause=_PAUSE)
            if forwarding.returncode is not None:
                raise _error(name, await _last_words(forwarding))
            yield f"unix://{near}"


async def _far_socket(command: Sequence[str], name: str) -> str:
    """Where the daemon listens on its own machine."""
    async with _started(command) as asking:
        try:
            async with asyncio.timeout(SSH_SECONDS):
                answer, said = await asking.communicate()
        except TimeoutError:
            raise OSError(f"{name} took longer than {SSH_SECONDS:.0f} s") from None
    if path := urlsplit(answer.decode().strip()).path:
        return path
    raise _error(name, said)


async def _last_words(process: Process) -> bytes:
    assert process.stderr  # noqa: S101 - a pipe, see _started
    return await process.stderr.read()


def _error(name: str, said: bytes) -> OSError:
    return OSError(f"{name}: {' '.join(said.decode(errors='replace').split()) or 'no answer'}")


def _ssh_words(place: SplitResult) -> list[str]:
    """Return the arguments of `ssh` for an address's port, user and host, which is never taken for an option."""
    at = f"{place.username}@{place.hostname}" if place.username else str(place.hostname)
    return [*(["-p", str(place.port)] if place.port else []), "--", at]


@asynccontextmanager
async def _started(command: Sequence[str]) -> AsyncIterator[Process]:
    """A process that is ended with the block."""
    running = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
    try:
        yield running
    finally:
        with suppress(ProcessLookupError):
            running.terminate()
        await running.wait()
