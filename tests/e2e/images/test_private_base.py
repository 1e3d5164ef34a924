"""A base image from a registry with a password: every login that Docker has counts, whatever else is broken."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.docker_daemon.test_config import configured, helper
from tests.e2e.conftest import Lab, Program, new_program
from tests.fakes.private_registry import LOGIN, PASSWORD, private_registry

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, lab: Lab) -> Iterator[str]:
    with private_registry(tmp_path_factory.mktemp("registry"), lab.env["DOCKER_HOST"]) as address:
        yield address


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A person's home folder with Docker's configuration, and a folder on PATH."""
    home = tmp_path_factory.mktemp("home")
    (home / ".docker").mkdir()
    return home


@pytest.fixture(scope="module")
def mine(lab: Lab, checkout: Path, deployed: Program, home: Path) -> Program:
    """The stack of the other tests, as that person runs it."""
    assert deployed.state()["resources"]
    variables = {"HOME": str(home), "PATH": f"{home}:{lab.env.get('PATH') or os.environ['PATH']}"}
    return new_program(replace(lab, env={**lab.env, **variables}), checkout, checkout)


def build(program: Program, base: str, text: str) -> str:
    """An update that builds from the private base; what it says."""
    (program.folder / "app" / "Dockerfile").write_text(f"FROM {base}/base:1\nENV TEXT={text}\n")
    lines: list[str] = []
    program.up(lines.append)
    return "".join(lines)


def test_a_helper_that_knows_no_list_and_a_store_that_takes_six_seconds_are_waited_for(
    mine: Program, home: Path, base: str
) -> None:
    configured(home / ".docker", {"credsStore": "desktop", "credHelpers": {base: "acr-env"}})
    helper(
        home,
        "desktop",
        "[ \"$1\" = list ] && sleep 6 && echo '{}' || { echo credentials not found in native keychain; exit 1; }",
    )
    helper(home, "acr-env", f"[ \"$1\" = get ] && echo '{LOGIN}'")
    assert "cannot list its logins" not in build(mine, base, "slow")
    assert not (home / "config.json").exists()


@pytest.mark.parametrize("where", ["credHelpers", "auths"])
def test_a_broken_store_costs_no_other_login(mine: Program, home: Path, base: str, where: str) -> None:
    logins = {"credHelpers": {base: "acr-env"}, "auths": {base: {"auth": "bWU6bGV0IG1lIGlu"}}}
    configured(home / ".docker", {"credsStore": "gone", where: logins[where]})
    helper(home, "acr-env", f"[ \"$1\" = get ] && echo '{LOGIN}'")
    said = build(mine, base, where)
    assert "docker-credential-gone" in said
    assert not (home / "config.json").exists()
    for secret in (PASSWORD, "bWU6bGV0IG1lIGlu"):
        assert secret not in said
        assert secret not in str(mine.state())


def test_without_a_login_the_build_fails_and_nothing_is_left(mine: Program, home: Path, base: str) -> None:
    configured(home / ".docker", {"credsStore": "gone"})
    (mine.folder / "app" / "Dockerfile").write_text(f"FROM {base}/base:1\nENV TEXT=none\n")
    assert "401" in mine.failing_up()
    assert not (home / "config.json").exists()
