"""Lists of a registry that come in pages."""

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kube_registry.errors import HERE
from kube_registry.registry.api import open_registry

pytestmark = pytest.mark.anyio

TAGS = ["a", "b", "c", "d", "e"]


async def listing(request: web.Request) -> web.Response:
    """Two tags a page, as end-8b of the specification has it: the next page is a relative URL."""
    last = request.query.get("last")
    rest = TAGS[TAGS.index(last) + 1 :] if last else TAGS
    page = rest[:2]
    more = {"Link": f'</v2/team/app/tags/list?last={page[-1]}&n=2>; rel="next"'} if len(rest) > 2 else {}
    return web.json_response({"name": "team/app", "tags": page}, headers=more)


async def without_tags(_: web.Request) -> web.Response:
    return web.json_response({"name": "empty", "tags": None})


async def test_all_pages_are_read_and_a_repository_without_tags_has_none() -> None:
    app = web.Application()
    app.router.add_get("/v2/team/app/tags/list", listing)
    app.router.add_get("/v2/empty/tags/list", without_tags)
    async with (
        TestServer(app) as server,
        open_registry(f"{server.host}:{server.port}", HERE) as registry,
    ):
        assert await registry.tags("team/app") == TAGS
        assert await registry.tags("empty") == []
        assert await registry.tags("not/there") == []
