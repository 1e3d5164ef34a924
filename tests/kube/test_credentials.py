"""The credentials that an API server gets, over real sockets and TLS."""

import base64
from pathlib import Path

import pytest

from kube_registry.kube import credentials
from kube_registry.kube.client import open_client
from kube_registry.kube.errors import CertificateError, CredentialsError, KubeconfigError
from kube_registry.kube.websocket import open_websocket
from lab import pki
from tests.fakes.connecting import (
    NAME,
    PROTOCOL,
    Fields,
    both_ways,
    cluster_of,
    in_a_pod,
    kubeconfig,
    serve,
    settings,
)

pytestmark = pytest.mark.anyio


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
