"""Whether there is a node proxy to wait for. tests/e2e waits for real ones."""

from pathlib import Path

import pytest
from aiohttp import web

from kube_registry.kube.client import open_client
from kube_registry.registry.readiness import has_node_proxy
from tests.fakes.connecting import kubeconfig, settings
from tests.registry.test_volume import served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

FORBIDDEN = (
    'daemonsets.apps "node-proxy" is forbidden: User "eve" cannot get resource "daemonsets" in API group "apps" in the '
    'namespace "elsewhere"'
)


@pytest.mark.parametrize(("status", "there"), [(200, True), (404, False), (403, False)])
async def test_a_node_proxy_that_may_not_be_seen_is_none(tmp_path: Path, status: int, *, there: bool) -> None:
    asked = list[str]()

    async def api(request: web.BaseRequest) -> web.Response:
        asked.append(request.path)
        return web.json_response({"kind": "Status", "message": FORBIDDEN}, status=status)

    async with served(api) as server:
        file = kubeconfig(tmp_path / "config", {"server": f"http://{server}"}, {})
        async with open_client(settings(file)) as kube:
            assert await has_node_proxy(kube, "elsewhere") is there
    assert asked == ["/apis/apps/v1/namespaces/elsewhere/daemonsets/node-proxy"]
