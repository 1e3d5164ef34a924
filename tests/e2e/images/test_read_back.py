"""What was pushed is read back before the tunnel is given back: the daemon's word is not all there is."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kube_registry.concurrency import poll
from kube_registry.errors import HERE
from kube_registry.lease.lease import LOST_SECONDS
from kube_registry.push.push_path import PushPath
from kube_registry.registry.api import digest_of, open_registry
from kube_registry.registry.errors import ContentMissingError, RegistryError
from kube_registry.registry.probe_image import probe_config
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import Settings
from lab.cluster import known as spec_of
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, settings_of

pytestmark = [pytest.mark.lab, pytest.mark.anyio]

URN = "urn:pulumi:e2e::kube-registry::docker:index/image:Image::by/hand"


@pytest.fixture(scope="module")
def settings(lab: Lab, program: Program) -> Settings:
    program.up()
    return settings_of(lab)


@asynccontextmanager
async def pushed(settings: Settings, layer: bytes) -> AsyncIterator[tuple[PushPath, str, str]]:
    """What an update does up to the end of a push: the push path, the name pushed by, and what came of it."""
    path, name = PushPath(settings), settings.endpoints.push_name("by/hand", "tag")
    await path.take(URN, lambda *_: None, name)
    try:
        async with open_registry(settings.endpoints.push_address, HERE) as registry:
            digest = await registry.put_image("by/hand", "tag", probe_config(settings.platform), layer)
        yield path, name, f"{name.rpartition(':')[0]}@{digest}"
    finally:
        await path.give_back(URN)


def without_holders(lab: Lab) -> str:
    """The Lease with no entry, as a holder finds it that was taken for dead."""
    (lease,) = lab.get("lease", "--namespace", "kube-registry")
    del lease["metadata"]["annotations"]
    return json.dumps(lease)


class TestReadBack:
    async def test_all_is_there(self, settings: Settings) -> None:
        async with pushed(settings, b"one") as (path, name, result):
            assert await path.read_back(URN, name, result, lambda *_: None) is None

    async def test_a_lease_that_is_lost_after_the_push_does_not_fail_the_update(
        self, lab: Lab, settings: Settings
    ) -> None:
        async with pushed(settings, b"before it was lost") as (path, name, result):
            lab.kubectl("replace", "--filename", "-", given=without_holders(lab))

            async def is_cut() -> bool | None:
                async with open_registry(settings.endpoints.push_address, HERE) as registry:
                    try:
                        await registry.manifest("by/hand", "tag")
                    except RegistryError:
                        return True
                return None

            assert await poll(is_cut, seconds=LOST_SECONDS, pause=0.2)
            await path.read_back(URN, name, result, lambda *_: None)

    async def test_a_tag_that_named_other_bytes_before_is_remarked(self, settings: Settings) -> None:
        async with pushed(settings, b"other") as (path, name, result):
            remark = await path.read_back(URN, name, result, lambda *_: None)
        assert remark
        assert remark.startswith("by/hand:tag had the digest sha256:")
        assert remark.endswith(result.partition("@")[2])

    @pytest.mark.parametrize(("left", "words"), [(None, "is missing"), (b"th", "has 2 of 5 bytes")])
    async def test_a_layer_that_the_volume_has_lost_fails_the_update(
        self, lab: Lab, settings: Settings, left: bytes | None, words: str
    ) -> None:
        layer = b"three" if left else b"four!"
        digest = digest_of(layer)
        async with pushed(settings, layer) as (path, name, result):
            (file,) = spec_of(lab.cluster.name).volumes.rglob(f"{digest.removeprefix('sha256:')}/data")
            file.write_bytes(left) if left else file.unlink()
            with pytest.raises(ContentMissingError) as raised:
                await path.read_back(URN, name, result, lambda *_: None)
        assert f"layer {digest} {words}" in str(raised.value)

    async def test_the_command_pushes_again_what_was_lost(self, lab: Lab, settings: Settings, program: Program) -> None:
        (urn,) = [each["urn"] for each in program.state()["resources"] if each["type"].endswith(":Image")]
        image, path = parse_reference(program.output("image")), PushPath(settings)
        name = settings.endpoints.push_name("app", str(image.tag))
        result = f"{name.rpartition(':')[0]}@{image.digest}"
        volumes = spec_of(lab.cluster.name).volumes
        (manifest,) = volumes.rglob(f"{str(image.digest).removeprefix('sha256:')}/data")
        lost = json.loads(manifest.read_text())["layers"][-1]["digest"]
        (file,) = volumes.rglob(f"{lost.removeprefix('sha256:')}/data")
        file.unlink()
        with pytest.raises(ContentMissingError) as raised:
            await read_back(path, urn, name, result)
        program.paste(commands_of(raised.value))
        await read_back(path, urn, name, result)


async def read_back(path: PushPath, urn: str, name: str, result: str) -> None:
    """What an update does at the end of a push."""
    await path.take(urn, lambda *_: None, name)
    try:
        await path.read_back(urn, name, result, lambda *_: None)
    finally:
        await path.give_back(urn)
