"""What a look at a registry makes of manifests that cannot be read."""

from dataclasses import dataclass
from typing import cast

import pytest

from kube_registry.housekeeping import inventory
from kube_registry.housekeeping.inventory import Look, read_contents
from kube_registry.housekeeping.volume_listing import Room, Storage
from kube_registry.kube.client import KubeClient
from kube_registry.registry.api import RegistryClient, digest_of
from tests.housekeeping.stored import NOW, digest

pytestmark = pytest.mark.anyio

BODY = b"{}"
KEPT, GONE = digest_of(BODY), digest("gone")


@dataclass(frozen=True)
class Door:
    """A door of a registry that has one manifest."""

    async def manifest(self, _repository: str, reference: str) -> bytes | None:
        return BODY if reference == KEPT else None


def listing(*digests: str) -> Storage:
    return Storage(room=Room(0, 0), listed=NOW, manifests={"app": dict.fromkeys(digests, NOW)}, tags={}, blobs={})


async def seen(monkeypatch: pytest.MonkeyPatch, *listings: Storage) -> Look:
    """A look at a volume that is listed so, one after the other."""
    following = iter(listings)

    async def read_storage(_kube: KubeClient) -> Storage:
        return next(following)

    monkeypatch.setattr(inventory, "read_storage", read_storage)
    return await read_contents(cast("KubeClient", None), cast("RegistryClient", Door()))


async def test_a_manifest_that_was_removed_after_it_was_listed_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await seen(monkeypatch, listing(KEPT, GONE), listing(KEPT))).manifests["app"].keys() == {KEPT}


async def test_one_that_is_still_listed_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await seen(monkeypatch, listing(GONE), listing(GONE))).manifests == {"app": {GONE: None}}


async def test_a_registry_that_is_whole_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await seen(monkeypatch, listing(KEPT))).manifests["app"][KEPT]
