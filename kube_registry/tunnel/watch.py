"""Watch the connections of a tunnel, and close those that would otherwise hang.

No pings are sent on a connection that carries data, so a dead node or API server is detected in another way: if a
connection is idle, this module asks the API server whether its pod still exists (ADR 0008).
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from kube_registry.errors import KubeRegistryError
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import UnreachableError
from kube_registry.kube.pods import explain, is_lost, registry_pods
from kube_registry.tunnel.connect import PodConnection
from kube_registry.tunnel.errors import PodGoneError
from kube_registry.tunnel.forward import Traffic
from kube_registry.tunnel.local_end import LocalEnd

WATCH_SECONDS = 10.0
"""How often idle connections are checked."""

STRIKES = 2
"""How many checks in a row must find the pod lost or the API server unreachable before a connection is closed."""


@dataclass(eq=False)
class Connection:
    """One accepted connection and its state.

    Args:
        local: the local program, with the task that serves it.
        traffic: bytes forwarded so far.
        far: the connection to the pod, once it is open.
        strikes: how many checks in a row have found a cause to close it.
        cause: why it was or will be closed.
    """

    local: LocalEnd
    traffic: Traffic = field(default_factory=Traffic)
    far: PodConnection | None = None
    strikes: int = 0
    cause: KubeRegistryError | None = None


async def watch(kube: KubeClient, push_port: int, connections: Sequence[Connection]) -> None:
    """Close connections that would otherwise hang, until cancelled.

    Args:
        kube: client of the registry's cluster.
        push_port: the local port, for errors.
        connections: the open connections, kept up to date by the caller.
    """
    while True:
        before = {each: replace(each.traffic) for each in connections if each.strikes < STRIKES}
        await asyncio.sleep(WATCH_SECONDS)
        idle = {each: each.far.pod for each in connections if each.far and each.traffic == before.get(each)}
        if idle:
            await _check(kube, push_port, idle)


async def _check(kube: KubeClient, push_port: int, idle: Mapping[Connection, str]) -> None:
    """Count the failed checks of idle connections, and close those with STRIKES in a row.

    Args:
        kube: client of the registry's cluster.
        push_port: the local port, for errors.
        idle: the connections -> their pods.
    """
    causes: dict[str, KubeRegistryError]
    try:
        pods = await registry_pods(kube.once)
    except UnreachableError as error:
        causes = dict.fromkeys(idle.values(), error)
    except KubeRegistryError:
        return
    else:
        lost, reason = (pod for pod in idle.values() if is_lost(pod, pods)), explain(pods)
        causes = {pod: PodGoneError(where=kube.where, push_port=push_port, pod=pod, reason=reason) for pod in lost}
    for connection, pod in idle.items():
        connection.cause = causes.get(pod)
        connection.strikes = connection.strikes + 1 if connection.cause else 0
        if connection.strikes >= STRIKES:
            connection.local.task.cancel()
