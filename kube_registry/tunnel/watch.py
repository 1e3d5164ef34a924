"""The connections of a tunnel, looked after from outside: one that would hang for ever is cut.

No pings go through a connection that carries data, so a dead node or API server is noticed otherwise: where nothing has
moved, the API server is asked whether the pod is still there (ADR 0008).
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
"""How often connections that carry nothing are looked after."""

STRIKES = 2
"""How many looks in a row must find the pod gone or the API server silent before a connection is cut."""


@dataclass(eq=False)
class Connection:
    """One accepted connection and what has become of it.

    Args:
        local: the local program, with the task that serves it.
        traffic: what it has carried.
        far: the pod, once it is reached.
        strikes: how many looks in a row have found a cause to cut it.
        cause: why it was cut, or would be.
    """

    local: LocalEnd
    traffic: Traffic = field(default_factory=Traffic)
    far: PodConnection | None = None
    strikes: int = 0
    cause: KubeRegistryError | None = None


async def watch(kube: KubeClient, push_port: int, connections: Sequence[Connection]) -> None:
    """Until this is cancelled, cut connections that would hang for ever.

    Args:
        kube: client of the registry's cluster.
        push_port: named in errors.
        connections: those that are open at any time.
    """
    while True:
        before = {each: replace(each.traffic) for each in connections if each.strikes < STRIKES}
        await asyncio.sleep(WATCH_SECONDS)
        still = {each: each.far.pod for each in connections if each.far and each.traffic == before.get(each)}
        if still:
            await _look_after(kube, push_port, still)


async def _look_after(kube: KubeClient, push_port: int, still: Mapping[Connection, str]) -> None:
    """Count against each connection what would keep it still for ever; cut it when that is no passing thing.

    Args:
        kube: client of the registry's cluster.
        push_port: named in errors.
        still: the connections -> their pods.
    """
    causes: dict[str, KubeRegistryError]
    try:
        pods = await registry_pods(kube.once)
    except UnreachableError as error:
        causes = dict.fromkeys(still.values(), error)
    except KubeRegistryError:
        return
    else:
        gone, reason = (pod for pod in still.values() if is_lost(pod, pods)), explain(pods)
        causes = {pod: PodGoneError(where=kube.where, push_port=push_port, pod=pod, reason=reason) for pod in gone}
    for connection, pod in still.items():
        connection.cause = causes.get(pod)
        connection.strikes = connection.strikes + 1 if connection.cause else 0
        if connection.strikes >= STRIKES:
            connection.local.task.cancel()
