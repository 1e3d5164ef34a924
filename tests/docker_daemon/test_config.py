"""Which daemon and which helpers Docker's own configuration names, with folders and programs as Docker has them."""

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from docker.utils import kwargs_from_env

from kube_registry.docker_daemon import config as subject
from kube_registry.docker_daemon.config import BrokenStore, broken_store, chosen_daemon, docker_config
from kube_registry.docker_daemon.errors import DaemonAddressError, DaemonError, DaemonTlsError, DockerConfigError


def configured(folder: Path, config: object = None, contexts: dict[str, str] | None = None) -> dict[str, str]:
    """An environment whose Docker configuration is in a folder."""
    (folder / "config.json").write_text(json.dumps(config or {}))
    for name, host in (contexts or {}).items():
        meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        meta.mkdir(parents=True)
        (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    return {"DOCKER_CONFIG": str(folder)}


def helper(folder: Path, name: str, script: str) -> None:
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


class TestDaemon:
    def test_without_a_configuration_it_is_where_docker_usually_listens(self, tmp_path: Path) -> None:
        assert chosen_daemon({"DOCKER_CONFIG": str(tmp_path / "none")}) is None

    def test_the_current_context_names_it(self, tmp_path: Path) -> None:
        environment = configured(tmp_path, {"currentContext": "colima"}, {"colima": "unix:///colima.sock"})
        assert chosen_daemon(environment) == "unix:///colima.sock"

    def test_variables_win_over_it(self, tmp_path: Path) -> None:
        environment = configured(tmp_path, {"currentContext": "gone"}, {"other": "unix:///other.sock"})
        assert chosen_daemon({**environment, "DOCKER_CONTEXT": "other"}) == "unix:///other.sock"
        assert chosen_daemon({**environment, "DOCKER_CONTEXT": "default"}) is None
        assert chosen_daemon({**environment, "DOCKER_HOST": "tcp://far:2375"}) == "tcp://far:2375"

    def test_a_context_that_is_not_there_is_an_error_in_one_sentence(self, tmp_path: Path) -> None:
        with pytest.raises(DaemonError, match="docker context 'gone': there is no such docker context"):
            chosen_daemon(configured(tmp_path, {"currentContext": "gone"}))

    @pytest.mark.parametrize(
        "address",
        [
            "unix:///run/mine.sock",
            "tcp://docker:2375",
            "tcp://[::1]:2376/base",
            "ssh://me@there:2222/run/docker.sock",
        ],
    )
    def test_an_address_is_taken_as_it_is(self, address: str) -> None:
        assert chosen_daemon({"DOCKER_HOST": address}) == address

    @pytest.mark.parametrize(
        ("text", "meant"),
        [
            ("docker", "tcp://docker:2375"),
            ("localhost:2375", "tcp://localhost:2375"),
            ("tcp://", "tcp://localhost:2375"),
            ("tcp://docker", "tcp://docker:2375"),
            ("tcp://[::1]:", "tcp://[::1]:2375"),
            (" tcp://docker:2375 ", "tcp://docker:2375"),
            ("http://docker:2375", "tcp://docker:2375"),
            ("unix://", "unix:///var/run/docker.sock"),
            ("tcp://host:port", "unix:///var/run/docker.sock"),
            ("tcp://[::1", "unix:///var/run/docker.sock"),
            ("npipe:////./pipe/docker_engine", "unix:///var/run/docker.sock"),
            ("fd://", "unix:///var/run/docker.sock"),
            ("ssh://", "unix:///var/run/docker.sock"),
            ("tcp://host:0", "unix:///var/run/docker.sock"),
            ("/run/docker.sock", "unix:///run/docker.sock"),
            ("TCP://docker:2375", "tcp://docker:2375"),
            ("\udcff", "tcp://\udcff:2375"),
        ],
    )
    def test_what_is_no_address_is_an_error_with_an_address_that_is_one(
        self, tmp_path: Path, text: str, meant: str
    ) -> None:
        with pytest.raises(DaemonAddressError) as raised:
            chosen_daemon({"DOCKER_HOST": text})
        assert (raised.value.source, raised.value.host, raised.value.meant) == ("DOCKER_HOST", text, meant)
        assert chosen_daemon({"DOCKER_HOST": meant}) == meant
        with pytest.raises(DaemonAddressError) as raised:
            chosen_daemon({**configured(tmp_path, contexts={"odd": text}), "DOCKER_CONTEXT": "odd"})
        assert raised.value.source == "docker context 'odd'"

    @pytest.mark.parametrize(
        ("text", "meant"),
        [("ssh://me:s3cr:3t@there/run/x", "ssh://me@there/run/x"), ("tcp://me:s3cr@3t@there:1", "tcp://there:1")],
    )
    def test_a_password_in_an_address_is_not_repeated(self, text: str, meant: str) -> None:
        with pytest.raises(DaemonAddressError) as raised:
            chosen_daemon({"DOCKER_HOST": text})
        assert raised.value.meant == meant
        assert chosen_daemon({"DOCKER_HOST": meant}) == meant
        assert "3" not in str(raised.value)

    @pytest.mark.parametrize("skip", [False, True])
    def test_a_context_with_certificates_is_an_error_whose_command_gives_them_to_everybody(
        self, tmp_path: Path, *, skip: bool
    ) -> None:
        environment = configured(tmp_path, {"currentContext": "far"}, {"far": "tcp://far:2376"})
        (meta,) = tmp_path.glob("contexts/meta/*/meta.json")
        endpoint = {"Host": "tcp://far:2376", "SkipTLSVerify": skip}
        meta.write_text(json.dumps({"Name": "far", "Endpoints": {"docker": endpoint}}))
        folder = tmp_path / "contexts" / "tls" / meta.parent.name / "docker"
        folder.mkdir(parents=True)
        for name in ("ca.pem", "cert.pem", "key.pem"):
            (folder / name).touch()
        with pytest.raises(DaemonTlsError) as raised:
            chosen_daemon(environment)
        (line,) = re.findall("`(export [^`]+)`", str(raised.value))
        done = subprocess.run(["sh", "-c", f"{line}; env -0"], capture_output=True, text=True, check=True)
        exported = dict(pair.split("=", 1) for pair in done.stdout.split("\0") if pair)
        assert chosen_daemon({**environment, **exported}) == "tcp://far:2376"
        asked = kwargs_from_env(environment=exported)
        assert asked["base_url"] == "tcp://far:2376"
        assert asked["tls"].cert == (str(folder / "cert.pem"), str(folder / "key.pem"))
        assert asked["tls"].verify is not skip


class TestConfig:
    @pytest.mark.parametrize("text", ["", " \n", "null", "{}", '{"credHelpers": null, "currentContext": null}'])
    def test_an_empty_one_names_nothing(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.json").write_text(text)
        assert chosen_daemon({"DOCKER_CONFIG": str(tmp_path)}) is None

    @pytest.mark.parametrize(
        "text",
        [
            "{",
            "[]",
            "7",
            '{"credHelpers": ["one"]}',
            '{"currentContext": 7}',
            '{"credsStore": {}}',
            '{"auths": "x"}',
            '{"auths": {"acme.example": "x"}}',
            '{"credHelpers": {"acme.example": {}}}',
            "[" * 5_000 + "]" * 5_000,
        ],
    )
    def test_one_that_docker_does_not_take_is_an_error_that_names_the_file(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.json").write_text(text)
        for environment in ({"DOCKER_CONFIG": str(tmp_path)}, {"HOME": str(tmp_path), "DOCKER_CONFIG": str(tmp_path)}):
            with pytest.raises(DockerConfigError) as raised:
                chosen_daemon(environment)
            assert raised.value.file == str(tmp_path / "config.json")
            assert raised.value.reason

    def test_one_that_is_no_text_or_no_file_is_one_too(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_bytes(b"\xff")
        with pytest.raises(DockerConfigError):
            docker_config({"DOCKER_CONFIG": str(tmp_path)})
        (tmp_path / "folder" / "config.json").mkdir(parents=True)
        with pytest.raises(DockerConfigError):
            docker_config({"DOCKER_CONFIG": str(tmp_path / "folder")})


class TestStore:
    @pytest.fixture(autouse=True)
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def test_one_that_lists_its_logins_works_whatever_the_helpers_of_single_registries_do(self, tmp_path: Path) -> None:
        helper(tmp_path, "good", "echo '{}'")
        helper(tmp_path, "acr-env", '[ "$1" = get ]')  # as Azure's: it does not know `list`
        config = {"credsStore": "good", "credHelpers": {"acme.example": "acr-env", "x": "missing"}}
        assert broken_store(configured(tmp_path, config)) is None

    def test_without_one_nothing_is_asked(self, tmp_path: Path) -> None:
        assert broken_store(configured(tmp_path, {"credHelpers": {"acme.example": "missing"}})) is None
        assert broken_store(configured(tmp_path, {"credsStore": ""})) is None

    @pytest.mark.parametrize(
        "script",
        [
            None,
            "echo pass store is uninitialized; exit 1",
            "echo hello",
            "echo '[]'",
            f"echo '{'[' * 5_000}{']' * 5_000}'",
        ],
    )
    def test_one_that_is_missing_fails_or_babbles_does_not_work(self, tmp_path: Path, script: str | None) -> None:
        if script:
            helper(tmp_path, "odd", script)
        found = broken_store(configured(tmp_path, {"credsStore": "odd"}))
        assert found == BrokenStore("docker-credential-odd", {"credHelpers": {}})

    def test_one_that_is_slow_works(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        helper(tmp_path, "slow", f"exec {shutil.which('sleep')} 600")
        monkeypatch.setattr(subject, "STORE_SECONDS", 0.2)
        assert broken_store(configured(tmp_path, {"credsStore": "slow"})) is None

    def test_only_the_store_is_taken_away_and_what_it_gives_stays(self, tmp_path: Path) -> None:
        helper(tmp_path, "half", 'read host; [ "$1 $host" = "get mine.example" ] && echo \'{"Username": "me"}\'')
        own = {"auth": "bWU6c2VjcmV0"}
        config = {
            "credsStore": "half",
            "credHelpers": {"acme.example": "acr-env"},
            "auths": {"mine.example": {}, "gone.example": {}, "file.example": own},
            "proxies": {"default": {"httpProxy": "http://proxy:3128"}},
        }
        found = broken_store(configured(tmp_path, config))
        assert found
        assert found.config == {
            "auths": config["auths"],
            "proxies": config["proxies"],
            "credHelpers": {"acme.example": "acr-env", "mine.example": "half"},
        }
