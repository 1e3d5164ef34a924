"""Check that the Docker daemon can connect to the push address, and start a relay if it cannot.

A daemon in a container, in a virtual machine, on another machine or without root has its own loopback. Neither its name
nor its version shows that, so the daemon has to look up the preflight's image at the push address (ADR 0014). A
relay requires only the daemon's API (ADR 0016).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial

import docker
import requests
from docker.errors import DockerException

from kube_registry.docker_daemon.config import chosen_daemon, usual_daemon
from kube_registry.docker_daemon.errors import DaemonError, DaemonReachError, PodmanVersionError
from kube_registry.docker_daemon.local_tags import remove_local_tag
from kube_registry.docker_daemon.podman import podman_refusal, podman_version
from kube_registry.docker_daemon.relay.container import open_relay
from kube_registry.docker_daemon.ssh import near_socket
from kube_registry.errors import Where
from kube_registry.limits import DAEMON_SECONDS, DAEMON_TRIES
from kube_registry.names import PROBE_REPOSITORY
from kube_registry.spec.versions import unsupported
from kube_registry.text import last_words

_CONTAINERD_STORE = ["driver-type", "io.containerd.snapshotter.v1"]


@dataclass(frozen=True)
class ReachingDaemon:
    """A Docker daemon that can connect to the push address.

    Args:
        remove_tag: removes a tag from the daemon (local_tags.py).
        reports_digests: whether the daemon reports the digest of what it has pushed; with the containerd image store it
            does not (moby, daemon/containerd/image_push.go).
    """

    remove_tag: Callable[[str], Awaitable[None]]
    reports_digests: bool


@asynccontextmanager
async def daemon_reaching(
    environment: Mapping[str, str],
    push_address: str,
    digest: str,
    say: Callable[[str], None],
    lost: Callable[[DaemonReachError], None],
    *,
    recovered: Callable[[], Awaitable[bool]],
    where: Where | None = None,
) -> AsyncIterator[ReachingDaemon]:
    """Let the Docker daemon connect to the push address of this machine while the block runs.

    Args:
        environment: the process's environment, which names the daemon.
        push_address: address of the open tunnel.
        digest: digest of the preflight's image, which is in the registry.
        say: prints a line about the relay, if one is needed.
        lost: is called if the relay ends before the block does.
        recovered: returns whether a connection through the tunnel has failed, after the tunnel works again; False at
            once if none has failed.
        where: the registry, whose settings errors name; None if there is none.

    Raises:
        DaemonError: the daemon does not respond.
        DaemonReachError: the daemon cannot connect to the push address, not even through a relay.
        PodmanVersionError: the daemon is a Podman that is too old.
        PodmanHttpsError: the daemon is Podman, and requires HTTPS at the push address.
        ClusterError: the tunnel does not work again.
    """
    host, port = chosen_daemon(environment) or usual_daemon(), int(push_address.rpartition(":")[2])
    reference = f"{push_address}/{PROBE_REPOSITORY}@{digest}"
    failed = partial(DaemonReachError, host=host, push_address=push_address, where=where)
    try:
        async with _client(environment, host) as (client, near):
            podman = await asyncio.to_thread(podman_version, client)
            if podman and unsupported("Podman", podman):
                raise PodmanVersionError(host=host, version=podman)
            refuse = partial(podman_refusal if podman else _refusal, client, host, reference)
            info = await asyncio.to_thread(client.info)
            reports = _CONTAINERD_STORE not in (info.get("DriverStatus") or ())
            daemon = ReachingDaemon(partial(remove_local_tag, client, host), reports)
            refusal = await _last_refusal(refuse, recovered)
            if refusal is None:
                yield daemon
                return
            say(f"the Docker daemon has its own loopback; a relay there forwards {push_address} to this machine")
            async with open_relay(client, near, environment, port, lambda error: lost(failed(reason=str(error)))):
                if relayed := await _last_refusal(refuse, recovered):
                    raise failed(reason=f"{refusal}; through a relay: {relayed}")
                yield daemon
    except (DockerException, requests.RequestException, OSError) as error:
        raise failed(reason=last_words(str(error))) from error


async def daemon_version(environment: Mapping[str, str]) -> tuple[str, str]:
    """Return the daemon's program, "Docker" or "Podman", and its version.

    Args:
        environment: the process's environment, which names the daemon.

    Raises:
        DaemonError: the daemon does not respond.
    """
    async with _client(environment, chosen_daemon(environment) or usual_daemon()) as (client, _):
        version = str((await asyncio.to_thread(client.version))["Version"])
        return "Podman" if await asyncio.to_thread(podman_version, client) else "Docker", version


@asynccontextmanager
async def _client(environment: Mapping[str, str], host: str) -> AsyncIterator[tuple[docker.DockerClient, str]]:
    """Open a client of the daemon, and yield it with the daemon's address, a local socket instead of ssh.

    Raises:
        DaemonError: the daemon does not respond.
    """
    async with AsyncExitStack() as stack:
        try:
            near = await stack.enter_async_context(near_socket(host)) if host.startswith("ssh://") else host
            opened = await asyncio.to_thread(
                docker.DockerClient.from_env,
                environment={**environment, "DOCKER_HOST": near},
                timeout=DAEMON_SECONDS,
            )
            client = stack.enter_context(closing(opened))
        except (DockerException, requests.RequestException, OSError) as error:
            raise DaemonError(host=host, reason=last_words(str(error))) from error
        yield client, near


async def _last_refusal(refuse: Callable[[], str | None], recovered: Callable[[], Awaitable[bool]]) -> str | None:
    """Return why the daemon cannot look up an image, with retries after tunnel failures; None if it can."""
    for _ in range(DAEMON_TRIES):
        refusal = await asyncio.to_thread(refuse)
        if refusal is None or not await recovered():
            return refusal
    return refusal


def _refusal(client: docker.DockerClient, _: str, reference: str) -> str | None:
    """Return why Docker cannot look up an image in its registry; None if it can."""
    try:
        client.images.get_registry_data(reference, auth_config={})  # without a credential helper
    except DockerException as error:
        return str(getattr(error, "explanation", None) or error)
    return None
