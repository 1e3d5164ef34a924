"""Images that are lost in the registry: what a stack has deployed is looked for, and the printed line mends it."""

import asyncio
import re
import shlex
from pathlib import Path

import pytest

from kube_registry.names import image_urn
from kube_registry.spec.endpoints import Reference, parse_reference
from kube_registry.spec.settings import Settings
from lab.cluster import known as spec_of
from tests.e2e.commands import commands_of
from tests.e2e.conftest import STACK, Lab, Program, settings_of
from tests.fakes.writing import pushing

pytestmark = pytest.mark.lab

NAMESPACE = ("--namespace", "kube-registry")


@pytest.fixture(scope="module")
def deployed(program: Program) -> Program:
    program.configure(images_other_context="./app")
    return program


def states(program: Program, **env: str) -> dict[str, str]:
    """What doctor says of each image and of all that is to be mended; by its exit status, whether anything is."""
    done = program.registryctl("doctor", **env)
    assert done.stderr == ""
    rows = [re.split(r"  +", line.strip(), maxsplit=2) for line in done.stdout.splitlines()]
    assert done.returncode == int("fix" in {state for state, *_ in rows}), done.stdout
    return {subject: words for state, subject, words in rows if state == "fix" or subject.startswith("image ")}


def all_there(program: Program) -> bool:
    references = program.output("images")
    return states(program) == {f"image {name}": f"{reference} is complete" for name, reference in references.items()}


def fix(program: Program, *lost: str) -> None:
    """Run the one line that doctor prints for every image that is lost, as a person would copy it."""
    said = states(program)
    (line,) = {line for name in lost for line in commands_of(said[f"image {name}"])}
    urns = [image_urn("kube-registry", STACK, name) for name in lost]
    assert line == " ".join(["pulumi", "up", "--stack", STACK, *(f"--replace '{urn}'" for urn in urns)])
    done = program.run(*shlex.split(line), "--yes", "--skip-preview", "--non-interactive")
    assert done.returncode == 0, done.stdout + done.stderr


def image(program: Program, name: str = "app") -> Reference:
    return parse_reference(program.output("images")[name])


async def delete_manifest(settings: Settings, repository: str, digest: str) -> None:
    async with pushing(settings) as registry:
        await registry.delete(repository, digest)


def layers(lab: Lab, repository: str) -> list[Path]:
    """Where the volume keeps the layers that a repository has, the largest first."""
    volumes = spec_of(lab.cluster.name).volumes
    digests = {link.parent.name for link in volumes.rglob(f"repositories/{repository}/_layers/sha256/*/link")}
    files = [file for file in volumes.rglob("blobs/sha256/*/*/data") if file.parent.name in digests]
    return sorted(files, key=lambda file: file.stat().st_size, reverse=True)


class TestDoctor:
    """One stack with two images; each test leaves them as they should be."""

    def test_of_a_stack_that_was_never_deployed_there_is_nothing_to_look_for(self, deployed: Program) -> None:
        said = states(deployed)[f"stack {STACK}"]
        assert said == f"has no images in its outputs yet. Fix: `pulumi up --stack {STACK}`"

    def test_all_is_there_after_an_update(self, deployed: Program) -> None:
        deployed.up()
        assert all_there(deployed)

    def test_the_urn_is_the_one_that_pulumi_keeps(self, deployed: Program) -> None:
        urns = {resource["urn"] for resource in deployed.state()["resources"]}
        assert {image_urn("kube-registry", STACK, name) for name in ("app", "other")} <= urns

    def test_a_manifest_that_was_deleted_is_missed_and_the_line_pushes_it_again(
        self, lab: Lab, deployed: Program
    ) -> None:
        lost = image(deployed)
        asyncio.run(delete_manifest(settings_of(lab), lost.repository, str(lost.digest)))
        said = states(deployed)
        assert said["image app"].startswith(f"manifest {lost.digest} is missing, ")  # and so is its tag
        assert said["image other"].endswith(" is complete")
        fix(deployed, "app")
        assert all_there(deployed)

    def test_so_is_a_layer_whose_bytes_are_gone_in_every_image_that_had_it(self, lab: Lab, deployed: Program) -> None:
        layer = layers(lab, "app")[0]
        layer.unlink()
        words = f"layer sha256:{layer.parent.name} is missing"
        assert all(said.startswith(words) for said in states(deployed).values())
        fix(deployed, "app", "other")
        assert all_there(deployed)

    def test_in_a_cluster_that_is_not_reached_nothing_is_called_missing(
        self, deployed: Program, tmp_path: Path
    ) -> None:
        kubeconfig = tmp_path / "kubeconfig"
        given = Path(deployed.stack.workspace.env_vars["KUBECONFIG"]).read_text()
        kubeconfig.write_text(given.replace('"server": "https://', '"server": "https://127.0.0.1:1/was/'))
        assert kubeconfig.read_text() != given
        ((subject, words),) = states(deployed, KUBECONFIG=str(kubeconfig)).items()
        assert subject == "cluster"
        assert "127.0.0.1:1" in words

    def test_a_new_volume_gets_every_image_again(self, lab: Lab, deployed: Program) -> None:
        lab.kubectl("delete", "deployment", "registry", *NAMESPACE)
        lab.kubectl("delete", "pvc", "registry", *NAMESPACE)
        deployed.up()
        assert all_there(deployed)


class TestReference:
    NOWHERE = {"DOCKER_HOST": "tcp://127.0.0.1:1", "KUBECONFIG": "/nowhere"}  # noqa: RUF012 - a constant

    def test_it_is_what_is_deployed_without_docker_and_without_a_cluster(self, deployed: Program) -> None:
        done = deployed.registryctl("reference", **self.NOWHERE)
        assert done.returncode == 0, done.stderr
        references = deployed.output("images")
        assert done.stdout.splitlines() == [references[name].partition("@")[0] for name in ("app", "other")]
        assert deployed.registryctl("reference", "other", **self.NOWHERE).stdout == done.stdout.splitlines()[1] + "\n"

    def test_it_is_of_the_files_as_they_are_now(self, deployed: Program) -> None:
        (deployed.folder / "app" / "site" / "version").write_text("edited\n")
        told = parse_reference(deployed.registryctl("reference", "app", **self.NOWHERE).stdout.strip())
        assert told.tag != image(deployed).tag
        deployed.up()
        assert told.tag == image(deployed).tag

    def test_an_image_that_there_is_not(self, deployed: Program) -> None:
        done = deployed.registryctl("reference", "nope", **self.NOWHERE)
        assert done.returncode == 2
        assert "there is no image nope; the settings have app, other" in done.stderr
