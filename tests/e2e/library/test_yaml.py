"""examples/yaml: the component ClusterRegistry, with its images, in a program that is no Python."""

import re
import shutil
import sys
from collections.abc import Iterator

import pytest
import yaml

from kube_registry.spec.endpoints import parse_reference
from lab.parts import PULUMI_YAML
from lab.toolchain import build, tool
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def program(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """The example, its package from an executable: `pulumi package add` would install the requirements anew."""
    build(PULUMI_YAML)
    checkout = tmp_path_factory.mktemp("yaml")
    shutil.copytree(CHECKOUT / "examples" / "yaml", checkout / "yaml")
    plugin = checkout / "bin" / "pulumi-resource-kube-registry"
    plugin.parent.mkdir()
    plugin.write_text(f'#!/bin/sh\nexec {sys.executable} {CHECKOUT / "components"} "$@"\n')
    plugin.chmod(0o755)
    file = checkout / "yaml" / "Pulumi.yaml"
    described = yaml.safe_load(file.read_text())
    assert described.pop("packages") == {"kube-registry": "../../components"}
    described["plugins"] = {"providers": [{"name": "kube-registry", "path": str(plugin.parent)}]}
    file.write_text(yaml.safe_dump(described))
    host = tool("pulumi-language-yaml").parent
    made = new_program(lab, checkout, checkout / "yaml", PATH=f"{host}:{lab.env['PATH']}")
    made.configure(kubeContext=lab.cluster.kube_context)
    yield made
    made.stack.destroy()


class TestLife:
    def test_one_update_makes_registry_image_and_workload(self, lab: Lab, program: Program) -> None:
        changes = program.up()
        assert set(changes) == {"create"}
        reference = parse_reference(program.output("image"))
        assert (reference.host, reference.repository) == ("localhost:30100", "app")
        pods = lab.get("pods", "--namespace", "default", "--selector", "app.kubernetes.io/name=yaml")
        assert [pod["spec"]["containers"][0]["image"] for pod in pods] == [program.output("image")] * len(
            lab.cluster.nodes
        )

    def test_nothing_changed_changes_nothing(self, program: Program) -> None:
        assert set(program.up()) == {"same"}

    def test_an_edit_is_pushed(self, program: Program) -> None:
        before = program.output("image")
        (program.folder / "app" / "site" / "index.html").write_text("edited\n")
        assert program.up()["update"] == 2
        assert program.output("image") != before

    def test_what_is_wrong_is_one_sentence(self, program: Program) -> None:
        file = program.folder / "Pulumi.yaml"
        before = file.read_text()
        file.write_text(re.sub("nodePort: 30100", "nodePort: many", before))
        try:
            text = program.failing_up()
        finally:
            file.write_text(before)
        assert "Traceback" not in text
        assert "nodePort" in text
