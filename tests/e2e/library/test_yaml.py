"""examples/yaml: the component ClusterRegistry, with its images, in a program that is no Python."""

from pathlib import Path

import pytest

from kube_registry.spec.endpoints import parse_reference
from tests.e2e.conftest import Lab, Program
from tests.e2e.library.conftest import ctl

pytestmark = pytest.mark.lab


class TestLife:
    def test_one_update_makes_registry_image_and_workload(self, lab: Lab, yaml_program: Program) -> None:
        changes = yaml_program.up()
        assert set(changes) == {"create"}
        reference = parse_reference(yaml_program.output("image"))
        assert (reference.host, reference.repository) == ("localhost:30100", "app")
        pods = lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=yaml")
        images = [pod["spec"]["containers"][0]["image"] for pod in pods]
        assert images == [yaml_program.output("image")] * len(lab.cluster.nodes)

    def test_registryctl_works_on_it(self, installed: Path, yaml_program: Program) -> None:
        done = ctl(installed, yaml_program, "doctor")
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        reference = ctl(installed, yaml_program, "reference", "registry-app").stdout.strip()
        assert reference == yaml_program.output("image").partition("@")[0]

    def test_nothing_changed_changes_nothing(self, yaml_program: Program) -> None:
        assert set(yaml_program.up()) == {"same"}

    def test_an_edit_is_pushed(self, yaml_program: Program) -> None:
        before = yaml_program.output("image")
        (yaml_program.folder / "app" / "site" / "index.html").write_text("edited\n")
        assert yaml_program.up()["update"] == 2
        assert yaml_program.output("image") != before
