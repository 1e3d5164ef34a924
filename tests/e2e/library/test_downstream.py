"""examples/downstream on the installed wheel: a stack of its own that runs what a library's stack has pushed."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from kube_registry.spec.endpoints import parse_reference
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program
from tests.e2e.library.conftest import python_of

pytestmark = pytest.mark.lab

STACK_ITSELF, PROVIDER, REFERENCE, WORKLOAD = 1, 1, 1, 1
EVERYTHING = STACK_ITSELF + PROVIDER + REFERENCE + WORKLOAD


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the two examples, which share nothing but Pulumi's backend."""
    folder = tmp_path_factory.mktemp("downstream")
    for name in ("library", "downstream"):
        shutil.copytree(CHECKOUT / "examples" / name, folder / "examples" / name)
    (folder / "examples" / "downstream" / "Pulumi.dev.yaml").unlink()
    return folder


@pytest.fixture(scope="module")
def library(lab: Lab, installed: Path, checkout: Path) -> Iterator[Program]:
    """The stack that pushes."""
    made = new_program(lab, checkout, checkout / "examples" / "library", PATH=python_of(installed, lab))
    made.configure(clusterFile=str(lab.cluster.kubeconfig))
    made.up()
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def workload(lab: Lab, installed: Path, checkout: Path, library: Program) -> Iterator[Program]:
    """The stack that runs it."""
    made = new_program(lab, checkout, checkout / "examples" / "downstream", PATH=python_of(installed, lab))
    made.configure(kubeContext=lab.cluster.kube_context, registryStack=f"organization/library/{library.stack.name}")
    yield made
    made.destroy()


def running(lab: Lab) -> list[str]:
    """Digests that the ready pods of the workload run."""
    pods = lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=downstream")
    states = [state for pod in pods for state in pod["status"].get("containerStatuses", []) if state["ready"]]
    return [state["imageID"].rpartition("@")[2] for state in states]


class TestLife:
    def test_every_node_runs_what_the_library_pushed(self, lab: Lab, library: Program, workload: Program) -> None:
        assert workload.up()["create"] == EVERYTHING - REFERENCE
        assert workload.output("image") == library.output("image")
        assert running(lab) == [parse_reference(library.output("image")).digest] * len(lab.cluster.nodes)

    def test_nothing_changed_changes_nothing(self, workload: Program) -> None:
        assert set(workload.up()) <= {"same", "read"}

    def test_an_edit_reaches_it_by_its_own_update(self, lab: Lab, library: Program, workload: Program) -> None:
        before = library.output("image")
        (library.folder / "app" / "site" / "version").write_text("edited\n")
        library.up()
        assert workload.up()["update"] == 1
        assert workload.output("image") == library.output("image") != before
        assert set(running(lab)) == {parse_reference(library.output("image")).digest}

    def test_it_is_destroyed_and_the_library_stays(self, lab: Lab, library: Program, workload: Program) -> None:
        workload.destroy()
        assert running(lab) == []
        assert set(library.preview()) == {"same"}
