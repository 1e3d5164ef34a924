"""registryctl, as the wheel installs it, on the registry of a program that is not this repository's.

The program of examples/library is changed in two ways: its own config has keys with the names of settings, which no
verb may take for settings, and its first update cannot pull the registry's image, so that it fails.
"""

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest

from kube_registry.names import image_urn
from kube_registry.spec.endpoints import Reference, parse_reference
from lab.waiting import wait_for
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, settings_of
from tests.e2e.library.conftest import ctl as verb_of
from tests.fakes.writing import pushing

pytestmark = pytest.mark.lab

CONTENT = "kubeconfig=cluster.kubeconfig, opts="
UNPULLABLE = 'kubeconfig=cluster.kubeconfig, registry_image="localhost:1/registry:3.1.2", opts='
VERBS = ("doctor", "images", "verify", "gc", "tunnel", "preflight", "reference")


@pytest.fixture(scope="module", autouse=True)
def config_of_its_own(library: Program) -> None:
    library.configure(images="three", nodePort="many")


@pytest.fixture(scope="module")
def deployed(library: Program) -> Program:
    """The program, deployed."""
    file = library.folder / "__main__.py"
    file.write_text(file.read_text().replace(UNPULLABLE, CONTENT))
    library.up()
    return library


async def delete(lab: Lab, image: Reference) -> None:
    async with pushing(settings_of(lab)) as registry:
        await registry.delete(image.repository, str(image.digest))


def ctl(program: Program, *words: str) -> "subprocess.CompletedProcess[str]":
    return verb_of(program.folder / ".venv", program, *words)


@pytest.mark.parametrize("verb", VERBS)
def test_before_the_first_update_there_is_no_registry(library: Program, verb: str) -> None:
    ended = ctl(library, verb)
    assert ended.returncode == 1
    assert "no ClusterRegistry" in ended.stderr
    assert f"`pulumi up --stack {library.stack.name}`" in ended.stderr
    assert "pulumi config" not in ended.stderr


def test_a_first_update_that_fails_can_be_looked_at(library: Program) -> None:
    file = library.folder / "__main__.py"
    file.write_text(file.read_text().replace(CONTENT, UNPULLABLE))
    assert "localhost:1/registry:3.1.2" in library.failing_up()
    ended = ctl(library, "doctor")
    assert ended.returncode == 1
    assert "localhost:1/registry:3.1.2" in ended.stdout


def test_all_is_well(deployed: Program) -> None:
    ended = ctl(deployed, "doctor")
    assert (ended.returncode, ended.stderr) == (0, ""), ended.stdout


def test_its_image_is_listed_with_the_stack_that_uses_it(deployed: Program) -> None:
    ended = ctl(deployed, "images", "--json")
    (image,) = (each for each in json.loads(ended.stdout)["images"] if each["repository"] == "app")
    assert image["digest"] in deployed.output("image")
    assert f"output of {deployed.stack.name}" in image["users"]


def test_every_byte_is_read(deployed: Program) -> None:
    ended = ctl(deployed, "verify")
    assert ended.returncode == 0, ended.stdout
    assert "all content matches" in ended.stdout


def test_nothing_that_is_used_would_go(deployed: Program) -> None:
    ended = ctl(deployed, "gc", "--keep", "1", "--dry-run")
    assert ended.returncode == 0, ended.stderr
    assert "nothing to remove: " in ended.stdout


def test_every_node_pulls(lab: Lab, deployed: Program) -> None:
    ended = ctl(deployed, "preflight")
    assert ended.returncode == 0, ended.stdout
    nodes = len(lab.cluster.nodes)
    assert f"{nodes} of {nodes} nodes" in ended.stdout


def test_the_reference_is_the_one_that_is_deployed(deployed: Program) -> None:
    tagged = deployed.output("image").partition("@")[0]
    assert ctl(deployed, "reference").stdout.split() == [tagged]
    assert ctl(deployed, "reference", "app").stdout.split() == [tagged]


def test_a_tunnel_opens_on_the_push_port_of_the_component(deployed: Program, tmp_path: Path) -> None:
    command = [str(deployed.folder / ".venv" / "bin" / "registryctl"), "tunnel", "--stack", deployed.stack.name]
    log = tmp_path / "tunnel"
    with log.open("w") as out:
        held = subprocess.Popen(command, cwd=deployed.folder, env=deployed.stack.workspace.env_vars, stdout=out)
    try:
        wait_for(lambda: "open: " in log.read_text(), "the tunnel", log=log, seconds=60)
    finally:
        held.send_signal(signal.SIGINT)
        held.wait(timeout=30)
    (port,) = {
        each["outputs"]["settings"]["pushPort"]
        for each in deployed.state()["resources"]
        if each["type"] == "kube-registry:index:ClusterRegistry"
    }
    assert f"push address localhost:{port}, pull host localhost:30100," in log.read_text()


def test_a_lost_image_is_pushed_again_by_the_command_that_is_printed(lab: Lab, deployed: Program) -> None:
    asyncio.run(delete(lab, parse_reference(deployed.output("image"))))
    ended = ctl(deployed, "doctor")
    assert ended.returncode == 1
    (line,) = commands_of(ended.stdout, "--replace")
    assert image_urn("library", deployed.stack.name, "app") in line
    deployed.paste([line])
    assert ctl(deployed, "doctor").returncode == 0
