"""What a program that has grown does with its registry: other names, other options, a cluster that comes later."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, new_program
from tests.e2e.library.conftest import python_of

pytestmark = pytest.mark.lab

PROJECT = "name: grown\nruntime: {name: python, options: {toolchain: pip, virtualenv: .venv}}\n"
START = """
from pathlib import Path
import pulumi
from kube_registry.components import ClusterRegistry, RegistryImage

CONTENTS = Path("kubeconfig.json").read_text()
"""
USUAL = """
registry = ClusterRegistry("registry", kubeconfig=CONTENTS)
RegistryImage("app", registry=registry, context="./app")
"""
RENAMED = """
opts = pulumi.ResourceOptions(aliases=[pulumi.Alias(name="registry")], retain_on_delete=RETAIN)
registry = ClusterRegistry("images", kubeconfig=CONTENTS, opts=opts)
RegistryImage("app", registry=registry, context="./app")
"""
LATER = """
import pulumi_kubernetes as kubernetes

def write(_: pulumi.ResourceHookArgs) -> None:
    Path("later.json").write_text(CONTENTS)

provider = kubernetes.Provider("provider", kubeconfig=CONTENTS, cluster_identifier="later")
hooks = pulumi.ResourceHookBinding(after_create=[pulumi.ResourceHook("write", write)])
opts = pulumi.ResourceOptions(provider=provider, hooks=hooks)
cluster = kubernetes.core.v1.ConfigMap("cluster", metadata={"name": "later"}, opts=opts)
opts = pulumi.ResourceOptions(depends_on=[cluster])
registry = ClusterRegistry("registry", kubeconfig="later.json", opts=opts)
RegistryImage("app", registry=registry, context="./app")
"""


@pytest.fixture(scope="module")
def grown(lab: Lab, installed: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    checkout = tmp_path_factory.mktemp("grown")
    folder = checkout / "grown"
    (folder / "app").mkdir(parents=True)
    (folder / "app" / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    (folder / "Pulumi.yaml").write_text(PROJECT)
    (folder / "kubeconfig.json").write_text(as_json(lab.cluster.kubeconfig))
    write(folder, USUAL)
    made = new_program(lab, checkout, folder, PATH=python_of(installed, lab))
    yield made
    made.destroy()
    lab.kubectl("delete", "namespace", "kube-registry", "--ignore-not-found")


def write(folder: Path, code: str) -> None:
    (folder / "__main__.py").write_text(START + code)


def as_json(kubeconfig: Path) -> str:
    return json.dumps(yaml.safe_load(kubeconfig.read_text()))


def volume(lab: Lab) -> str:
    (claim,) = lab.get("persistentvolumeclaims", "--namespace", "kube-registry")
    return str(claim["metadata"]["uid"])


class TestGrowth:
    """One stack, from one test to the next."""

    def test_credentials_are_an_update_of_the_provider(self, lab: Lab, grown: Program) -> None:
        grown.up()
        before = volume(lab)
        file = grown.folder / "kubeconfig.json"
        file.write_text(json.dumps(json.loads(file.read_text()), indent=1))
        changes = grown.up()
        assert changes.pop("update") == 1
        assert set(changes) == {"same"}
        assert volume(lab) == before

    def test_what_was_deleted_by_hand_is_made_again(self, lab: Lab, grown: Program) -> None:
        """Without options in Pulumi.yaml an update refreshes nothing: the state has all of it."""
        lab.kubectl("delete", "namespace", "kube-registry")
        grown.paste(commands_of(grown.failing_up(), "--refresh"))
        assert set(grown.up()) == {"same"}

    def test_a_new_name_keeps_the_volume(self, lab: Lab, grown: Program) -> None:
        before = volume(lab)
        write(grown.folder, RENAMED.replace("RETAIN", "None"))
        assert set(grown.up()) == {"same", "update"}
        assert volume(lab) == before
        assert set(grown.up()) == {"same"}

    def test_what_is_retained_is_the_volume_too(self, lab: Lab, grown: Program) -> None:
        before = volume(lab)
        write(grown.folder, RENAMED.replace("RETAIN", "True"))
        grown.up()
        grown.destroy()
        assert volume(lab) == before
        lab.kubectl("delete", "namespace", "kube-registry")

    def test_a_cluster_that_comes_later_is_waited_for(self, lab: Lab, grown: Program) -> None:
        write(grown.folder, LATER)
        grown.preview()
        assert not (grown.folder / "later.json").exists()
        assert set(grown.up()) == {"create"}
        assert set(grown.up()) == {"same"}
        grown.destroy()
        assert lab.get("namespaces", "kube-registry") == []

    def test_another_cluster_is_refused_until_it_is_meant(self, lab: Lab, other_lab: Lab, grown: Program) -> None:
        write(grown.folder, USUAL)
        grown.up()
        before = volume(lab)
        (grown.folder / "kubeconfig.json").write_text(as_json(other_lab.cluster.kubeconfig))
        said = grown.failing_up()
        assert "points to another cluster" in said
        assert other_lab.get("namespaces", "kube-registry") == []
        grown.paste(commands_of(said, "--replace"))
        assert volume(other_lab) != before
        assert volume(lab) == before
        assert set(grown.up()) == {"same"}
