"""The check of the shared volumes of a registry, which are found by their Deployments' annotation."""

from kube_registry.errors import KubeRegistryError
from kube_registry.housekeeping.node_checks import NOW_SECONDS, Finding, with_fix
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.errors import ForbiddenError
from kube_registry.kube.nodes import linux_nodes
from kube_registry.names import NFS_SERVER, OF_REGISTRY, selector
from kube_registry.preflight.proven_nodes import proof_key, recall
from kube_registry.registry.readiness import has_node_proxy, wait_node_proxy_ready, wait_ready
from kube_registry.registry.readiness_fixes import SHARED_PROXY, SHARED_SERVER
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import counted

_DEPLOYMENTS = "/apis/apps/v1/deployments"


async def shared_volumes(kube: KubeClient, settings: RegistrySettings) -> list[Finding]:
    """Check the NFS server of each shared volume, and how many nodes have mounted it.

    Args:
        kube: client of the registry's cluster.
        settings: settings of the registry.
    """
    servers = (await kube.get(_DEPLOYMENTS, labelSelector=selector(NFS_SERVER)))["items"]
    found = (each["metadata"] for each in servers)
    namespaces = {
        each["namespace"] for each in found if each.get("annotations", {}).get(OF_REGISTRY) == settings.namespace
    }
    if settings.shared_volume:
        namespaces.add(settings.shared_namespace)
    return [await _shared_volume(settings, namespace) for namespace in sorted(namespaces)]


async def _shared_volume(settings: RegistrySettings, namespace: str) -> Finding:
    subject, proxy = f"shared volume {namespace}", f"{namespace}-proxy"
    try:
        async with open_client(settings.model_copy(update={"namespace": namespace})) as kube:
            await wait_ready(kube, seconds=NOW_SECONDS, name=NFS_SERVER, what=SHARED_SERVER)
            if await has_node_proxy(kube, proxy):
                await wait_node_proxy_ready(kube, proxy, seconds=NOW_SECONDS, what=SHARED_PROXY)
            records, nodes = await recall(kube), await linux_nodes(kube)
    except KubeRegistryError as error:
        return Finding(subject, well=None if isinstance(error, ForbiddenError) else False, words=with_fix(error))
    mounted = sum(proof_key(node) in records.proven for node in nodes)
    words = f"its NFS server is ready; {counted(mounted, 'node')} mounted it in a test"
    return Finding(subject, well=True if mounted else None, words=words)
