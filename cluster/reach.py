"""The Docker daemon's way to the push address: proven by the daemon, carried by a relay where there is none.

A daemon in a virtual machine, on another machine or without root has a loopback of its own. No name and no version
tells which case it is: the daemon is asked to look up the preflight's image at the push address (ADR 0014).
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing, nullcontext
from functools import partial
from urllib.parse import SplitResult, urlsplit

import docker
import requests
from docker.errors import DockerException

from cluster.docker_config import chosen_daemon, usual_daemon
from cluster.docker_ssh import near_socket, ssh_words
from cluster.pods import one_line
from cluster.probe_image import REPOSITORY
from cluster.relay.container import open_relay
from stack.errors import DaemonError, DaemonReachError

ANSWER_SECONDS = 30
"""How long the daemon may take for one answer, on a busy machine too."""


@asynccontextmanager
async def daemon_reaching(
    environment: Mapping[str, str], push_address: str, digest: str, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """A block in which the Docker daemon reaches the push address of this machine.

    Args:
        environment: the process's environment, which names the daemon.
        push_address: where the open tunnel listens.
        digest: of the preflight's image, which is in the registry.
        say: told of the relay, where there has to be one.

    Raises:
        DaemonReachError: it does not reach it, by way of a relay neither.
    """
    host, port = chosen_daemon(environment) or usual_daemon(), int(push_address.rpartition(":")[2])
    reference = f"{push_address}/{REPOSITORY}@{digest}"
    try:
        async with _client(environment, host) as client:
            refusal = await asyncio.to_thread(_refusal, client, reference)
            if refusal is None:
                yield
                return
            say(f"the Docker daemon has a loopback of its own; a relay there carries {push_address} to this machine")
            async with open_relay(client, port):
                if relayed := await asyncio.to_thread(_refusal, client, reference):
                    raise _error(host, push_address, f"{refusal}; by way of a relay: {relayed}")
                yield
    except (DockerException, requests.RequestException, OSError) as error:
        raise _error(host, push_address, str(error)) from error


async def daemon_version(environment: Mapping[str, str]) -> str:
    """The Docker daemon's version.

    Args:
        environment: the process's environment, which names the daemon.

    Raises:
        DaemonError: it does not tell.
    """
    host = chosen_daemon(environment) or usual_daemon()
    try:
        async with _client(environment, host) as client:
            return str((await asyncio.to_thread(client.version))["Version"])
    except (DockerException, requests.RequestException, OSError) as error:
        raise DaemonError(host=host, reason=one_line(str(error))) from error


@asynccontextmanager
async def _client(environment: Mapping[str, str], host: str) -> AsyncIterator[docker.DockerClient]:
    async with near_socket(host) if host.startswith("ssh://") else nullcontext(host) as near:
        variables = {**environment, "DOCKER_HOST": near}
        asked = partial(docker.DockerClient.from_env, environment=variables, timeout=ANSWER_SECONDS)
        with closing(await asyncio.to_thread(asked)) as client:
            yield client


def _refusal(client: docker.DockerClient, reference: str) -> str | None:
    """Why the daemon cannot look up an image where it is; None if it can."""
    try:
        client.images.get_registry_data(reference, auth_config={})  # asks no credential helper
    except DockerException as error:
        return str(getattr(error, "explanation", None) or error)
    return None


def _error(host: str, push_address: str, reason: str) -> DaemonReachError:
    mend = _mend(urlsplit(host), push_address.rpartition(":")[2])
    return DaemonReachError(host=host, push_address=push_address, reason=reason, mend=mend)


def _mend(host: SplitResult, port: str) -> str:
    """What carries the push address into the daemon's loopback."""
    if host.scheme == "unix":
        return f"let the daemon share this machine's loopback, or carry port {port} of its own to this machine"
    line = " ".join(["ssh", "-N", "-R", f"{port}:localhost:{port}", *ssh_words(host)])
    return f"`{line}` carries it there; run `pulumi up` again while that runs"
