"""Waiting until the node proxy listens on every node that pulls, with the reason in words where it does not."""

import time
from dataclasses import replace

from kube_registry.kube.client import KubeClient
from kube_registry.kube.nodes import pulling_nodes
from kube_registry.kube.pods import Object, is_ready, trouble, warning
from kube_registry.names import NODE_PROXY, selector
from kube_registry.registry.wait_ready import READY, Standing, watch

_FORM = "deprecated.daemonset.template.generation"
_FORM_OF_POD = "pod-template-generation"
"""Annotation of a DaemonSet and label of its pods that number its forms (kubernetes pkg/controller/daemon/util)."""

_MOST_NAMED = 3


async def wait_proxy_ready(kube: KubeClient, namespace: str, *, seconds: float) -> None:
    """Return once each node that pulls has a node proxy in its DaemonSet's newest form that listens.

    Nodes that are not Ready are not waited for: they could hold an update up for ever.

    Args:
        kube: client of the registry's cluster.
        namespace: the node proxy's.
        seconds: how long to wait.

    Raises:
        NotReadyError: some node had none by then, or something has kept it from that for longer than is usual.
    """
    kube = kube.until(time.monotonic() + seconds)

    async def look() -> Standing:
        daemon_set = await kube.get(f"/apis/apps/v1/namespaces/{namespace}/daemonsets/{NODE_PROXY}")
        newest = daemon_set["metadata"]["annotations"][_FORM]
        listed = await kube.get(f"/api/v1/namespaces/{namespace}/pods", labelSelector=selector(NODE_PROXY))
        pods = [pod for pod in listed["items"] if pod["metadata"]["labels"].get(_FORM_OF_POD) == newest]
        nodes = {node.name for node in await pulling_nodes(kube)}
        missing = sorted(nodes - {pod["spec"].get("nodeName") for pod in pods if is_ready(pod)})
        return await _standing(kube, daemon_set, pods, missing) if missing else READY

    await watch(look, where=replace(kube.where, namespace=namespace), what="node proxy", seconds=seconds)


async def _standing(kube: KubeClient, daemon_set: Object, pods: list[Object], missing: list[str]) -> Standing:
    """What keeps these nodes from having one: their pods tell, or without any the DaemonSet."""
    found = trouble(pods)
    if not pods:
        found = await warning(kube, daemon_set)
    more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
    place = f"none listens on {', '.join(missing[:_MOST_NAMED])}{more}"
    return Standing(f"{place}: {found}" if found else place, wrong=found is not None)
