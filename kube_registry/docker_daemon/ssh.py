"""Forward the socket of a Docker daemon behind ssh to this machine, by the user's own ssh, configuration and agent.

The docker SDK would use another implementation of ssh, which supports neither.
"""

import asyncio
import shlex
import signal
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from kube_registry.concurrency import poll
from kube_registry.limits import SSH_SECONDS
from kube_registry.processes import run, started
from kube_registry.text import one_line

_PAUSE = 0.05
_SOCKET_OF_DOCKER = shlex.join(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"])
"""Prints the address that Docker's client on the other machine uses: /var/run/docker.sock, or a rootless daemon's."""


@asynccontextmanager
async def near_socket(host: str) -> AsyncIterator[str]:
    """Forward a daemon's socket by ssh while the block runs.

    Args:
        host: ssh://[USER@]HOST[:PORT][/PATH]; PATH is the socket on that machine.

    Yields:
        The address of the local socket, unix://PATH.

    Raises:
        OSError: the connection failed; has ssh's message.
    """
    url = urlsplit(host)
    destination = _ssh_words(url)
    ssh = ["ssh", "-T", "-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes"]
    name = f"`ssh {shlex.join(destination)}`"
    far = url.path.rstrip("/") or await _far_socket([*ssh, *destination, _SOCKET_OF_DOCKER], name)
    with tempfile.TemporaryDirectory(prefix="kube-registry-") as folder:
        near = Path(folder, "docker.sock")
        forward = [*ssh, "-N", "-L", f"{near}:{far}", *destination]
        async with started(*forward, session=False, sign=signal.SIGTERM) as forwarding:

            async def settled() -> bool | None:
                return await asyncio.to_thread(near.exists) or forwarding.returncode is not None or None

            await poll(settled, seconds=SSH_SECONDS, pause=_PAUSE)
            if forwarding.returncode is not None:
                _, message = await forwarding.communicate()
                raise _error(name, one_line(message.decode(errors="replace")))
            yield f"unix://{near}"


async def _far_socket(command: Sequence[str], name: str) -> str:
    """Return the path of the daemon's socket on its own machine."""
    try:
        ended = await run(*command, seconds=SSH_SECONDS, session=False)
    except TimeoutError:
        raise OSError(f"{name} timed out after {SSH_SECONDS:.0f} s") from None
    if path := urlsplit(ended.out.decode().strip()).path:
        return path
    raise _error(name, ended.words)


def _error(name: str, message: str) -> OSError:
    return OSError(f"{name}: {message or 'no response'}")


def _ssh_words(url: SplitResult) -> list[str]:
    """Return the arguments of `ssh` for an address's port, user and host; `--` keeps the host from being an option."""
    at = f"{url.username}@{url.hostname}" if url.username else str(url.hostname)
    return [*(["-p", str(url.port)] if url.port else []), "--", at]
