"""The plugin's way with Docker's logins, which is the real one's: what it asks whom, and what stops a build."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker_daemon.test_config import configured, helper
from tests.fakes.private_registry import LOGIN, private_registry
from tests.lab.test_docker_provider import ENVIRONMENT, Json, Plugin, docker_host, inputs_for, refused, started

__all__ = ["docker_host"]

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[str]:
    """The registry that a build pulls its base image from, host:port."""
    with private_registry(tmp_path_factory.mktemp("registry"), docker_host) as address:
        yield address


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, docker_host: str) -> Iterator[Plugin]:
    folder = tmp_path_factory.mktemp("program")
    variables = {"DOCKER_CONFIG": str(folder), "PATH": f"{folder}:{os.environ['PATH']}"}
    with started(folder, {**ENVIRONMENT, **variables}) as plugin:
        plugin.configure(docker_host)
        yield plugin


@pytest.fixture
def inputs(running: Plugin, base: str, request: pytest.FixtureRequest) -> Json:
    """Something to build from the private base; nothing of it is in the engine's cache."""
    (running.folder / "app").mkdir(exist_ok=True)
    (running.folder / "app" / "Dockerfile").write_text(f"FROM {base}/base:1\nENV TEST={request.node.name!r}\n")
    for program in running.folder.glob("docker-credential-*"):
        program.unlink()
    return running.check({**inputs_for("localhost:1/app:1"), "skipPush": True})


def configure(running: Plugin, config: Json) -> Path:
    configured(running.folder, config)
    return running.folder


def test_without_a_login_the_base_is_not_given(running: Plugin, inputs: Json) -> None:
    configure(running, {})
    with refused("error reading build output: ", "401"):
        running.create(inputs)


def test_a_login_in_the_file_is_used(running: Plugin, inputs: Json, base: str) -> None:
    configure(running, {"auths": {base: {"auth": "bWU6bGV0IG1lIGlu"}}})
    assert running.create(inputs)["repoDigest"]


def test_a_registrys_helper_is_asked_for_it_and_never_to_list(running: Plugin, inputs: Json, base: str) -> None:
    folder = configure(running, {"credHelpers": {base: "acr-env", "gone.example": "gone"}})
    helper(folder, "acr-env", f"""[ "$1 $(cat)" = "get {base}" ] && echo '{LOGIN}'""")
    assert running.create(inputs)["repoDigest"]


def test_the_store_is_asked_for_it(running: Plugin, inputs: Json, base: str) -> None:
    folder = configure(running, {"credsStore": "store"})
    helper(folder, "store", f"""[ "$1" = list ] && echo '{{"{base}": "me"}}' || echo '{LOGIN}'""")
    assert running.create(inputs)["repoDigest"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, 'error listing credentials - err: exec: "docker-credential-store": executable file not found in $PATH'),
        ("echo no; exit 1", "error listing credentials - err: exit status 1, out: `no`"),
        (
            """[ "$1" = list ] && echo '{"one.example": "me"}' || { echo locked; exit 1; }""",
            "error getting credentials - err: exit status 1, out: `locked`",
        ),
    ],
)
def test_a_store_that_fails_stops_every_build(running: Plugin, inputs: Json, script: str | None, said: str) -> None:
    folder = configure(running, {"credsStore": "store"})
    if script:
        helper(folder, "store", script)
    with refused(said):
        running.create(inputs)


def test_so_does_one_that_fails_for_the_push_address(running: Plugin, inputs: Json) -> None:
    folder = configure(running, {"credsStore": "store"})
    helper(folder, "store", "[ \"$1\" = list ] && echo '{}' || { echo locked; exit 1; }")
    with refused("error getting credentials - err: exit status 1, out: `locked`"):
        running.create({**inputs, "skipPush": False})
