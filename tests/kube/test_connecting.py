"""Every way that a kubeconfig can lead to an API server, over real sockets and TLS."""

import asyncio
import base64
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from kube_registry.kube import credentials
from kube_registry.kube.client import open_client
from kube_registry.kube.errors import CertificateError, CredentialsError, KubeconfigError, UnreachableError
from kube_registry.kube.http_proxy import proxy_for
from kube_registry.kube.kubeconfig import AS_TEXT
from kube_registry.kube.websocket import open_websocket
from kube_registry.spec.settings import Settings
from lab import pki
from tests.fakes.connecting import (
    PROTOCOL,
    Fields,
    cluster_of,
    in_a_pod,
    kubeconfig,
    run_proxy,
    serve,
    server_tls,
    settings,
)

pytestmark = pytest.mark.anyio
NAME = "api.cluster.example"


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def both_ways(chosen: Settings) -> None:
    """A request and a WebSocket that carries something."""
    async with open_client(chosen) as kube:
        assert await kube.get("/version") == {"path": "/version"}
        async with open_websocket(kube, "/socket", PROTOCOL) as socket:
            assert socket.protocol == PROTOCOL
            await socket.send_bytes(b"to the pod and back")
            assert await socket.receive_bytes(timeout=5) == b"to the pod and back"


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


class TestMerging:
    async def test_a_list_is_read_as_one_and_each_file_is_where_its_relative_paths_start(
        self, authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An empty file first, one that is not there, the cluster in one folder and the user in another."""
        identity = pki.issue(authority, "merged")
        one, two = tmp_path / "one", tmp_path / "two"
        for folder in (one, two):
            folder.mkdir()
        (one / "ca.crt").write_text(authority.certificate.read_text())
        (two / "my.crt").write_text(identity.certificate)
        (two / "my.key").write_text(identity.key)
        async with serve(authority) as api:
            cluster = {"server": api.url, "certificate-authority": "ca.crt"}
            (tmp_path / "empty").write_text("# nothing yet\n")
            (one / "config").write_text(json.dumps({"clusters": [{"name": "c", "cluster": cluster}]}))
            kubeconfig(
                two / "config",
                {"server": "https://192.0.2.1"},
                {"client-certificate": "my.crt", "client-key": "my.key"},
            )
            listed = [tmp_path / "empty", tmp_path / "none", one / "config", two / "config"]
            monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, listed)))
            await both_ways(settings(None))
            assert api.users == ["merged", "merged"]

    @pytest.mark.parametrize(
        ("context", "words"),
        [
            ({"cluster": "c", "user": "nobody"}, "its user 'nobody' is missing"),
            ({"cluster": "nowhere", "user": "u"}, "its cluster 'nowhere' is missing"),
        ],
    )
    async def test_a_kube_context_that_names_what_is_not_there_is_one_sentence(
        self, tmp_path: Path, context: Fields, words: str
    ) -> None:
        file = kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, {})
        file.write_text(json.dumps(json.loads(file.read_text()) | {"contexts": [{"name": "here", "context": context}]}))
        with pytest.raises(KubeconfigError, match=words):
            async with open_client(settings(file)):
                pass

    async def test_a_kube_context_without_a_user_asks_as_nobody(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(authority) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), {})
            content = json.loads(file.read_text())
            del content["users"], content["contexts"][0]["context"]["user"]
            file.write_text(json.dumps(content))
            await both_ways(settings(file))
            assert api.authorizations == [None, None]

    @pytest.mark.parametrize("cluster", [{}, {"server": 6443}])
    async def test_a_cluster_without_a_server_is_one_sentence(self, tmp_path: Path, cluster: Fields) -> None:
        with pytest.raises(KubeconfigError, match="its cluster has no server"):
            async with open_client(settings(kubeconfig(tmp_path / "config", cluster, {}))):
                pass

    @pytest.mark.parametrize("field", ["tls-server-name", "proxy-url"])
    @pytest.mark.parametrize("value", [5, True, ["x"]])
    async def test_a_field_of_a_cluster_that_is_no_text_is_one_sentence(
        self, tmp_path: Path, field: str, value: object
    ) -> None:
        cluster = {"server": "https://127.0.0.1:1", field: value}
        with pytest.raises(KubeconfigError, match=f"{field} of its cluster is not a string"):
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster, {})))

    @pytest.mark.usefixtures("no_patience")
    async def test_a_password_in_the_servers_address_is_not_repeated(self, tmp_path: Path) -> None:
        file = kubeconfig(tmp_path / "config", {"server": "https://me:s3cr3t@127.0.0.1:1"}, {})
        with pytest.raises(UnreachableError) as raised:
            await both_ways(settings(file))
        assert raised.value.where.cluster == "https://127.0.0.1:1"
        assert "s3cr3t" not in str(raised.value)

    @pytest.mark.parametrize(
        "change",
        [
            lambda text: text.replace(b"  ", b"\t"),
            lambda text: b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n"),
            lambda text: text.decode().encode("utf-16"),
            lambda text: yaml.safe_dump(json.loads(text)).replace(": ", ":\t").encode(),
            lambda text: text.rstrip().removesuffix(b"}") + b", }",
        ],
        ids=["tabs", "Windows", "PowerShell", "tabs in YAML", "YAML in braces"],
    )
    async def test_what_kubectl_reads_is_read(
        self, authority: pki.Authority, tmp_path: Path, change: Callable[[bytes], bytes]
    ) -> None:
        async with serve(authority) as api:
            text = pki.kubeconfig(authority, pki.issue(authority, "eve"), server=api.url, kube_context="here")
            (tmp_path / "config").write_bytes(change(text.encode()))
            await both_ways(settings(tmp_path / "config"))
            assert api.users == ["eve", "eve"]

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"apiVersion: v1\nusers:\n- token: s3cr3t\xe9\n", "is not UTF-8 or UTF-16 text, see byte 3"),
            (b"apiVersion: v1\nusers: [s3cr3t\nclusters:\n", "neither YAML nor JSON, see line"),
            (b"users: " + b"[" * 5_000 + b"s3cr3t" + b"]" * 5_000, "neither YAML nor JSON"),
            (b'{"users": ' + b"[" * 5_000 + b'"s3cr3t"' + b"]" * 5_000 + b"}", "neither YAML nor JSON"),
            (b"just s3cr3t", "is not a kubeconfig"),
            (b"users: [s3cr3t]", "is not a kubeconfig: users is invalid"),
            (b"users: [{name: a, user: {}}, {name: a, user: {token: s3cr3t}}]", "has two users named a"),
        ],
    )
    async def test_what_kubectl_does_not_read_is_one_sentence_that_repeats_nothing(
        self, tmp_path: Path, data: bytes, words: str
    ) -> None:
        (tmp_path / "config").write_bytes(data)
        with pytest.raises(KubeconfigError, match=words) as raised:
            await both_ways(settings(tmp_path / "config"))
        assert "s3cr3t" not in str(raised.value)
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(("disabled", "accepted"), [(True, "identity"), (False, "gzip, deflate")])
    async def test_answers_are_compressed_unless_disabled(
        self, authority: pki.Authority, tmp_path: Path, accepted: str, *, disabled: bool
    ) -> None:
        async with serve(authority) as api:
            cluster = cluster_of(api, authority, disable_compression=disabled)
            async with open_client(settings(kubeconfig(tmp_path / "config", cluster, {}))) as kube:
                await kube.get("/version")
            assert api.asked[0].headers["Accept-Encoding"].startswith(accepted)


class TestInTheConfig:
    """A kubeconfig that the setting holds itself, as Pulumi's own provider takes it."""

    @pytest.mark.parametrize("written", [str, lambda text: yaml.safe_dump(json.loads(text))])
    async def test_it_is_used(
        self, authority: pki.Authority, written: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KUBECONFIG", "/nowhere")
        async with serve(authority) as api:
            text = pki.kubeconfig(authority, pki.issue(authority, "eve"), server=api.url, kube_context="here")
            await both_ways(settings(written(text)))
            assert api.users == ["eve", "eve"]

    async def test_its_relative_paths_start_in_the_current_folder(
        self, authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "token").write_text("t")
        (tmp_path / "ca.crt").write_text(authority.certificate.read_text())
        monkeypatch.chdir(tmp_path)
        async with serve(authority) as api:
            cluster = {"server": api.url, "certificate-authority": "ca.crt"}
            file = kubeconfig(tmp_path / "config", cluster, {"tokenFile": "token"})
            await both_ways(settings(file.read_text()))
            assert set(api.authorizations) == {"Bearer t"}

    @pytest.mark.parametrize(
        ("damage", "words"),
        [
            (lambda text: text.replace('"here"', '"there"'), "it has no such kube context, only there"),
            (lambda text: text.replace('"user": "u"', '"user": "x"'), "its user 'x' is missing"),
            (lambda text: text.replace('"server"', '"sever"'), "its cluster has no server"),
            (lambda text: text.replace("{", "", 1), "it is neither YAML nor JSON"),
            (lambda text: base64.b64encode(text.encode() * 9).decode(), "it is in base64"),
            (lambda text: base64.encodebytes(text.encode() * 9).decode(), "it is in base64"),
            (
                lambda _: base64.b64encode(b"clusters: []\nusers: [{user: {token: s3cr3t}}]").decode(),
                "it is in base64",
            ),
            (lambda _: base64.urlsafe_b64encode(b"{clusters: [\xff\xfe>>>???~~~]}").decode(), "it is in base64"),
            (lambda _: "contexts:\r- name: mine\rusers:\r- user:\r    token: czNjcjN0", "only mine"),
            (lambda text: text.replace('"token":', '"as-groups": ["g"], "token":'), "which require `as`"),
            (
                lambda text: text.replace('"tls-', '"insecure-skip-tls-verify": "false", "tls-'),
                "neither true nor false",
            ),
            (lambda text: text, "no certificate or crl found"),
        ],
    )
    async def test_what_is_wrong_with_it_is_one_sentence_that_repeats_nothing(
        self, tmp_path: Path, damage: Callable[[str], str], words: str
    ) -> None:
        secret = base64.b64encode(b"s3cr3t").decode()
        data = base64.b64encode(b"-----BEGIN CERTIFICATE-----" + secret.encode()).decode()
        cluster = {"server": "https://127.0.0.1:1", "certificate-authority-data": data, "tls-server-name": "x"}
        user = {"token": secret, "client-certificate-data": data, "client-key-data": data}
        text = kubeconfig(tmp_path / "config", cluster, user).read_text()
        text = json.dumps(json.loads(damage(text)), indent=2) if damage(text).startswith("{") else damage(text)
        with pytest.raises(KubeconfigError, match=words) as raised:
            await both_ways(settings(text))
        assert raised.value.kubeconfig == AS_TEXT
        for part in (secret, data, base64.b64encode(text.encode()).decode()[:20]):
            assert part not in str(raised.value)
        assert "\n" not in str(raised.value)

    async def test_a_plugin_that_fails_does_not_repeat_it(self, tmp_path: Path) -> None:
        plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "false", "args": ["--key", "s3cr3t"]}
        env = [{"name": "KEY", "value": "s3cr3t"}]
        file = kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, {"exec": {**plugin, "env": env}})
        with pytest.raises(KubeconfigError, match="failed with exit code 1") as raised:
            await both_ways(settings(file.read_text()))
        assert "s3cr3t" not in str(raised.value)


class TestTls:
    async def test_a_client_certificate_written_into_the_kubeconfig_is_shown(
        self, authority: pki.Authority, tmp_path: Path
    ) -> None:
        identity = pki.issue(authority, "eve")
        async with serve(authority) as api:
            (tmp_path / "config").write_text(pki.kubeconfig(authority, identity, server=api.url, kube_context="here"))
            await both_ways(settings(tmp_path / "config"))
            assert api.users == ["eve", "eve"]

    async def test_a_certificate_of_another_authority_is_not_trusted(
        self, authority: pki.Authority, tmp_path: Path
    ) -> None:
        other = pki.found(tmp_path / "other")
        async with serve(other) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), {})
            async with open_client(settings(file)) as kube:
                with pytest.raises(CertificateError, match="certificate verify failed"):
                    await kube.get("/version")
                with pytest.raises(CertificateError, match="certificate verify failed"):
                    async with open_websocket(kube, "/socket", PROTOCOL):
                        pass

    async def test_insecure_skip_tls_verify_trusts_anybody(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(authority, names=("elsewhere.example",)) as api:
            cluster = {"server": api.url, "insecure-skip-tls-verify": True}
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster, {"token": "t"})))
            assert api.authorizations == ["Bearer t"] * 2

    async def test_tls_server_name_is_the_name_that_the_certificate_must_have(
        self, authority: pki.Authority, tmp_path: Path
    ) -> None:
        async with serve(authority, names=(NAME,)) as api:
            named = kubeconfig(tmp_path / "named", cluster_of(api, authority, tls_server_name=NAME), {})
            await both_ways(settings(named))
            plain = kubeconfig(tmp_path / "plain", cluster_of(api, authority), {})
            with pytest.raises(CertificateError, match="IP address mismatch"):
                await both_ways(settings(plain))

    async def test_a_damaged_client_certificate_is_one_sentence(self, authority: pki.Authority, tmp_path: Path) -> None:
        data = base64.b64encode(b"no certificate").decode()
        user = {"client-certificate-data": data, "client-key-data": data}
        cluster = {"server": "https://127.0.0.1:1", "certificate-authority": str(authority.certificate)}
        with pytest.raises(KubeconfigError, match="PEM"):
            async with open_client(settings(kubeconfig(tmp_path / "config", cluster, user))):
                pass


class TestTokens:
    @pytest.mark.parametrize(("seconds", "shown"), [(60.0, "Bearer first"), (0.0, "Bearer second")])
    async def test_a_token_file_may_end_in_a_new_line_and_is_read_again_when_its_time_is_over(
        self, authority: pki.Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, shown: str
    ) -> None:
        monkeypatch.setattr(credentials, "TOKEN_FILE_SECONDS", seconds)
        token = tmp_path / "token"
        token.write_text("first\n")
        async with serve(authority) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), {"tokenFile": "token"})
            async with open_client(settings(file)) as kube:
                token.write_text("second\n")
                await kube.get("/version")
            assert api.authorizations == [shown]

    async def test_a_token_that_was_replaced_early_is_read_again_when_refused(
        self, authority: pki.Authority, tmp_path: Path
    ) -> None:
        token = tmp_path / "token"
        token.write_text("first")
        async with serve(authority) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), {"tokenFile": str(token)})
            async with open_client(settings(file)) as kube:
                token.write_text("second")
                api.accepts = lambda asked: asked.authorization == "Bearer second"
                async with open_websocket(kube, "/socket", PROTOCOL):
                    pass
            assert api.authorizations == ["Bearer first", "Bearer second"]

    async def test_a_token_file_counts_before_a_token(self, authority: pki.Authority, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("fresh")
        async with serve(authority) as api:
            user = {"tokenFile": "token", "token": "old"}
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), user)))
            assert set(api.authorizations) == {"Bearer fresh"}

    async def test_a_refused_token_is_shown_once(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(authority) as api:
            api.accepts = lambda _: False
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), {"token": "t"})
            async with open_client(settings(file)) as kube:
                with pytest.raises(CredentialsError, match="does not accept the credentials"):
                    await kube.get("/version")
                with pytest.raises(CredentialsError, match="does not accept the credentials"):
                    async with open_websocket(kube, "/socket", PROTOCOL):
                        pass
            assert len(api.asked) == 2

    async def test_a_user_name_and_password_are_shown(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(authority) as api:
            user = {"username": "eve", "password": "secret"}
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), user)))
            assert set(api.authorizations) == {f"Basic {base64.b64encode(b'eve:secret').decode()}"}

    @pytest.mark.parametrize(
        ("user", "words"),
        [
            ({"tokenFile": "none"}, "No such file"),
            ({"tokenFile": "config.empty"}, "is empty; it must contain a token"),
            ({"auth-provider": {"name": "gcp"}}, "auth provider gcp, which `exec` has replaced"),
            ({"auth-provider": {"name": "oidc", "config": {}}}, "no id-token yet"),
        ],
    )
    async def test_a_token_that_is_not_there_is_one_sentence(self, tmp_path: Path, user: Fields, words: str) -> None:
        (tmp_path / "config.empty").touch()
        with pytest.raises(KubeconfigError, match=words):
            async with open_client(settings(kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, user))):
                pass

    async def test_the_token_that_kubectl_got_by_oidc_is_shown(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(authority) as api:
            user = {"auth-provider": {"name": "oidc", "config": {"id-token": "jwt", "client-id": "c"}}}
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), user)))
            assert set(api.authorizations) == {"Bearer jwt"}

    async def test_a_token_counts_where_its_file_is_gone(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(authority) as api:
            user = {"tokenFile": "gone", "token": "old"}
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), user)))
            assert set(api.authorizations) == {"Bearer old"}

    async def test_a_token_counts_before_a_plugin(self, authority: pki.Authority, tmp_path: Path) -> None:
        async with serve(authority) as api:
            plugin = {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}
            user = {"token": "t", "exec": plugin, "client-certificate-data": "", "username": None}
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), user)))
            assert set(api.authorizations) == {"Bearer t"}

    @pytest.mark.parametrize("scheme", ["http://", ""])
    async def test_no_credentials_are_shown_without_tls(self, tmp_path: Path, scheme: str) -> None:
        async with serve(None) as api:
            cluster = {"server": f"{scheme}{api.url.removeprefix('http://')}"}
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster, {"token": "t"})))
            assert api.authorizations == [None, None]


class TestImpersonation:
    async def test_every_request_and_upgrade_says_as_whom_it_is_made(
        self, authority: pki.Authority, tmp_path: Path
    ) -> None:
        user = {
            "token": "t",
            "as": "system:admin",
            "as-uid": "u-1",
            "as-groups": ["system:masters", "dev"],
            "as-user-extra": {"acme.example/scopes": ["view", "push"], "100%": ["x"]},
        }
        async with serve(authority) as api:
            await both_ways(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), user)))
            assert len(api.asked) == 2
            for asked in api.asked:
                assert asked.authorization == "Bearer t"
                assert asked.headers.getall("Impersonate-User") == ["system:admin"]
                assert asked.headers.getall("Impersonate-Uid") == ["u-1"]
                assert asked.headers.getall("Impersonate-Group") == ["system:masters", "dev"]
                assert asked.headers.getall("Impersonate-Extra-acme.example%2Fscopes") == ["view", "push"]
                assert asked.headers.getall("Impersonate-Extra-100%25") == ["x"]

    async def test_it_stays_when_credentials_are_renewed(self, authority: pki.Authority, tmp_path: Path) -> None:
        token = tmp_path / "token"
        token.write_text("first")
        async with serve(authority) as api:
            user = {"tokenFile": "token", "as": "eve"}
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), user)
            async with open_client(settings(file)) as kube:
                token.write_text("second")
                api.accepts = lambda asked: asked.authorization == "Bearer second"
                await kube.get("/version")
            assert [asked.headers.get("Impersonate-User") for asked in api.asked] == ["eve", "eve"]

    @pytest.mark.parametrize(
        ("user", "words"),
        [
            ({"as-groups": ["dev"]}, "which require `as`"),
            ({"as": "eve", "as-groups": "dev"}, "as-groups of its user is not a list"),
            ({"as": "eve", "as-user-extra": {"scopes": "view"}}, "no list under scopes"),
        ],
    )
    async def test_what_is_not_written_down_right_is_one_sentence(
        self, tmp_path: Path, user: Fields, words: str
    ) -> None:
        with pytest.raises(KubeconfigError, match=words):
            await both_ways(settings(kubeconfig(tmp_path / "config", {"server": "https://127.0.0.1:1"}, user)))


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


class TestInCluster:
    async def test_outside_a_pod_it_is_one_sentence(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
        with pytest.raises(KubeconfigError, match="stands for a pod's service account, but this is not a pod"):
            async with open_client(settings(tmp_path / "none", "in-cluster")):
                pass

    async def test_a_pod_asks_with_its_service_account(self, authority: pki.Authority, tmp_path: Path) -> None:
        """In a mount namespace of its own, because the files of a service account have a fixed place."""
        account = tmp_path / "serviceaccount"
        account.mkdir()
        (account / "token").write_text("of the pod\n")
        (account / "ca.crt").write_text(authority.certificate.read_text())
        async with serve(authority) as api:
            assert await in_a_pod(account, api.url, "/version") == {"path": "/version"}
            assert api.authorizations == ["Bearer of the pod"]
