"""examples/library from the installed wheel: the cluster's kubeconfig is an output that no first preview knows."""

import pytest

from kube_registry.spec.endpoints import parse_reference
from tests.e2e.conftest import Lab, Program

pytestmark = pytest.mark.lab

STACK, OBJECTS, IMAGES = 1, 7, 1
COMPONENTS = ("Cluster", "ClusterRegistry", "RegistryImage")
PROVIDERS = ("kubernetes", "builder")
EVERYTHING = STACK + len(COMPONENTS) + len(PROVIDERS) + OBJECTS + IMAGES + len(("Stash", "Stash", "DaemonSet"))


def web_pods(lab: Lab) -> list[str]:
    """What the ready pods of the workload run."""
    pods = lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=library")
    states = [state for pod in pods for state in pod["status"].get("containerStatuses", []) if state["ready"]]
    return sorted(state["imageID"].rpartition("@")[2] for state in states)


class TestLife:
    def test_a_preview_from_nothing_knows_no_cluster(self, library: Program) -> None:
        assert library.preview() == {"create": EVERYTHING}

    def test_one_update_makes_registry_image_and_workload(self, lab: Lab, library: Program) -> None:
        assert library.up() == {"create": EVERYTHING}
        reference = parse_reference(library.output("image"))
        assert reference.host == "localhost:30100"
        assert web_pods(lab) == [reference.digest] * len(lab.cluster.nodes)

    def test_the_kubeconfig_is_nowhere_in_the_state(self, lab: Lab, library: Program) -> None:
        key = next(line for line in lab.cluster.kubeconfig.read_text().splitlines() if "client-key-data" in line)
        kept = [file.read_text() for file in (library.folder.parent / "state").rglob("*.json*")]
        assert kept
        assert not [text for text in kept if key.split()[-1].strip('",') in text]

    def test_nothing_changed_changes_nothing(self, library: Program) -> None:
        assert library.up() == {"same": EVERYTHING}

    def test_an_edit_runs_on_every_node(self, lab: Lab, library: Program) -> None:
        before = library.output("image")
        (library.folder / "app" / "site" / "version").write_text("edited\n")
        assert library.up() == {"same": EVERYTHING - 2, "update": 2}
        after = library.output("image")
        assert after != before
        assert set(web_pods(lab)) == {parse_reference(after).digest}

    def test_it_is_destroyed_in_order(self, lab: Lab, library: Program) -> None:
        library.destroy()
        assert lab.get("namespaces", "kube-registry") == []
