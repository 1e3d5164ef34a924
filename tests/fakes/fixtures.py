"""Fixtures of the tunnel's tests: a fake API server with a registry's pod, and a client of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kube_registry.kube import retries
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.tunnel import connect as dialling
from kube_registry.tunnel import listener as tunnelling
from kube_registry.tunnel.listener import Tunnel, open_tunnel
from lab import pki
from tests.fakes.fake_api import FakeApi, FakePod, run_fake_api, settings_for
from tests.fakes.local import PATIENCE_SECONDS, held
from tests.fakes.target import Target, run_target


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Async tests run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> pki.Authority:
    """Who signs the fake API server's certificate."""
    return pki.found(tmp_path_factory.mktemp("pki"))


@pytest.fixture
async def target() -> AsyncIterator[Target]:
    """The program in the registry's pod."""
    async with run_target() as target:
        yield target


@pytest.fixture
async def api(target: Target, authority: pki.Authority, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApi]:
    """A fake API server over plain HTTP, with one pod that is Ready."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))  # to read the system's takes longer than a test
    async with run_fake_api() as api:
        api.pods = [FakePod("registry-1", target.port)]
        yield api


@pytest.fixture
async def tls_api(target: Target, authority: pki.Authority) -> AsyncIterator[FakeApi]:
    """The same over TLS."""
    async with run_fake_api(authority) as api:
        api.pods = [FakePod("registry-1", target.port)]
        yield api


@pytest.fixture
async def kube(api: FakeApi, authority: pki.Authority, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client of the one over plain HTTP."""
    async with open_client(settings_for(api.server, authority, tmp_path)) as kube:
        yield kube


@pytest.fixture
async def tunnel(kube: KubeClient) -> AsyncIterator[Tunnel]:
    """An open tunnel to that one's pod."""
    async with open_tunnel(kube, 0, held(kube), seconds=PATIENCE_SECONDS) as tunnel:
        yield tunnel


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr(retries, "_back_off", lambda _: 0.0)
    for module in (dialling, tunnelling):
        monkeypatch.setattr(module, "_PAUSE", 0.01)


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are sent once."""
    for name in ("PATIENCE_SECONDS", "CONNECT_SECONDS"):
        monkeypatch.setattr(retries, name, 0.0)
