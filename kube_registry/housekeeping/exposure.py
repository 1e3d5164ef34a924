"""Whether nodes find the registry where references say: its Service and, if there is one, its node proxy."""

from dataclasses import dataclass
from http import HTTPStatus

from kube_registry.errors import KubeRegistryError, on_stack
from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.names import REGISTRY
from kube_registry.registry.readiness import wait_proxy_ready
from kube_registry.spec.settings import Settings

PROXY_SECONDS = 1.0
"""How long the node proxy may take to be as it should be; what is looked at is to be well now."""


@dataclass(frozen=True)
class Line:
    """What one check has found.

    Args:
        subject: what was looked at.
        well: whether all is as it should be; None if nobody could look.
        words: what there is, or what is wrong and what mends it.
    """

    subject: str
    well: bool | None
    words: str


async def exposed(kube: KubeClient, settings: Settings) -> list[Line]:
    """What is wrong with the Service and the node proxy; one line that is well if nothing is."""
    found = [line for line in (await _service(kube, settings), await _node_proxy(kube, settings)) if line]
    return found or [Line("read door", well=True, words=f"node port {settings.node_port}")]


async def _service(kube: KubeClient, settings: Settings) -> Line | None:
    service = await kube.find(f"/api/v1/namespaces/{kube.where.namespace}/services/{REGISTRY}")
    ports = [port.get("nodePort") for port in service["spec"]["ports"]] if service else []
    if settings.node_port in ports:
        return None
    problem = f"no Service {REGISTRY} has node port {settings.node_port} in {kube.where}. Fix: `pulumi up`"
    return Line("read door", well=False, words=on_stack(problem, kube.where.stack))


async def _node_proxy(kube: KubeClient, settings: Settings) -> Line | None:
    if not settings.has_node_proxy:
        return None
    try:
        await wait_proxy_ready(kube, settings.proxy_namespace, seconds=PROXY_SECONDS)
    except KubeRegistryError as error:
        return Line("node proxy", well=False, words=with_fix(error))
    return None


def with_fix(error: KubeRegistryError) -> str:
    """The words of an error; an object of the stack that is gone is made by its next update."""
    if isinstance(error, RefusedError) and error.status == HTTPStatus.NOT_FOUND:
        return on_stack(f"{error}. Fix: `pulumi up`", error.where.stack)
    return str(error)
