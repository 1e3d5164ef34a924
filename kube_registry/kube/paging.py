"""Read long lists from the API server page by page, so that only one page is in memory."""

from collections.abc import AsyncIterator
from http import HTTPStatus

from kube_registry.kube.client import KubeClient
from kube_registry.kube.errors import RefusedError
from kube_registry.kube.pods import Object

PAGE = 500
"""Objects in one page, as in kubectl: ten thousand pods in one response would be a hundred megabytes."""

_STARTS = 3
"""How often a list is started: the API server keeps the state of a list for a few minutes only."""


async def pages(kube: KubeClient, path: str, *, limit: int = PAGE, **query: str) -> AsyncIterator[list[Object]]:
    """Yield the objects of a collection in pages; an object may appear twice if the list has to be restarted.

    Args:
        kube: client of the cluster.
        path: path of the collection.
        limit: objects in one page.
        query: field and label selectors.

    Raises:
        UnreachableError: as for `KubeClient.get`.
        RefusedError: the API server refused to list the collection.
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
