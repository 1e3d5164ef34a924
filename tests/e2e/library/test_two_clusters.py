"""A program from the installed wheel with a registry in each of two clusters, and one image in both."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kube_registry.spec.endpoints import parse_reference
from tests.e2e.conftest import Lab, Program, new_program
from tests.e2e.library.conftest import ctl, python_of
from tests.e2e.pulls import pulled

pytestmark = pytest.mark.lab

PROJECT = "name: two\nruntime: {name: python, options: {toolchain: pip, virtualenv: .venv}}\n"
CODE = """
import pulumi
from kube_registry.components import ClusterRegistry, RegistryImage

config = pulumi.Config()
registries = {
    "east": ClusterRegistry("east", kube_context=config.require("kubeContext")),
    "west": ClusterRegistry("west", kubeconfig=config.require("kubeconfig")),
}
for name, registry in registries.items():
    app = RegistryImage(f"{name}-app", registry=registry, repository="app", context="./app")
    pulumi.export(name, app.reference)
    pulumi.export(f"{name}PushAddress", registry.push_address)
"""
STACK, COMPONENTS, OBJECTS, PROVIDERS, STASH, IMAGE = 1, 2, 7, 2, 1, 1
EVERYTHING = STACK + 2 * (COMPONENTS + OBJECTS + PROVIDERS + STASH + IMAGE)


@pytest.fixture(scope="module")
def program(lab: Lab, other_lab: Lab, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    checkout = tmp_path_factory.mktemp("two")
    folder = checkout / "two"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "Dockerfile").write_text('FROM busybox:stable\nCOPY version /\nCMD ["sleep", "900"]\n')
    (folder / "app" / "version").write_text("1\n")
    (folder / "Pulumi.yaml").write_text(PROJECT)
    (folder / "__main__.py").write_text(CODE)
    made = new_program(lab, checkout, folder, PATH=python_of(installed, lab))
    made.configure(kubeContext=lab.cluster.kube_context, kubeconfig=str(other_lab.cluster.kubeconfig))
    yield made
    made.destroy()


def resources(program: Program, kind: str) -> dict[str, dict[str, Any]]:
    """The resources of a type in the state, by name."""
    found = [each for each in program.state()["resources"] if each["type"] == kind]
    return {each["urn"].rpartition("::")[2]: each for each in found}


class TestLife:
    def test_one_update_makes_both(self, program: Program) -> None:
        assert program.up() == {"create": EVERYTHING}
        east, west = (parse_reference(program.output(name)) for name in ("east", "west"))
        assert east == west
        assert east.host == "localhost:30100"

    def test_the_nodes_of_each_cluster_pull_from_their_own(self, lab: Lab, other_lab: Lab, program: Program) -> None:
        for place, name in ((lab, "east"), (other_lab, "west")):
            image = program.output(name)
            assert pulled(place, image) == {node.name: parse_reference(image).digest for node in place.cluster.nodes}

    def test_they_share_no_name(self, program: Program) -> None:
        assert program.output("eastPushAddress") != program.output("westPushAddress")
        assert set(resources(program, "pulumi:providers:kubernetes")) == {"east-cluster", "west-cluster"}
        assert set(resources(program, "pulumi:providers:docker")) == {"east-builder", "west-builder"}
        images = resources(program, "docker:index/image:Image")
        assert set(images) == {"east-app", "west-app"}
        for name in ("east", "west"):
            image = images[f"{name}-app"]
            assert image["inputs"]["imageName"].startswith(f"{program.output(f'{name}PushAddress')}/app:")
            assert f"::{name}-builder::" in image["provider"]
            hooks = [hook for bound in image["resourceHooks"].values() for hook in bound]
            assert {hook.partition(":")[0] for hook in hooks} == {name}

    def test_registryctl_works_on_the_one_that_is_named(self, installed: Path, program: Program) -> None:
        refused = ctl(installed, program, "images")
        assert refused.returncode == 1
        assert "east, west" in refused.stderr
        for name in ("east", "west"):
            done = ctl(installed, program, "doctor", "--registry", name)
            assert (done.returncode, done.stderr) == (0, ""), done.stdout
            reference = ctl(installed, program, "reference", "--registry", name).stdout.strip()
            assert reference == program.output(name).partition("@")[0]

    def test_nothing_changed_changes_nothing(self, program: Program) -> None:
        assert program.up() == {"same": EVERYTHING}

    def test_an_edit_is_pushed_to_both(self, program: Program) -> None:
        before = program.output("east")
        (program.folder / "app" / "version").write_text("2\n")
        assert program.up() == {"same": EVERYTHING - 2, "update": 2}
        assert program.output("east") == program.output("west") != before

    def test_both_are_destroyed(self, lab: Lab, other_lab: Lab, program: Program) -> None:
        program.destroy()
        for place in (lab, other_lab):
            assert place.get("namespaces", "--field-selector", "metadata.name=kube-registry") == []
