"""Which kubeconfigs lead to an API server, over real sockets and TLS, and what is wrong with the others."""

import base64
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from kube_registry.kube.client import open_client
from kube_registry.kube.errors import KubeconfigError, UnreachableError
from kube_registry.kube.kubeconfig import AS_TEXT
from lab import pki
from tests.fakes.connecting import (
    Fields,
    both_ways,
    cluster_of,
    kubeconfig,
    serve,
    settings,
)

pytestmark = pytest.mark.anyio


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
