"""The Docker daemon's way to the push address, proven by a pull.

A daemon in a virtual machine, on another machine or without root has a loopback of its own. No name and no version
tells which case it is: the daemon is asked to pull the preflight's image from the push address.
"""

import asyncio
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import docker
import requests
from docker.errors import DockerException

from cluster.docker_config import USUAL_HOSTS, chosen_daemon
from cluster.probe_image import REPOSITORY
from stack.errors import DaemonReachError

ANSWER_SECONDS = 10
"""How long the daemon may take for an answer; to pull a few hundred bytes from a loopback is one."""


async def prove_daemon_reaches(environment: Mapping[str, str], push_address: str, digest: str) -> None:
    """Return once the Docker daemon has pulled from the push address.

    Args:
        environment: the process's environment, which names the daemon.
        push_address: where the open tunnel listens.
        digest: of the preflight's image, which is in the registry.

    Raises:
        DaemonReachError: it does not reach it.
    """
    host = chosen_daemon(environment) or _listening()
    try:
        await asyncio.to_thread(_pull, environment, host, f"{push_address}/{REPOSITORY}@{digest}")
    except (DockerException, requests.RequestException) as error:
        port = push_address.rpartition(":")[2]
        mend = _mend(urlsplit(host), port)
        raise DaemonReachError(host=host, push_address=push_address, reason=str(error), mend=mend) from error


def _pull(environment: Mapping[str, str], host: str, reference: str) -> None:
    """Have the daemon pull an image, and forget it again."""
    variables = {**environment, "DOCKER_HOST": host}
    with closing(
        docker.DockerClient.from_env(environment=variables, timeout=ANSWER_SECONDS, use_ssh_client=True)
    ) as client:
        for line in client.api.pull(reference, stream=True, decode=True, auth_config={}):  # asks no credential helper
            if "error" in line:
                raise DockerException(line["error"])
        with suppress(DockerException):
            client.api.remove_image(reference)


def _listening() -> str:
    """The first of the usual sockets that is there."""
    return next((host for host in USUAL_HOSTS if Path(urlsplit(host).path).exists()), USUAL_HOSTS[0])


def _mend(host: SplitResult, port: str) -> str:
    """What carries the push address into the daemon's loopback."""
    if host.scheme == "unix":
        return f"let the daemon share this machine's loopback, or carry port {port} of its own to this machine"
    at = host.netloc.rpartition(":")[0] if host.port else host.netloc
    return f"`ssh -N -R {port}:localhost:{port} {at}` carries it there; run `pulumi up` again while that runs"
