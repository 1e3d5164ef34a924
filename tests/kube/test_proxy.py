"""Proxies before an API server, over real sockets and TLS."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kube_registry.kube.client import open_client
from kube_registry.kube.errors import CertificateError, KubeconfigError, UnreachableError
from kube_registry.kube.http_proxy import proxy_for
from lab import pki
from tests.fakes.connecting import (
    NAME,
    both_ways,
    cluster_of,
    kubeconfig,
    serve,
    server_tls,
    settings,
)
from tests.fakes.proxy import run_proxy

pytestmark = pytest.mark.anyio


@contextmanager
def asyncio_reports_nothing() -> Iterator[None]:
    """Before Python 3.11.8, TLS that fails within TLS also is an error of the loop's own (cpython gh-113214)."""
    loop = asyncio.get_running_loop()
    handler = loop.get_exception_handler()
    loop.set_exception_handler(lambda *_: None)
    try:
        yield
    finally:
        loop.set_exception_handler(handler)


class TestProxy:
    @pytest.mark.parametrize("kind", ["http", "https", "socks5", "socks5h"])
    @pytest.mark.parametrize("source", ["proxy-url", "HTTPS_PROXY", "https_proxy"])
    async def test_requests_and_websockets_go_through_it(
        self, authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, kind: str
    ) -> None:
        """Only the proxy knows the name of the API server."""
        tls = server_tls(authority, ("127.0.0.1",)) if kind == "https" else None
        async with serve(authority, names=(NAME,)) as api, run_proxy(api.url, kind, tls) as proxy:
            cluster = cluster_of(api, authority, server=f"https://{NAME}")
            if source == "proxy-url":
                cluster["proxy-url"] = proxy.url
            else:
                monkeypatch.setenv(source, proxy.url)
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster, {"token": "t"})))
            assert set(proxy.asked) == {f"{NAME}:443"}
            assert set(proxy.shown) == {"me:s@cret" if kind.startswith("socks") else "me:s\u00e9cret"}
            assert api.authorizations == ["Bearer t"] * 2

    @pytest.mark.parametrize("kind", ["http", "https", "socks5"])
    async def test_tls_settings_hold_behind_a_proxy_too(
        self, authority: pki.Authority, tmp_path: Path, kind: str
    ) -> None:
        """The name that is checked, the client certificate that is shown, and another authority that is not trusted."""
        (tmp_path / "config").write_text(
            pki.kubeconfig(authority, pki.issue(authority, "eve"), server="https://192.0.2.1:6443", kube_context="here")
        )
        tls = server_tls(authority, ("127.0.0.1",)) if kind == "https" else None
        async with serve(authority, names=(NAME,)) as api, run_proxy(api.url, kind, tls) as proxy:
            content = json.loads((tmp_path / "config").read_text())
            cluster = content["clusters"][0]["cluster"]
            cluster |= {"proxy-url": proxy.url, "tls-server-name": NAME}
            (tmp_path / "config").write_text(json.dumps(content))
            await both_ways(settings(tmp_path / "config"))
            assert set(proxy.asked) == {"192.0.2.1:6443"}
            assert api.users == ["eve", "eve"]
            del cluster["tls-server-name"]
            (tmp_path / "config").write_text(json.dumps(content))
            with asyncio_reports_nothing(), pytest.raises(CertificateError, match="IP address mismatch"):
                await both_ways(settings(tmp_path / "config"))

    async def test_an_https_proxy_is_trusted_as_the_api_server_is(
        self, authority: pki.Authority, tmp_path: Path
    ) -> None:
        """As for Go: by the cluster's certificate authority."""
        tls = server_tls(pki.found(tmp_path / "other"), ("127.0.0.1",))
        async with serve(authority) as api, run_proxy(api.url, "https", tls) as proxy:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority, proxy_url=proxy.url), {})
            with pytest.raises(CertificateError, match="certificate verify failed"):
                await both_ways(settings(file))
            assert proxy.asked == []

    @pytest.mark.usefixtures("no_patience")
    @pytest.mark.parametrize("kind", ["http", "socks5"])
    async def test_a_proxy_that_is_not_there_is_named_without_its_password(
        self, authority: pki.Authority, tmp_path: Path, kind: str
    ) -> None:
        cluster = {"server": "https://192.0.2.1", "proxy-url": f"{kind}://me:secret@127.0.0.1:1"}
        file = kubeconfig(tmp_path / "config", cluster | {"certificate-authority": str(authority.certificate)}, {})
        with pytest.raises(UnreachableError, match=r"127\.0\.0\.1:1") as raised:
            await both_ways(settings(file))
        assert "secret" not in str(raised.value)

    async def test_a_socks_proxy_that_refuses_says_why(self, authority: pki.Authority, tmp_path: Path) -> None:
        async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(3)
            writer.write(b"\x05\x00")
            await reader.readexactly(10)
            writer.write(b"\x05\x02\x00\x01" + bytes(6))
            writer.close()

        async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            cluster = {"server": "https://192.0.2.1", "certificate-authority": str(authority.certificate)}
            file = kubeconfig(tmp_path / "config", cluster | {"proxy-url": f"socks5://127.0.0.1:{port}"}, {})
            with pytest.raises(UnreachableError, match=r"192\.0\.2\.1:443.* not allowed"):
                await both_ways(settings(file))

    @pytest.mark.usefixtures("no_patience")
    async def test_no_proxy_is_honoured(
        self, authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with serve(authority, names=(NAME,)) as api, run_proxy(api.url) as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            monkeypatch.setenv("NO_PROXY", ".cluster.example")
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority, server=f"https://{NAME}"), {})
            with pytest.raises(UnreachableError, match=f"Cannot connect to host {NAME}"):
                await both_ways(settings(file))
            assert proxy.asked == []

    async def test_this_machine_is_reached_without_one(
        self, authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        async with serve(authority) as api:
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), {})))

    @pytest.mark.parametrize(
        ("server", "no_proxy", "proxied"),
        [
            ("https://10.1.2.3:6443", "", True),
            ("https://10.1.2.3:6443", "10.0.0.0/8", False),
            ("https://10.1.2.3:6443", "192.168.0.0/16, 10.1.2.3", False),
            ("https://[fd00::1]:6443", "fd00::/8", False),
            ("https://10.1.2.3:6443", "*", False),
            ("https://10.1.2.3:6443", "10.1.2.3:6443", False),
            ("https://10.1.2.3:6443", "10.1.2.3:443", True),
            ("https://[fd00::1]:6443", "[fd00::1]:6443", False),
            ("https://[fd00::1]:6443", "fd00::1", False),
            ("https://api.a.example", "*.a.example", False),
            ("https://a.example", "*.a.example, .a.example", True),
            ("https://api.a.example", ".a.example:443", False),
            ("https://api.a.example", "a.example:6443", True),
            ("https://API.A.example", "a.EXAMPLE", False),
            ("https://ba.example", "a.example", True),
            ("https://localhost:6443", "", False),
            ("https://[::1]:6443", "", False),
            ("https://a.example", "b.example", True),
            ("http://a.example", "", False),
        ],
    )
    def test_the_rules_are_kubectls(
        self, monkeypatch: pytest.MonkeyPatch, server: str, no_proxy: str, *, proxied: bool
    ) -> None:
        monkeypatch.setenv("HTTPS_PROXY", "proxy.example:3128")
        monkeypatch.setenv("NO_PROXY", no_proxy)
        assert proxy_for(server, None) == ("http://proxy.example:3128" if proxied else None)

    def test_the_variables_are_kubectls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Upper case counts before lower case, an empty one is not set, and ALL_PROXY is none of them."""
        monkeypatch.setenv("ALL_PROXY", "socks5://all.example")
        assert proxy_for("https://a.example", None) is None
        monkeypatch.setenv("https_proxy", "http://lower.example")
        monkeypatch.setenv("HTTPS_PROXY", "")
        assert proxy_for("https://a.example", None) == "http://lower.example"
        monkeypatch.setenv("HTTPS_PROXY", "http://upper.example")
        assert proxy_for("https://a.example", None) == "http://upper.example"
        assert proxy_for("http://a.example", None) is None

    async def test_a_proxy_of_another_kind_is_one_sentence_without_its_password(self, tmp_path: Path) -> None:
        cluster = {"server": "https://192.0.2.1", "proxy-url": "socks4://me:secret@127.0.0.1:1080"}
        with pytest.raises(KubeconfigError, match=r"proxy-url has a socks4:// proxy, 127\.0\.0\.1; only") as raised:
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster, {})))
        assert "secret" not in str(raised.value)

    async def test_a_proxy_that_refuses_is_named(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(None) as no_proxy:
            no_proxy.accepts = lambda _: False
            cluster = cluster_of(no_proxy, authority, server="https://192.0.2.1", proxy_url=no_proxy.url)
            async with open_client(settings(kubeconfig(tmp_path / "config", cluster, {}))) as kube:
                with pytest.raises(UnreachableError, match="the proxy answered 401 Unauthorized"):
                    await kube.get("/version")
