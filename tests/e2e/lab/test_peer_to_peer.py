"""Peer to peer as docs/peer-to-peer.md describes: the mirror's part of a pull, and what happens without it.

A second registry stands in for Spegel, in a node's hosts.toml as Spegel writes it, whose first host does not respond,
and for Dragonfly's client, in the file that the page has for it.
"""

import asyncio
import gzip
import os
import re
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import grpc
import pytest

from kube_registry.registry.api import digest_of
from tests.e2e.conftest import CHECKOUT
from tests.e2e.runtime import Registry, containerd, short_folder, write_hosts
from tests.fakes.ports import free_port

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

PAGE = CHECKOUT / "docs" / "peer-to-peer.md"
NODE_PORT, DEAD = "localhost:30100", "10.0.0.1:30020"
MIRRORS = {"Spegel": "10.0.0.1:30021", "Dragonfly": "127.0.0.1:4001"}
"""Heading in the page -> address of the mirror in its hosts.toml. The test replaces all addresses by its own."""

pytestmark.append(pytest.mark.parametrize("mirrored_by", MIRRORS))


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


def hosts(program: str, own: Registry, mirror: int) -> str:
    """The page's hosts.toml for a program, with ports of this machine."""
    section = PAGE.read_text().partition(f"\n## {program}\n")[2].partition("\n## ")[0]
    text: str
    (text,) = re.findall(r"```toml\n(server.*?)```", section, re.DOTALL)
    assert {NODE_PORT, MIRRORS[program]} <= set(re.findall(r"http://([\w.:]+)", text))
    text = text.replace(MIRRORS[program], f"127.0.0.1:{mirror}").replace(NODE_PORT, f"localhost:{own.port}")
    return text.replace(DEAD, f"127.0.0.1:{free_port()}")


def image() -> tuple[bytes, bytes]:
    """The configuration and the layer of an image of one file."""
    archive = BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        content = os.urandom(2**16)
        entry = tarfile.TarInfo("file")
        entry.size = len(content)
        tar.addfile(entry, BytesIO(content))
    layer = archive.getvalue()
    diff = digest_of(layer)
    config = f'{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{diff}"]}}}}'
    return config.encode(), gzip.compress(layer, mtime=0)


def stored(image: tuple[bytes, bytes], *registries: Registry) -> str:
    """Store an image with the tag 1 in all of them; its digest."""
    digests = {asyncio.run(registry.store("app", "1", *image)) for registry in registries}
    return digests.pop()


def test_what_the_mirror_has_comes_from_it_and_the_nodes_registry_is_not_asked(folder: Path, mirrored_by: str) -> None:
    with Registry.serving(folder / "own") as own, Registry.serving(folder / "mirror") as mirror:
        digest = stored(image(), own, mirror)
        write_hosts(folder / "certs.d", own.port, hosts(mirrored_by, own, mirror.port))
        with containerd(folder, str(folder / "certs.d")) as pull:
            assert pull(f"localhost:{own.port}/app:1@{digest}") is grpc.StatusCode.OK
        assert "GET /v2/app/blobs/" in mirror.log.read_text()
        assert "GET /v2/app/blobs/" not in own.log.read_text()
        assert not own.was_asked(f"app/manifests/{digest}")


def test_what_the_mirror_lacks_comes_from_the_nodes_registry(folder: Path, mirrored_by: str) -> None:
    with Registry.serving(folder / "own") as own, Registry.serving(folder / "mirror") as mirror:
        digest = stored(image(), own)
        write_hosts(folder / "certs.d", own.port, hosts(mirrored_by, own, mirror.port))
        with containerd(folder, str(folder / "certs.d")) as pull:
            assert pull(f"localhost:{own.port}/app:1@{digest}") is grpc.StatusCode.OK
        assert mirror.was_asked(f"app/manifests/{digest}")
        assert "GET /v2/app/blobs/" in own.log.read_text()


def test_without_any_mirror_a_pull_falls_back_to_the_nodes_registry(folder: Path, mirrored_by: str) -> None:
    with Registry.serving(folder / "own") as own:
        digest = stored(image(), own)
        write_hosts(folder / "certs.d", own.port, hosts(mirrored_by, own, free_port()))
        with containerd(folder, str(folder / "certs.d")) as pull:
            assert pull(f"localhost:{own.port}/app:1@{digest}") is grpc.StatusCode.OK
        assert "GET /v2/app/blobs/" in own.log.read_text()
