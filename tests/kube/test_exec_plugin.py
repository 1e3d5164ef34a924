"""Credential plugins, as real programs that answer what those of EKS, GKE and AKS answer."""

import asyncio
import base64
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kube_registry.concurrency import poll
from kube_registry.kube import exec_plugin
from kube_registry.kube.client import open_client
from kube_registry.kube.errors import (
    CredentialPluginError,
    CredentialPluginFailedError,
    CredentialsError,
    KubeconfigError,
)
from kube_registry.kube.websocket import open_websocket
from lab import pki
from tests.fakes.connecting import PROTOCOL, Fields, cluster_of, kubeconfig, serve, settings

pytestmark = pytest.mark.anyio
V1 = "client.authentication.k8s.io/v1"
V1BETA1 = "client.authentication.k8s.io/v1beta1"
PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Program:
    """A plugin in a folder of its own; it writes down how it was run."""

    folder: Path

    @property
    def runs(self) -> list[Fields]:
        """What it was told at each run."""
        told = self.folder / "told"
        return [json.loads(line) for line in told.read_text().splitlines()] if told.exists() else []

    def answers(self, status: Fields, version: str = V1BETA1, *, first: str = "") -> None:
        """What it answers from now on, having done something `first`; $RUN in it is the number of the run."""
        answer = {"kind": "ExecCredential", "apiVersion": version, "spec": {}, "status": status}
        self.does(f"{first}\ncat <<END\n{json.dumps(answer)}\nEND")

    def does(self, script: str) -> None:
        """What it does from now on, in words of the shell."""
        text = f'#!/bin/sh\ncd {self.folder}\necho "$KUBERNETES_EXEC_INFO" >> told\nRUN=$(wc -l < told)\n{script}\n'
        new = self.folder / "new"
        new.write_text(text)
        new.chmod(0o755)
        new.rename(self.folder / "plugin")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "bin").mkdir()
    return Program(tmp_path / "bin")


def user(version: str = V1BETA1, **more: object) -> Fields:
    return {"exec": {"apiVersion": version, "command": "./bin/plugin", "interactiveMode": "IfAvailable", **more}}


def in_(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


async def failure(folder: Path, who: Fields) -> KubeconfigError:
    file = kubeconfig(folder / "config", {"server": "https://192.0.2.1"}, who)
    with pytest.raises(KubeconfigError) as raised:
        async with open_client(settings(file)):
            pass
    assert "\n" not in str(raised.value)
    assert "kube context 'here'" in str(raised.value)
    return raised.value


class TestProviders:
    async def test_aws_eks_get_token(self, authority: pki.Authority, tmp_path: Path, program: Program) -> None:
        program.answers({"expirationTimestamp": in_(840), "token": "k8s-aws-v1.$AWS_PROFILE.$*"})
        arguments = ["--region", "eu-west-1", "eks", "get-token", "--cluster-name", "prod"]
        env = [{"name": "AWS_PROFILE", "value": "deployer"}]
        async with serve(authority) as api:
            who = user(args=arguments, env=env, interactiveMode=None)
            async with open_client(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), who))) as kube:
                await asyncio.gather(*(kube.get(f"/{number}") for number in range(5)))
            assert set(api.authorizations) == {f"Bearer k8s-aws-v1.deployer.{' '.join(arguments)}"}
        assert program.runs == [{"apiVersion": V1BETA1, "kind": "ExecCredential", "spec": {"interactive": False}}]

    async def test_gke_gcloud_auth_plugin_is_told_the_cluster(
        self, authority: pki.Authority, tmp_path: Path, program: Program
    ) -> None:
        program.answers({"token": "ya29.a0", "expirationTimestamp": in_(3600)})
        extensions = [
            {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "gke"}},
            {"name": "other"},
        ]
        async with serve(authority) as api:
            cluster = cluster_of(api, authority, extensions=extensions, disable_compression=True)
            who = user(provideClusterInfo=True, installHint="Install gke-gcloud-auth-plugin")
            async with open_client(settings(kubeconfig(tmp_path / "config", cluster, who))) as kube:
                await kube.get("/version")
            (run,) = program.runs
            data = base64.b64encode(authority.certificate.read_bytes()).decode()
            told = {"server": api.url, "certificate-authority-data": data, "disable-compression": True}
            told["config"] = {"audience": "gke"}
            assert run["spec"]["cluster"] == told
            assert api.authorizations == ["Bearer ya29.a0"]

    async def test_kubelogin_get_token_speaks_v1(
        self, authority: pki.Authority, tmp_path: Path, program: Program
    ) -> None:
        program.answers({"expirationTimestamp": "2099-01-01T00:00:00Z", "token": "eyJ0.e30.x"}, V1)
        async with serve(authority) as api:
            who = user(V1, args=["get-token", "--login", "azurecli"], interactiveMode="Never")
            async with open_client(settings(kubeconfig(tmp_path / "config", cluster_of(api, authority), who))) as kube:
                await kube.get("/version")
            assert api.authorizations == ["Bearer eyJ0.e30.x"]


class TestRefresh:
    async def test_a_token_is_replaced_ahead_of_its_end_while_the_client_is_open(
        self, authority: pki.Authority, tmp_path: Path, program: Program
    ) -> None:
        program.answers({"token": "token-1", "expirationTimestamp": in_(3)})
        async with serve(authority) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), user())
            async with open_client(settings(file)) as kube:
                await kube.get("/version")
                program.answers({"token": "token-2", "expirationTimestamp": in_(3600)})
                deadline = time.monotonic() + PATIENCE_SECONDS
                while "Bearer token-2" not in api.authorizations and time.monotonic() < deadline:
                    await kube.get("/version")
                async with open_websocket(kube, "/socket", PROTOCOL):
                    pass
            assert api.authorizations[0] == "Bearer token-1"
            assert api.authorizations[-1] == "Bearer token-2"
        assert len(program.runs) == 2

    async def test_without_an_end_it_is_asked_for_once_and_once_more_when_refused(
        self, authority: pki.Authority, tmp_path: Path, program: Program
    ) -> None:
        program.answers({"token": "token-$RUN"})
        async with serve(authority) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), user())
            async with open_client(settings(file)) as kube:
                await kube.get("/1")
                await kube.get("/2")
                assert len(program.runs) == 1
                api.accepts = lambda asked: asked.authorization == "Bearer token-2"
                await asyncio.gather(*(kube.get(f"/{number}") for number in range(5)))
                assert len(program.runs) == 2
                api.accepts = lambda _: False
                with pytest.raises(CredentialsError):
                    await kube.get("/3")
                assert len(program.runs) == 3

    async def test_a_plugin_that_fails_later_says_so_then(
        self, authority: pki.Authority, tmp_path: Path, program: Program
    ) -> None:
        program.answers({"token": "t"})
        async with serve(authority) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), user())
            async with open_client(settings(file)) as kube:
                program.does("echo 'session expired, log in' >&2; exit 3")
                api.accepts = lambda _: False
                with pytest.raises(CredentialPluginFailedError, match=r"exit code 3: session expired, log in\. Fix: "):
                    await kube.get("/version")


class TestCertificates:
    async def test_a_new_one_is_shown_on_new_connections_while_the_old_ones_stay(
        self, authority: pki.Authority, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And no private key is left on the disk."""
        (tmp_path / "tmp").mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
        answer_certificate(program, authority, "first")
        async with serve(authority) as api:
            file = kubeconfig(tmp_path / "config", cluster_of(api, authority), user())
            async with open_client(settings(file)) as kube, open_websocket(kube, "/socket", PROTOCOL) as socket:
                await kube.get("/version")
                answer_certificate(program, authority, "second")
                api.accepts = lambda asked: asked.user == "second"
                await kube.get("/version")
                await socket.send_bytes(b"still here")
                assert await socket.receive_bytes(timeout=5) == b"still here"
                assert list((tmp_path / "tmp").iterdir()) == []
            assert api.users == ["first", "first", "first", "second"]
        assert len(program.runs) == 2

    async def test_one_that_is_none_is_one_sentence(self, tmp_path: Path, program: Program) -> None:
        program.answers({"clientCertificateData": "no", "clientKeyData": "no"})
        assert "PEM" in str(await failure(tmp_path, user()))


def answer_certificate(program: Program, authority: pki.Authority, name: str) -> None:
    identity = pki.issue(authority, name)
    program.answers({"clientCertificateData": identity.certificate, "clientKeyData": identity.key})


class TestFailures:
    @pytest.mark.parametrize(
        ("script", "words"),
        [
            (
                "echo 'Unable to locate credentials.\n Run aws login' >&2; exit 255",
                "exit code 255: Unable to locate cred",
            ),
            ("exit 1", "failed with exit code 1: no message. Fix: log in as the plugin requires"),
            ("kill -9 $$", "failed with exit code -9"),
            ("echo hello", f"did not print a {V1BETA1} ExecCredential"),
            ("echo '[]'", f"did not print a {V1BETA1} ExecCredential"),
            ("echo '{}'", f"did not print a {V1BETA1} ExecCredential"),
            (f"echo '{'[' * 5_000}{']' * 5_000}'", f"did not print a {V1BETA1} ExecCredential"),
            ("head -c 100 /dev/urandom", f"did not print a {V1BETA1} ExecCredential"),
        ],
    )
    async def test_what_a_plugin_does_wrong_is_one_sentence(
        self, tmp_path: Path, program: Program, script: str, words: str
    ) -> None:
        program.does(script)
        error = await failure(tmp_path, user())
        assert type(error) is CredentialPluginFailedError
        assert words in str(error)

    @pytest.mark.parametrize(
        ("status", "version", "words"),
        [
            ({"token": "t"}, V1, f"it is {V1} ExecCredential"),
            ({}, V1BETA1, "neither a token nor a certificate with its key"),
            ({"clientCertificateData": "x"}, V1BETA1, "neither a token nor a certificate with its key"),
            ({"token": "t", "clientKeyData": "x"}, V1BETA1, "neither a token nor a certificate with its key"),
            ({"token": "t", "expirationTimestamp": "tomorrow"}, V1BETA1, "did not print a"),
            ({"token": {"a": 1}}, V1BETA1, "did not print a"),
            ([], V1BETA1, "did not print a"),
        ],
    )
    async def test_an_answer_without_a_credential_is_one_sentence(
        self, tmp_path: Path, program: Program, status: Fields, version: str, words: str
    ) -> None:
        program.answers(status, version)
        error = await failure(tmp_path, user())
        assert type(error) is CredentialPluginFailedError
        assert words in str(error)

    @pytest.mark.parametrize("end", ["00:00:00Z", "00:00:00.000000001Z", "01:30:00+01:30", "00:00:00"])
    def test_a_time_is_read_in_every_form_that_go_writes(self, end: str) -> None:
        answer = {"kind": "ExecCredential", "apiVersion": V1}
        found = exec_plugin._parsed(
            {**answer, "status": {"token": "t", "expirationTimestamp": f"2099-01-01T{end}"}}, V1
        )
        assert found.refresh_at == datetime(2098, 12, 31, 23, 59, tzinfo=UTC).timestamp()

    async def test_one_that_hangs_is_ended_with_all_that_it_started(
        self, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(exec_plugin, "PLUGIN_SECONDS", 0.5)
        program.does("sleep 600 &\necho $! > child\nwait")
        error = await failure(tmp_path, user())
        assert "did not finish within 0.5 s" in str(error)
        await until_gone(int((program.folder / "child").read_text()))

    async def test_one_that_is_given_up_is_ended_too(self, tmp_path: Path, program: Program) -> None:
        program.does("echo $$ > child\nexec sleep 600")
        task = asyncio.create_task(failure(tmp_path, user()))
        child = program.folder / "child"
        await until(lambda: child.exists() and child.read_text().strip() != "")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until_gone(int(child.read_text()))

    async def test_what_one_that_succeeded_left_running_stays(self, tmp_path: Path, program: Program) -> None:
        """Some keep an agent that remembers a login."""
        program.answers({"token": "t"}, first="sleep 600 >/dev/null 2>&1 &\necho $! > child")
        file = kubeconfig(tmp_path / "config", {"server": "https://192.0.2.1"}, user())
        async with open_client(settings(file)):
            child = int((program.folder / "child").read_text())
        os.kill(child, signal.SIGKILL)  # raises if it is gone
        await until_gone(child)

    async def test_one_that_is_missing_is_named_with_the_hint_how_to_install_it(self, tmp_path: Path) -> None:
        error = await failure(tmp_path, user(command="no-such-plugin", installHint="get it\nfrom somewhere"))
        assert type(error) is CredentialPluginError
        assert (
            "its credential plugin no-such-plugin is missing (get it from somewhere). Fix: install the plugin"
            in str(error)
        )

    async def test_one_that_may_not_be_run_is_named(self, tmp_path: Path, program: Program) -> None:
        (program.folder / "plugin").write_text("#!/bin/sh\n")
        error = await failure(tmp_path, user())
        assert type(error) is CredentialPluginError
        assert f"{program.folder}/plugin cannot be run: Permission denied" in str(error)

    @pytest.mark.parametrize(
        ("wrong", "words"),
        [
            ({"command": None}, "`exec` of its user has no command"),
            ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "not client.authentication.k8s.io/v1 or"),
            ({"interactiveMode": "Always"}, "requires a terminal"),
            ({"env": ["A=1"]}, "cannot be used with kubeconfig"),
            ({"args": 1}, "cannot be used with kubeconfig"),
        ],
    )
    async def test_an_exec_section_that_is_no_good_is_one_sentence(
        self, tmp_path: Path, wrong: Fields, words: str
    ) -> None:
        assert words in str(await failure(tmp_path, user(**wrong)))


class TestTerminal:
    async def test_a_person_is_asked_there_and_sees_the_question(
        self,
        authority: pki.Authority,
        tmp_path: Path,
        program: Program,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        ours, theirs = os.openpty()
        program.answers({"token": "$CODE"}, first="printf 'Your code: ' >&2\nread CODE")
        with os.fdopen(theirs) as terminal, os.fdopen(ours, "wb") as person:
            monkeypatch.setattr(sys, "stdin", terminal)
            person.write(b"1234\n")
            person.flush()
            async with serve(authority) as api:
                file = kubeconfig(tmp_path / "config", cluster_of(api, authority), user())
                async with open_client(settings(file)) as kube:
                    await kube.get("/version")
                assert api.authorizations == ["Bearer 1234"]
        assert program.runs[0]["spec"] == {"interactive": True}
        assert capsys.readouterr().err == "Your code: "


async def until_gone(pid: int) -> None:
    """Return once a process is gone or waits only for its parent."""
    status = Path(f"/proc/{pid}/stat")

    def gone() -> bool:
        try:
            return status.read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    await until(gone)


async def until(so: Callable[[], bool]) -> None:
    async def asked() -> bool | None:
        return so() or None

    assert await poll(asked, seconds=PATIENCE_SECONDS, pause=0.02)
