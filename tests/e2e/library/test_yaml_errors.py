"""What goes wrong in a program of YAML: one sentence of it, with what corrects it, and no trace of the Python below."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.conftest import CLUSTER
from tests.e2e.conftest import Lab, Program

pytestmark = pytest.mark.lab

SECRET = "s3cr3t-of-the-build"  # noqa: S105 - of this test
OF_OTHERS = re.compile(r'Traceback|File "|\b[A-Z]\w+Error\b|rpc error|grpc|pulumi config|stack.s config')
"""What is for developers of the components, and for people who have the settings in a stack's config."""

Properties = dict[str, Any]


@contextmanager
def changed(program: Program, change: Callable[[Properties], object], **more: Properties) -> Iterator[None]:
    """The program for a while with other properties of its registry, and with more resources."""
    file = program.folder / "Pulumi.yaml"
    before = file.read_text()
    described = yaml.safe_load(before)
    described["resources"].update(more)
    change(described["resources"]["registry"]["properties"])
    file.write_text(yaml.safe_dump(described))
    try:
        yield
    finally:
        file.write_text(before)


def refused(program: Program, change: Callable[[Properties], object]) -> str:
    """What a person sees of an update that fails."""
    with changed(program, change):
        text = program.failing_up()
    assert OF_OTHERS.findall(text) == []
    return text


def assert_one_sentence(text: str, words: str) -> None:
    """What went wrong stands in one line of the summary, with its correction."""
    (line,) = [line for line in text.partition("\nDiagnostics:\n")[2].splitlines() if words in line]
    assert "Fix: " in line


def made(program: Program) -> set[str]:
    """Types of what the state holds of the cluster."""
    kinds = {each["type"] for each in program.state().get("resources", [])}
    return {kind for kind in kinds if kind.startswith("kubernetes:")}


class TestArguments:
    """Nothing of the registry is made."""

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda given: given.update(nodePort=80000), " nodePort: "),
            (lambda given: given.update(claim={"size": "big"}), " claim.size: "),
            (lambda given: given.pop("kubeContext"), " kubeContext: "),
            (lambda given: given.update(images={"APP": {"context": "./app"}}), " images.APP: "),
        ],
    )
    def test_a_value_that_is_not_allowed(
        self, yaml_program: Program, change: Callable[[Properties], object], words: str
    ) -> None:
        assert_one_sentence(refused(yaml_program, change), words)
        assert made(yaml_program) == set()

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda given: given.update(nodePort="many"), "nodePort"),
            (lambda given: given.update(nodeProt=30100), "nodeProt"),
            (lambda given: given["images"]["app"].update(contxt="./app"), "contxt"),
        ],
    )
    def test_one_that_is_not_in_the_schema(
        self, yaml_program: Program, change: Callable[[Properties], object], words: str
    ) -> None:
        """The words are Pulumi's own: the language checks programs by the schema."""
        assert words in refused(yaml_program, change)
        assert made(yaml_program) == set()

    def test_an_output_that_is_not_known_yet(self, yaml_program: Program) -> None:
        """In preview the engine broke off with a panic when an error named such an argument as a property."""
        later = {"type": "pulumi:providers:kubernetes", "properties": {"context": "${kubeContext}"}}
        with changed(yaml_program, lambda given: given.update(namespace="${later.id}"), later=later):
            done = yaml_program.run("pulumi", "preview", "--non-interactive")
        assert done.returncode != 0
        assert OF_OTHERS.findall(done.stdout + done.stderr) == []
        assert_one_sentence(done.stdout, "argument namespace is not known yet")


class TestBeforeTheCluster:
    def test_a_kube_context_that_there_is_not(self, yaml_program: Program) -> None:
        text = refused(yaml_program, lambda given: given.update(kubeContext="nowhere"))
        assert_one_sentence(text, f"it has no such kube context, only lab-{CLUSTER}")
        assert made(yaml_program) == set()

    def test_a_kubeconfig_that_there_is_not(self, yaml_program: Program) -> None:
        text = refused(yaml_program, lambda given: given.update(kubeconfig="/nowhere/config"))
        assert_one_sentence(text, "/nowhere/config: there is no such file")
        assert made(yaml_program) == set()

    def test_a_build_context_that_there_is_not(self, yaml_program: Program) -> None:
        text = refused(yaml_program, lambda given: given["images"]["app"].update(context="./nowhere"))
        assert_one_sentence(text, "nowhere is not a folder")


class TestInTheCluster:
    def test_a_namespace_that_was_there(self, yaml_program: Program) -> None:
        text = refused(yaml_program, lambda given: given.update(namespace="kube-public"))
        assert_one_sentence(text, "namespace kube-public of kube context")

    def test_a_node_port_that_is_taken(self, lab: Lab, yaml_program: Program) -> None:
        lab.kubectl("create", "service", "nodeport", "holder", "--tcp=80", "--node-port=30099")
        try:
            text = refused(yaml_program, lambda given: given.update(nodePort=30099))
        finally:
            lab.kubectl("delete", "service", "holder")
        assert_one_sentence(text, "service holder in namespace default uses it")

    def test_a_dockerfile_that_does_not_build(self, yaml_program: Program) -> None:
        (yaml_program.folder / "app" / "broken").write_text("FROM busybox:stable\nRUN echo of no avail && false\n")
        text = refused(yaml_program, lambda given: given["images"]["app"].update(dockerfile="broken"))
        assert "echo of no avail && false" in text

    def test_secrets_in_plain_arguments_stay_secret(self, lab: Lab, yaml_program: Program) -> None:
        yaml_program.destroy()  # the claim of an earlier test is larger, and none shrinks

        def change(given: Properties) -> None:
            given["claim"] = {"size": {"fn::secret": "2Gi"}}
            given["images"]["app"]["secretBuildArgs"] = {"TOKEN": {"fn::secret": SECRET}}
            given["images"]["app"]["buildArgs"] = {"OTHER": {"fn::secret": f"other-{SECRET}"}}

        with changed(yaml_program, change):
            yaml_program.up()
        (claim,) = lab.get("persistentvolumeclaims", "--namespace", "kube-registry")
        assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
        kept = [file.read_text() for file in (yaml_program.folder.parent / "state").rglob("*.json*")]
        assert kept
        assert not [text for text in kept if SECRET in text]

    def test_another_cluster(self, other_lab: Lab, yaml_program: Program) -> None:
        config = str(other_lab.cluster.kubeconfig)

        def change(given: Properties) -> None:
            given.update(kubeContext=other_lab.cluster.kube_context, kubeconfig=config)

        assert_one_sentence(refused(yaml_program, change), "points to another cluster")
        assert other_lab.get("namespaces", "--field-selector", "metadata.name=kube-registry") == []
