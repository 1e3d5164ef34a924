"""Find out whether kube-proxy serves node ports on a node's loopback, even while a node proxy listens there.

For the test, the registry gets one more Service, whose node port the cluster chooses, so that no node proxy listens on
it. A probe pod on each node pulls an image from there that does not exist. Any answer of the registry proves that
kube-proxy serves the port; nothing has to be pushed.
"""

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Final

from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import Node
from kube_registry.kube.pods import Object
from kube_registry.limits import PREFLIGHT_SECONDS
from kube_registry.names import PROBE_REPOSITORY, READ_PORT, REGISTRY, labels, selector
from kube_registry.preflight.node_tests import LEFT_SECONDS, delete_left_probes
from kube_registry.preflight.preflight import settled
from kube_registry.preflight.probe_pod import USE_NODE_PROXY
from kube_registry.spec.settings import RegistrySettings

TEST: Final = "loopback-test"
"""Component label of the Service of a test, and the start of its name."""

_NO_TAG = "none"
"""A tag that the probe's repository never has."""

Served = Mapping[Node, bool | None]
"""Node -> whether kube-proxy serves node ports on its loopback; None if it gave no answer."""


async def node_ports_on_loopback(
    kube: KubeClient, settings: RegistrySettings, nodes: Sequence[Node], *, seconds: float = PREFLIGHT_SECONDS
) -> Served:
    """Return whether each node's kube-proxy serves node ports on loopback. The registry must be ready.

    Args:
        kube: client of the registry's cluster.
        settings: the settings of the registry.
        nodes: the nodes to test.
        seconds: how long all nodes together may take.

    Raises:
        ForbiddenError: the permission to create or delete Services or pods is missing.
        ClusterError: the API server does not respond.
    """
    ends = time.monotonic() + seconds
    await _delete_left(kube)
    name = f"{TEST}-{token_hex(4)}"
    path = kube.path("services", name)
    await kube.apply(path, _service(name))
    try:
        port = (await kube.get(path))["spec"]["ports"][0]["nodePort"]
        image = settings.model_copy(update={"node_port": port}).endpoints.tagged_reference(PROBE_REPOSITORY, _NO_TAG)
        verdicts = await settled(kube, nodes, image, ends)
    finally:
        await kube.delete(path)
    return {node: None if each.later else each.fix != USE_NODE_PROXY for node, each in verdicts.items()}


def _service(name: str) -> Object:
    port = {"port": READ_PORT, "targetPort": "read"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "labels": labels(TEST)},
        "spec": {"type": "NodePort", "selector": labels(REGISTRY), "ports": [port]},
    }


async def _delete_left(kube: KubeClient) -> None:
    """Delete the probe pods and Services that interrupted tests have left."""
    await delete_left_probes(kube)
    latest = datetime.now(UTC) - timedelta(seconds=LEFT_SECONDS)
    for service in (await kube.get(kube.path("services"), labelSelector=selector(TEST)))["items"]:
        metadata = service["metadata"]
        if datetime.fromisoformat(metadata["creationTimestamp"]) < latest:
            await kube.delete(kube.path("services", metadata["name"]))
