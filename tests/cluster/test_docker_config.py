"""Which daemon and which helpers Docker's own configuration names, with folders and programs as Docker has them."""

import hashlib
import json
from pathlib import Path

import pytest

from cluster.docker_config import broken_helpers, chosen_daemon
from stack.errors import DaemonError


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


class TestHelpers:
    @pytest.fixture(autouse=True)
    def programs(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def test_those_that_list_what_they_keep_work(self, tmp_path: Path) -> None:
        helper(tmp_path, "good", "echo '{}'")
        assert broken_helpers(configured(tmp_path, {"credsStore": "good"})) == []

    def test_missing_failing_and_babbling_ones_do_not(self, tmp_path: Path) -> None:
        helper(tmp_path, "failing", "echo pass store is uninitialized; exit 1")
        helper(tmp_path, "babbling", "echo hello")
        config = {"credsStore": "missing", "credHelpers": {"one.example": "failing", "other.example": "babbling"}}
        broken = [f"docker-credential-{name}" for name in ("babbling", "failing", "missing")]
        assert broken_helpers(configured(tmp_path, config)) == broken

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"credHelpers": null}', '{"credHelpers": ["one"]}'])
    def test_a_configuration_that_cannot_be_read_names_none(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.json").write_text(text)
        assert broken_helpers({"DOCKER_CONFIG": str(tmp_path)}) == []
