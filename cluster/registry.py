"""The registry's own API, as far as it is used here: blobs and manifests over HTTP through a door.

Source: OCI distribution specification 1.1, end-2 to end-10.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus

import aiohttp
from yarl import URL

from stack.errors import RegistryError, Where

ANSWER_SECONDS = 10.0
"""How long one small question may take."""

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


@dataclass(frozen=True)
class RegistryClient:
    """A door of the registry; `open_registry` makes it and closes it."""

    http: aiohttp.ClientSession

    async def put_image(self, repository: str, tag: str, config: bytes, layer: bytes) -> str:
        """Store an image of one layer and let a tag name it.

        Returns:
            The manifest's digest.
        """
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": await self._put_blob(repository, CONFIG, config),
            "layers": [await self._put_blob(repository, LAYER, layer)],
        }
        body = json.dumps(manifest).encode()
        async with self.http.put(
            f"/v2/{repository}/manifests/{tag}", data=body, headers={"Content-Type": MANIFEST}
        ) as stored:
            stored.raise_for_status()
        return digest_of(body)

    async def tagged(self, repository: str, tag: str) -> str | None:
        """Digest of what a tag names, or None."""
        question = self.http.head(f"/v2/{repository}/manifests/{tag}", headers={"Accept": MANIFEST})
        async with question as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                return None
            answer.raise_for_status()
            return answer.headers["Docker-Content-Digest"]

    async def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest."""
        async with self.http.delete(f"/v2/{repository}/manifests/{digest}") as answer:
            answer.raise_for_status()

    async def _put_blob(self, repository: str, media_type: str, data: bytes) -> dict[str, str | int]:
        digest = digest_of(data)
        async with self.http.post(f"/v2/{repository}/blobs/uploads/") as begun:
            begun.raise_for_status()
            place = begun.url.join(URL(begun.headers["Location"], encoded=True))
        async with self.http.put(place.update_query(digest=digest), data=data) as stored:
            stored.raise_for_status()
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


def digest_of(data: bytes) -> str:
    """The name of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@asynccontextmanager
async def open_registry(address: str, where: Where) -> AsyncIterator[RegistryClient]:
    """A client of a door.

    Args:
        address: host and port.
        where: named in errors.

    Raises:
        RegistryError: the registry did not do what it was asked.
    """
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(f"http://{address}", timeout=timeout) as http:
            yield RegistryClient(http)
    except aiohttp.ClientResponseError as error:
        request = f"{error.request_info.method} {error.request_info.url.path}"
        raise RegistryError(where=where, request=request, reason=f"{error.status} {error.message}") from error
    except (aiohttp.ClientError, TimeoutError) as error:
        raise RegistryError(
            where=where, request=f"what {address} was asked", reason=str(error) or "no answer"
        ) from error
