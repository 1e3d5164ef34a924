"""A Docker daemon behind ssh, as a socket of this machine: by the person's own ssh, with its configuration and agent.

The docker SDK's own way takes a second implementation of ssh, which knows neither.
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
        forward = [*ssh, "-N", "-L", f"{near}:{far}", *whom]
        async with started(*forward, session=False, sign=signal.SIGTERM) as forwarding:

            async def settled() -> bool | None:
                return await asyncio.to_thread(near.exists) or forwarding.returncode is not None or None

            await poll(settled, seconds=SSH_SECONDS, pause=_PAUSE)
            if forwarding.returncode is not None:
                _, said = await forwarding.communicate()
                raise _error(name, one_line(said.decode(errors="replace")))
            yield f"unix://{near}"


async def _far_socket(command: Sequence[str], name: str) -> str:
    """Where the daemon listens on its own machine."""
    try:
        ended = await run(*command, seconds=SSH_SECONDS, session=False)
    except TimeoutError:
        raise OSError(f"{name} took longer than {SSH_SECONDS:.0f} s") from None
    if path := urlsplit(ended.out.decode().strip()).path:
        return path
    raise _error(name, ended.words)


def _error(name: str, said: str) -> OSError:
    return OSError(f"{name}: {said or 'no answer'}")


def _ssh_words(place: SplitResult) -> list[str]:
    """Return the arguments of `ssh` for an address's port, user and host, which is never taken for an option."""
    at = f"{place.username}@{place.hostname}" if place.username else str(place.hostname)
    return [*(["-p", str(place.port)] if place.port else []), "--", at]
