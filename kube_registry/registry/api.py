"""Client of the registry's own API, for blobs and manifests, over HTTP through a tunnel.

Source: OCI distribution specification 1.1, end-2 to end-10.
"""

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import aiohttp
from yarl import URL

from kube_registry.errors import KubeRegistryError, Where
from kube_registry.kube.retries import TRANSIENT, answer_lost, retried
from kube_registry.limits import REGISTRY_SECONDS
from kube_registry.registry.errors import RegistryError
from kube_registry.text import one_line

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"

ANY_MANIFEST = (
    f"{MANIFEST}, application/vnd.oci.image.index.v1+json, "
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json"
)
"""Media types to accept for images that others have pushed: Docker has its own."""


@dataclass(frozen=True)
class RegistryClient:
    """A client of the registry at one address; `open_registry` creates and closes it.

    Any method may raise a RegistryError with the registry's message. Reads with transient failures are retried
    (retries.py).
    """

    http: aiohttp.ClientSession
    where: Where

    async def put_image(self, repository: str, tag: str, config: bytes, *layers: bytes) -> str:
        """Store an image with a tag.

        Returns:
            The manifest's digest.
        """
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, **await self.put_blob(repository, config)},
            "layers": [{"mediaType": LAYER, **await self.put_blob(repository, layer)} for layer in layers],
        }
        body = json.dumps(manifest).encode()
        await self._ask("PUT", f"/v2/{repository}/manifests/{tag}", data=body, headers={"Content-Type": MANIFEST})
        return digest_of(body)

    async def put_blob(self, repository: str, data: bytes) -> dict[str, str | int]:
        """Store a blob; return its digest and size as in a manifest."""
        digest = digest_of(data)
        upload = await self.begin_upload(repository)
        await self._ask("PUT", upload.update_query(digest=digest), data=data)
        return {"digest": digest, "size": len(data)}

    async def begin_upload(self, repository: str) -> URL:
        """Start the upload of a blob, and return its URL."""
        begun = await self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        return begun.url.join(URL(begun.headers["Location"], encoded=True))

    async def give_up_upload(self, upload: URL) -> None:
        """Cancel an upload."""
        await self._ask("DELETE", upload)

    async def tagged(self, repository: str, tag: str) -> str | None:
        """Return the digest of a tag's manifest; None if there is no such tag."""
        answer = await self._find("HEAD", f"/v2/{repository}/manifests/{tag}")
        return answer.headers.get("Docker-Content-Digest") if answer else None

    async def repositories(self) -> list[str]:
        """Return the names of all repositories."""
        return await self._all("/v2/_catalog", "repositories")

    async def tags(self, repository: str) -> list[str]:
        """Return the tags of a repository; none if there is no such repository."""
        return await self._all(f"/v2/{repository}/tags/list", "tags")

    async def manifest(self, repository: str, reference: str) -> bytes | None:
        """Return a manifest or index by tag or digest; None if there is none."""
        answer = await self._find("GET", f"/v2/{repository}/manifests/{reference}")
        return await answer.read() if answer else None

    async def blob(self, repository: str, digest: str) -> bytes | None:
        """Return the bytes of a small blob; None if there is none."""
        answer = await self._find("GET", f"/v2/{repository}/blobs/{digest}")
        return await answer.read() if answer else None

    async def blob_length(self, repository: str, digest: str) -> int | None:
        """Return the size of a blob in bytes; None if there is no such blob."""
        path = f"/v2/{repository}/blobs/{digest}"
        answer = await self._find("HEAD", path)
        if answer and "Content-Length" not in answer.headers:  # this does not mean 0 bytes
            raise RegistryError(where=self.where, request=f"HEAD {path}", reason="the response has no Content-Length")
        return int(answer.headers["Content-Length"]) if answer else None

    async def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest or a tag; idempotent, because another process may have deleted it."""
        await self._ask("DELETE", f"/v2/{repository}/manifests/{digest}", allowed=(HTTPStatus.NOT_FOUND,))

    async def _all(self, path: str, key: str) -> list[str]:
        """Return all entries of a list, which the registry divides into pages (end-8b)."""
        found, page = list[str](), path
        while answer := await self._find("GET", page):
            found += json.loads(await answer.read()).get(key) or []
            if "next" not in answer.links:
                break
            page = URL(answer.links["next"]["url"]).raw_path_qs
        return found

    async def _find(self, method: str, path: str) -> aiohttp.ClientResponse | None:
        """Return the response, or None for status 404; retry transient failures."""
        headers, allowed = {"Accept": ANY_MANIFEST}, (HTTPStatus.NOT_FOUND,)
        answer = await retried(partial(self._ask, method, path, headers=headers, allowed=allowed), _patience, ends=None)
        return answer if answer.status != HTTPStatus.NOT_FOUND else None

    async def _ask(
        self,
        method: str,
        url: str | URL,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        allowed: Sequence[HTTPStatus] = (),
    ) -> aiohttp.ClientResponse:
        request = f"{method} {URL(url).path}"
        try:
            answer = await self.http.request(method, url, data=data, headers=headers)
            body = await answer.read()  # to the end, which returns the connection to the pool
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RegistryError(where=self.where, request=request, reason=str(error) or "no response") from error
        if not (answer.ok or answer.status in allowed):
            reason = one_line(f"{answer.status} {answer.reason} {body.decode(errors='replace')}")
            raise RegistryError(where=self.where, request=request, reason=reason, status=answer.status)
        return answer


def _patience(error: KubeRegistryError, bound: float) -> float:
    """Return for how many seconds to retry a failed read; a 500 comes from a damaged file, which is not transient."""
    if not isinstance(error, RegistryError):
        return 0.0
    transient = answer_lost(error) if error.status is None else error.status in TRANSIENT
    return bound if transient else 0.0


def digest_of(data: bytes) -> str:
    """Return the digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@asynccontextmanager
async def open_registry(address: str, where: Where) -> AsyncIterator[RegistryClient]:
    """Open a client of the registry, and close it at the end.

    Args:
        address: host and port of a tunnel.
        where: the registry, for errors.
    """
    timeout = aiohttp.ClientTimeout(total=REGISTRY_SECONDS)
    async with aiohttp.ClientSession(f"http://{address}", timeout=timeout) as http:
        yield RegistryClient(http, where)
