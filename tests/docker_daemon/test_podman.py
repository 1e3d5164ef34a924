"""Podman in the place of Docker: Debian's is too old for the docker provider, but is asked in the same way as 6.0."""

import asyncio
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from kube_registry.docker_daemon.errors import DaemonReachError, PodmanHttpsError, PodmanVersionError
from kube_registry.docker_daemon.reach import daemon_reaching, daemon_version
from kube_registry.errors import Where
from kube_registry.registry import api
from kube_registry.registry.probe_image import store_probe
from kube_registry.spec.versions import SUPPORTED
from tests.e2e.commands import commands_of, paste
from tests.fakes.open_registry import open_registry
from tests.fakes.podman import Podman, Service, podman, serving
from tests.fakes.ports import free_port

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

DEBIANS = (4, 3)
MISSING = f"sha256:{'0' * 64}"


@pytest.fixture(scope="module")
def here() -> Iterator[Podman]:
    """Podman with storage of its own."""
    with podman() as made:
        yield made


@pytest.fixture
def old_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Debian's version counts as one that reports digests."""
    monkeypatch.setitem(SUPPORTED, "Podman", DEBIANS)


@pytest.fixture
def probe(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """A registry's port, and the digest of the preflight's image in it."""

    async def stored(port: int) -> str:
        async with api.open_registry(f"localhost:{port}", Where("", "", "")) as registry:
            return await store_probe(registry, "linux/amd64")

    with open_registry(tmp_path) as port:
        yield port, asyncio.run(stored(port))


async def reach(service: Service, port: int, digest: str) -> bool:
    """Whether the daemon reports digests; it has found the image."""

    async def recovered() -> bool:
        return False

    environment, place = {"DOCKER_HOST": service.host}, f"localhost:{port}"
    async with daemon_reaching(environment, place, digest, print, print, recovered=recovered) as daemon:
        return daemon.reports_digests


def test_one_that_reports_no_digest_is_refused_before_a_build(here: Podman) -> None:
    with serving(here) as service:
        with pytest.raises(PodmanVersionError) as raised:
            asyncio.run(reach(service, free_port(), MISSING))
        environment = {"DOCKER_HOST": service.host}
        assert asyncio.run(daemon_version(environment)) == ("Podman", raised.value.version)
        (line,) = commands_of(raised.value)
        shown = paste(line, here.folder, {**os.environ, **environment})
    assert raised.value.version.startswith("4.")
    assert re.search(rf"Podman Engine:\n +Version: +{re.escape(raised.value.version)}\n", shown), shown


@pytest.mark.usefixtures("old_enough")
def test_it_requires_https_until_the_command_has_configured_it(here: Podman, probe: tuple[int, str]) -> None:
    with serving(here) as service:
        with pytest.raises(PodmanHttpsError) as raised:
            asyncio.run(reach(service, *probe))
        (line,) = commands_of(raised.value)
        service.shell(line)
    with serving(here) as service:
        assert asyncio.run(reach(service, *probe))
    assert here.run("images", "--quiet") == ""


@pytest.mark.usefixtures("old_enough")
def test_a_port_without_a_registry_is_not_reported_as_one_without_https(here: Podman) -> None:
    with serving(here) as service, pytest.raises(DaemonReachError):
        asyncio.run(reach(service, free_port(), MISSING))
