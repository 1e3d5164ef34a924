"""What is said of an image whose parts are not all in the registry, told by a registry of a few lines."""

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import repeat

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from kube_registry.errors import HERE
from kube_registry.registry.api import ANY_MANIFEST, RegistryClient, digest_of, open_registry
from kube_registry.registry.errors import RegistryError
from kube_registry.registry.read_back import missing_content

pytestmark = pytest.mark.anyio

REPOSITORY = "team/app"
RESET = 599
"""In place of a status: the connection is reset."""


@dataclass
class Volume:
    """What a registry has, by path; a digest may answer with other bytes than its own."""

    answers: dict[str, bytes] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    says_length: bool = True
    hiccups: Iterator[int] = field(default_factory=lambda: iter(()))
    asked: list[tuple[str, str]] = field(default_factory=list)

    def put(self, kind: str, data: bytes) -> dict[str, str | int]:
        """Keep some bytes as `manifests` or `blobs`; their descriptor."""
        digest = digest_of(data)
        self.answers[path(kind, digest)] = data
        return {"digest": digest, "size": len(data)}

    def put_image(self, *layers: bytes, config: bytes = b"{}") -> str:
        manifest = {"config": self.put("blobs", config), "layers": [self.put("blobs", layer) for layer in layers]}
        return str(self.put("manifests", json.dumps(manifest).encode())["digest"])

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.method, request.path))
        if status := next(self.hiccups, None):
            return self._hiccup(request, status)
        if request.path in self.broken:
            return web.Response(status=503)
        if "/manifests/" in request.path and request.headers["Accept"] != ANY_MANIFEST:
            return web.Response(status=404)
        body = self.answers.get(request.path)
        if body is None:
            return web.Response(status=404)
        return web.Response(body=body, headers={"Content-Length": str(len(body))} if self.says_length else {})

    def _hiccup(self, request: web.Request, status: int) -> web.Response:
        if status == RESET:
            assert request.transport
            request.transport.abort()
        return web.Response(status=status)


def path(kind: str, digest: str) -> str:
    return f"/v2/{REPOSITORY}/{kind}/{digest}"


@pytest.fixture
def volume() -> Volume:
    return Volume()


@pytest.fixture
async def registry(volume: Volume) -> AsyncIterator[RegistryClient]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", volume.answer)
    async with TestServer(app) as server, open_registry(f"127.0.0.1:{server.port}", HERE) as client:
        yield client


async def test_nothing_is_missing_of_a_whole_image_and_no_layer_is_carried(
    volume: Volume, registry: RegistryClient
) -> None:
    digest = volume.put_image(b"one", b"two", b"two")
    assert await missing_content(registry, REPOSITORY, digest) == []
    layers = [path("blobs", digest_of(layer)) for layer in (b"one", b"two")]
    assert sorted(each for each in volume.asked if each[1] in layers) == sorted(("HEAD", layer) for layer in layers)


async def test_every_part_that_is_missing_is_named(volume: Volume, registry: RegistryClient) -> None:
    digest = volume.put_image(b"one", b"two", b"three", config=b"[]")
    del volume.answers[path("blobs", digest_of(b"one"))]
    del volume.answers[path("blobs", digest_of(b"[]"))]
    volume.answers[path("blobs", digest_of(b"three"))] = b""
    assert await missing_content(registry, REPOSITORY, digest) == [
        f"config {digest_of(b'[]')} is missing",
        f"layer {digest_of(b'one')} is missing",
        f"layer {digest_of(b'three')} has 0 of 5 bytes",
    ]


async def test_a_manifest_that_is_missing_or_another(volume: Volume, registry: RegistryClient) -> None:
    digest = volume.put_image(b"one")
    volume.answers[path("manifests", digest)] = b"{}"
    assert await missing_content(registry, REPOSITORY, digest) == [f"manifest {digest} does not match its digest"]
    del volume.answers[path("manifests", digest)]
    assert await missing_content(registry, REPOSITORY, digest) == [f"manifest {digest} is missing"]


@pytest.mark.parametrize(
    ("config", "words"),
    [(b"", "has 0 of 2 bytes"), (b"[]", "does not match its digest")],
    ids=["cut off", "other bytes"],
)
async def test_a_config_that_is_another(volume: Volume, registry: RegistryClient, config: bytes, words: str) -> None:
    digest = volume.put_image(b"one")
    volume.answers[path("blobs", digest_of(b"{}"))] = config
    assert await missing_content(registry, REPOSITORY, digest) == [f"config {digest_of(b'{}')} {words}"]


async def test_of_an_index_every_image_is_read(volume: Volume, registry: RegistryClient) -> None:
    images = [volume.put_image(b"amd64"), volume.put_image(b"arm64"), volume.put_image(b"s390x")]
    index = json.dumps({"manifests": [{"digest": image} for image in images]}).encode()
    digest = str(volume.put("manifests", index)["digest"])
    assert await missing_content(registry, REPOSITORY, digest) == []
    del volume.answers[path("blobs", digest_of(b"amd64"))]
    del volume.answers[path("manifests", images[2])]
    assert await missing_content(registry, REPOSITORY, digest) == [
        f"layer {digest_of(b'amd64')} is missing",
        f"manifest {images[2]} is missing",
    ]


@pytest.mark.usefixtures("no_patience")
@pytest.mark.parametrize("part", ["manifest", "config", "layer"])
async def test_a_registry_that_does_not_say_is_never_taken_for_one_that_has_not(
    volume: Volume, registry: RegistryClient, part: str
) -> None:
    digest = volume.put_image(b"one")
    blobs = {"config": b"{}", "layer": b"one"}
    volume.broken.add(path("blobs", digest_of(blobs[part])) if part in blobs else path("manifests", digest))
    with pytest.raises(RegistryError, match="503 Service Unavailable"):
        await missing_content(registry, REPOSITORY, digest)


async def test_a_registry_that_is_not_reached_is_an_error() -> None:
    async with open_registry("127.0.0.1:1", HERE) as registry:
        with pytest.raises(RegistryError, match=r"GET /v2/team/app/manifests/sha256:"):
            await missing_content(registry, REPOSITORY, digest_of(b""))


async def test_no_length_is_not_taken_for_no_bytes(volume: Volume, registry: RegistryClient) -> None:
    digest, volume.says_length = volume.put_image(b""), False
    with pytest.raises(RegistryError, match="the response has no Content-Length"):
        await missing_content(registry, REPOSITORY, digest)


@pytest.mark.parametrize("body", [b"[]", b"{}", b"no JSON", b'{"a":' * 5_000 + b"1" + b"}" * 5_000])
async def test_what_is_no_manifest_is_said_to_be_none(volume: Volume, registry: RegistryClient, body: bytes) -> None:
    digest = str(volume.put("manifests", body)["digest"])
    assert await missing_content(registry, REPOSITORY, digest) == [
        f"manifest {digest} is neither an image nor an index"
    ]


@pytest.mark.parametrize("hiccup", [RESET, 429, 502, 503, 504])
async def test_a_hiccup_is_not_taken_for_an_answer(volume: Volume, registry: RegistryClient, hiccup: int) -> None:
    digest = volume.put_image(b"one", b"two")
    volume.hiccups = iter([hiccup] * 3)
    assert await missing_content(registry, REPOSITORY, digest) == []


async def test_what_the_registry_cannot_read_is_said_at_once(volume: Volume, registry: RegistryClient) -> None:
    """It says 500 of a manifest whose file is damaged, and goes on to."""
    digest = volume.put_image(b"one")
    volume.hiccups = repeat(500)
    with pytest.raises(RegistryError) as raised:
        await missing_content(registry, REPOSITORY, digest)
    assert (raised.value.status, len(volume.asked)) == (500, 1)
