"""Long lists of the API server, a page at a time, so that no more than a page is held."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.kube.pods import Object

PAGE = 500
"""Objects of one answer, as kubectl asks for them: ten thousand pods in one would be a hundred megabytes."""

_STARTS = 3
"""How often a list is begun: the API server keeps an old state for a few minutes only."""


async def pages(kube: KubeClient, path: str, *, limit: int = PAGE, **query: str) -> AsyncIterator[list[Object]]:
    """Yield the objects of a collection in pages; an object may come twice if the list has to be begun again.

    Args:
        kube: client of the cluster.
        path: the collection's.
        limit: objects of one page.
        query: field and label selectors.

    Raises:
        UnreachableError: as for `KubeClient.get`.
        RefusedError: the collection may not be listed.
    """
    following: dict[str, str] = {}
    starts = 1
    while True:
        try:
            page = await kube.get(path, limit=str(limit), **query, **following)
        except RefusedError as error:
            if error.status != HTTPStatus.GONE or starts == _STARTS:
                raise
            following, starts = {}, starts + 1
            continue
        yield page.get("items") or []
        token = page.get("metadata", {}).get("continue")
        if not token:
            return
        following = {"continue": token}
