"""What a manifest needs, whichever tool wrote it: images, indexes, build caches, attestations, artifacts."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_registry.housekeeping.manifests import Manifest, parse_manifest
from tests.housekeeping.stored import digest, image, storage

OCI, DOCKER = "application/vnd.oci.image", "application/vnd.docker"
CONFIG, LAYER, CHILD = digest("config"), digest("layer"), digest("child")
STORED = storage({"child": image("layer")}, {})


def parsed(content: object) -> Manifest | None:
    return parse_manifest(json.dumps(content).encode(), STORED, "app")


def part(of: str, media_type: str, **more: object) -> dict[str, Any]:
    return {"digest": of, "mediaType": media_type, "size": 7, **more}


IMAGE = {"config": part(CONFIG, f"{OCI}.config.v1+json"), "layers": [part(LAYER, f"{OCI}.layer.v1.tar")]}


class TestParts:
    def test_an_image_needs_config_and_layers(self) -> None:
        assert parsed(IMAGE) == Manifest({CONFIG: 7, LAYER: 7}, (), None, (), CONFIG)

    @pytest.mark.parametrize(
        ("key", "needed"),
        [
            ("layers", {CONFIG}),
            ("config", {LAYER}),
            *((key, {CONFIG, LAYER}) for key in ("subject", "manifests", "blobs", "annotations")),
        ],
    )
    def test_null_is_nothing(self, key: str, needed: set[str]) -> None:
        found = parsed({**IMAGE, key: None})
        assert found
        assert found.blobs.keys() == needed
        assert (found.children, found.subject) == ((), None)

    def test_one_without_a_config_needs_its_layers(self) -> None:
        assert parsed({"layers": IMAGE["layers"]}) == Manifest({LAYER: 7}, (), None, ())

    def test_an_artifact_needs_its_blobs(self) -> None:
        content = {"blobs": [part(LAYER, "text/plain")], "subject": part(CHILD, f"{OCI}.manifest.v1+json")}
        assert parsed(content) == Manifest({LAYER: 7}, (), CHILD, ())

    def test_one_of_schema_1_needs_its_layers(self) -> None:
        content = {"schemaVersion": 1, "fsLayers": [{"blobSum": LAYER}], "history": []}
        assert parsed(content) == Manifest({LAYER: 10}, (), None, ())

    def test_a_layer_that_a_vendor_serves_is_not_missed(self) -> None:
        foreign = part(digest("windows"), f"{DOCKER}.image.rootfs.foreign.diff.tar.gzip", urls=["https://x.example"])
        found = parsed({**IMAGE, "layers": [foreign]})
        assert found
        assert found.blobs == {CONFIG: 7}

    @pytest.mark.parametrize("size", [None, "7", -1])
    def test_a_size_that_is_none_is_that_on_the_volume(self, size: object) -> None:
        found = parsed({"layers": [{"digest": LAYER, "size": size}]})
        assert found
        assert found.blobs == {LAYER: 10}


class TestIndex:
    @pytest.mark.parametrize("kind", [f"{OCI}.index.v1+json", f"{DOCKER}.distribution.manifest.v2+json"])
    def test_its_manifests_are_children(self, kind: str) -> None:
        arm = part(digest("arm"), kind, platform={"os": "linux", "architecture": "arm64", "variant": "v8"})
        assert parsed({"manifests": [arm]}) == Manifest({}, (digest("arm"),), None, ("linux/arm64/v8",))

    def test_what_the_repository_has_as_a_manifest_is_one_whatever_its_type(self) -> None:
        assert parsed({"manifests": [{"digest": CHILD}]}) == Manifest({}, (CHILD,), None, ())

    def test_the_layers_of_a_build_cache_are_layers(self) -> None:
        layer, config = part(LAYER, f"{OCI}.layer.v1.tar+gzip"), part(CONFIG, "application/vnd.buildkit.cacheconfig.v0")
        assert parsed({"manifests": [layer, config]}) == Manifest({LAYER: 7, CONFIG: 7}, (), None, ())

    def test_an_attestation_has_no_platform(self) -> None:
        odd: list[object] = [{"os": "unknown", "architecture": "unknown"}, None, {}, []]
        entries = [part(CHILD, f"{OCI}.manifest.v1+json", platform=of) for of in odd]
        found = parsed({"manifests": entries})
        assert found
        assert (found.platforms, set(found.children)) == ((), {CHILD})


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'"x"', b'{"layers": ', b"\xff", b'{"a":' * 5_000 + b"1" + b"}" * 5_000]
)
def test_what_is_no_object_cannot_be_read(body: bytes) -> None:
    assert parse_manifest(body, STORED, "app") is None


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "x", LAYER, CHILD]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["digest", "size", "mediaType", "platform", "os", "blobSum", "urls", "layers"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["config", "layers", "blobs", "manifests", "subject", "fsLayers"]), ANY))
def test_no_manifest_stops_anything(content: dict[str, object]) -> None:
    found = parsed(content)
    assert found
    assert all(size >= 0 for size in found.blobs.values())
