"""A fake API server on loopback that lists objects in pages, as far as uses are read from it."""

import base64
import gzip
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.fakes.fake_api import NAMESPACE, Refusal

PAGE = 2
"""Objects of a page, whatever is asked for."""

CUSTOM = {"argoproj.io": {"v1alpha1": {"workflows": "Workflow", "cronworkflows": "CronWorkflow"}}}


@dataclass
class FakeCluster:
    """What there is.

    Attributes:
        server: its URL.
        objects: API path of a collection -> its objects.
        refusals: API path -> what every request for it is refused with.
        groups: API group -> version -> resource -> kind; all may be listed.
        annotations: of the registry's Namespace.
        broken: API paths whose requests are broken off.
        expired: API paths whose next `continue` is too old.
        starting: how often it still answers that it is not ready; it lists no API groups until then.
        restarts: what `starting` is once it has listed its API groups: another has taken its place.
        asked: the paths that were asked for.
    """

    server: str = ""
    objects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)
    groups: Mapping[str, Mapping[str, Mapping[str, str]]] = field(default_factory=lambda: CUSTOM)
    annotations: dict[str, str] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    expired: set[str] = field(default_factory=set)
    starting: int = 0
    restarts: int = 0
    asked: list[str] = field(default_factory=list)

    def add(self, path: str, *objects: dict[str, Any]) -> None:
        """Put objects into a collection."""
        self.objects.setdefault(path, []).extend(objects)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        path = request.path
        self.asked.append(path)
        if path in self.broken:
            assert request.transport
            request.transport.close()
        found = self._resources(path)
        if status := self.refusals.get(path) or (found and self.starting and 404):
            return Refusal(status, "no").response()
        if path == f"/api/v1/namespaces/{NAMESPACE}":
            return web.json_response({"metadata": {"name": NAMESPACE, "annotations": self.annotations}})
        if path == "/readyz":
            self.starting = max(0, (was := self.starting) - 1)
            return Refusal(500, "not ready").response() if was else web.Response(text="ok")
        if path == "/apis":
            names = () if self.starting else (*self.groups, "apps", "metrics.k8s.io")
            self.starting, self.restarts = self.starting + self.restarts, 0
            return web.json_response({"groups": [self._group(name) for name in names]})
        if found:
            return web.json_response({"resources": found})
        return self._page(path, int(request.query.get("continue", 0)))

    def _page(self, path: str, start: int) -> web.Response:
        if start and path in self.expired:
            self.expired.remove(path)
            return Refusal(410, "the provided continue parameter is too old").response()
        items, end = self.objects.get(path, []), start + PAGE
        metadata = {"continue": str(end)} if end < len(items) else {}
        return web.json_response({"metadata": metadata, "items": items[start:end]})

    def _group(self, name: str) -> dict[str, Any]:
        versions = self.groups.get(name, {"v1": {}})
        return {"name": name, "versions": [{"groupVersion": f"{name}/{version}"} for version in versions]}

    def _resources(self, path: str) -> list[dict[str, Any]]:
        for name, versions in self.groups.items():
            for version, resources in versions.items():
                if path == f"/apis/{name}/{version}":
                    listed = [{"name": key, "kind": kind, "verbs": ["get", "list"]} for key, kind in resources.items()]
                    return [*listed, {"name": "workflows/status", "kind": "Workflow", "verbs": ["get"]}]
        return []


@asynccontextmanager
async def run_fake_cluster() -> AsyncIterator[FakeCluster]:
    """A running one."""
    cluster, app = FakeCluster(), web.Application()
    app.add_routes([web.get("/{path:.*}", cluster.answer)])
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        cluster.server = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield cluster
    finally:
        await runner.cleanup()


def made(name: str, owner: str | None = None, namespace: str = "default", **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """An object as the API server lists it; its uid is its name."""
    owners = [{"uid": owner, "controller": True}] if owner else []
    metadata = {"uid": name, "name": name, "namespace": namespace, "ownerReferences": owners}
    return {"metadata": metadata | more.pop("metadata", {}), **more}


def pod_spec(image: str, **more: object) -> dict[str, Any]:
    return {"containers": [{"image": image}], **more}


def helm_release(text: str, *, encoded: bool) -> dict[str, Any]:
    """What Helm keeps of a release, in a Secret if `encoded`, in a ConfigMap if not."""
    release = base64.b64encode(gzip.compress(json.dumps({"manifest": text}).encode()))
    data = base64.b64encode(release) if encoded else release
    return made("sh.helm.release.v1.web.v1", data={"release": data.decode()}, metadata={"labels": {"owner": "helm"}})
