"""The registry's own API, as far as it is used here: blobs and manifests over HTTP through a door.

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
from kube_registry.kube.retries import PASSING, answer_lost, retried
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
"""What is accepted of an image that somebody else has pushed: Docker names its own media types."""


@dataclass(frozen=True)
class RegistryClient:
    """A door of the registry; `open_registry` makes it and closes it.

    All that is asked may end in a RegistryError, with the registry's own words. A read that fails in a way that passes
    by itself is sent again (retries.py).
    """

    http: aiohttp.ClientSession
    where: Where

    async def put_image(self, repository: str, tag: str, config: bytes, *layers: bytes) -> str:
        """Store an image and let a tag name it.

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
        """Store some bytes; their digest and size, as a manifest names them."""
        digest = digest_of(data)
        place = await self.begin_upload(repository)
        await self._ask("PUT", place.update_query(digest=digest), data=data)
        return {"digest": digest, "size": len(data)}

    async def begin_upload(self, repository: str) -> URL:
        """Where the bytes of a blob are to be put."""
        begun = await self._ask("POST", f"/v2/{repository}/blobs/uploads/")
        return begun.url.join(URL(begun.headers["Location"], encoded=True))

    async def give_up_upload(self, place: URL) -> None:
        """Let the registry forget an upload that was begun."""
        await self._ask("DELETE", place)

    async def tagged(self, repository: str, tag: str) -> str | None:
        """Digest of what a tag names, or None."""
        answer = await self._find("HEAD", f"/v2/{repository}/manifests/{tag}")
        return answer.headers.get("Docker-Content-Digest") if answer else None

    async def manifest(self, repository: str, reference: str) -> bytes | None:
        """A manifest or index by tag or digest, or None."""
        answer = await self._find("GET", f"/v2/{repository}/manifests/{reference}")
        return await answer.read() if answer else None

    async def blob(self, repository: str, digest: str) -> bytes | None:
        """The bytes of a small blob, or None."""
        answer = await self._find("GET", f"/v2/{repository}/blobs/{digest}")
        return await answer.read() if answer else None

    async def blob_length(self, repository: str, digest: str) -> int | None:
        """How many bytes of a blob there are, or None if it is not there."""
        path = f"/v2/{repository}/blobs/{digest}"
        answer = await self._find("HEAD", path)
        if answer and "Content-Length" not in answer.headers:  # which is not to be taken for 0 bytes
            raise RegistryError(where=self.where, request=f"HEAD {path}", reason="it does not say the length")
        return int(answer.headers["Content-Length"]) if answer else None

    async def delete(self, repository: str, digest: str) -> None:
        """Delete a manifest or a tag, if it is there: somebody else may have been faster."""
        await self._ask("DELETE", f"/v2/{repository}/manifests/{digest}", fine=(HTTPStatus.NOT_FOUND,))

    async def _find(self, method: str, path: str) -> aiohttp.ClientResponse | None:
        """An answer, or None if the registry says that there is no such thing; asked again after a hiccup."""
        headers, fine = {"Accept": ANY_MANIFEST}, (HTTPStatus.NOT_FOUND,)
        answer = await retried(partial(self._ask, method, path, headers=headers, fine=fine), _patience, ends=None)
        return answer if answer.status != HTTPStatus.NOT_FOUND else None

    async def _ask(
        self,
        method: str,
        url: str | URL,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        fine: Sequence[HTTPStatus] = (),
    ) -> aiohttp.ClientResponse:
        asked = f"{method} {URL(url).path}"
        try:
            answer = await self.http.request(method, url, data=data, headers=headers)
            body = await answer.read()  # to its end, which gives the connection back
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RegistryError(where=self.where, request=asked, reason=str(error) or "no answer") from error
        if not (answer.ok or answer.status in fine):
            reason = one_line(f"{answer.status} {answer.reason} {body.decode(errors='replace')}")
            raise RegistryError(where=self.where, request=asked, reason=reason, status=answer.status)
        return answer


def _patience(error: KubeRegistryError, bound: float) -> float:
    """Return for how many seconds a question is asked again that failed so; a 500 is a damaged file, which lasts."""
    if not isinstance(error, RegistryError):
        return 0.0
    passes = answer_lost(error) if error.status is None else error.status in PASSING
    return bound if passes else 0.0


def digest_of(data: bytes) -> str:
    """The name of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@asynccontextmanager
async def open_registry(address: str, where: Where) -> AsyncIterator[RegistryClient]:
    """A client of a door.

    Args:
        address: host and port.
        where: named in errors.
    """
    timeout = aiohttp.ClientTimeout(total=REGISTRY_SECONDS)
    async with aiohttp.ClientSession(f"http://{address}", timeout=timeout) as http:
        yield RegistryClient(http, where)
