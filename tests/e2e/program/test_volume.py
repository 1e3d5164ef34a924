"""What would lose the registry's volume is refused by preview and up, with the commands that do it on purpose."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pulumi import automation

from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program, new_program

pytestmark = pytest.mark.lab

FAST = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "fast"},
    "provisioner": "kubernetes.io/host-path",
}


STATE_VERSION = 3
"""Of the deployment that `pulumi stack export` prints."""

PARTS = ("clusters", "users", "contexts")
"""What a kubeconfig lists."""


@pytest.fixture(scope="module")
def kubeconfig(lab: Lab, checkout: Path) -> Path:
    """A copy of the lab's, which a test may change."""
    return Path(shutil.copy(lab.cluster.kubeconfig, checkout / "kubeconfig.json"))


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path, kubeconfig: Path) -> Iterator[Program]:
    """The program with a kubeconfig of its own."""
    made = new_program(lab, checkout, checkout)
    made.configure(kubeContext=lab.cluster.kube_context, kubeconfig=str(kubeconfig), images_app_context="./app")
    yield made
    made.destroy()
    lab.kubectl("delete", "storageclass", "fast", "--ignore-not-found")


def identities(lab: Lab) -> set[str]:
    """The uids of what an update must not replace."""
    here = ("--namespace", "kube-registry")
    objects = [
        *lab.get("namespace", "--field-selector", "metadata.name=kube-registry"),
        *lab.get("persistentvolumeclaims,deployments,services", *here),
    ]
    uids = {each["metadata"]["uid"] for each in objects if "deletionTimestamp" not in each["metadata"]}
    assert len(uids) == 5
    return uids


def refused_preview(program: Program) -> str:
    with pytest.raises(automation.CommandError) as refused:
        program.preview()
    return str(refused.value)


def test_a_cluster_without_a_default_class_is_named_and_the_commands_set_one(lab: Lab, program: Program) -> None:
    default = "storageclass.kubernetes.io/is-default-class"
    lab.kubectl("annotate", "--overwrite", "storageclass", "standard", f"{default}=false")
    try:
        with program.changed({}):
            said = program.failing_up()
            assert "its claim registry has no volume: the cluster has no default storage class" in said
            for part in ("delete persistentvolumeclaim", "storageClass", "--refresh"):
                program.paste(each.replace("NAME", "standard") for each in commands_of(said, part))
            (claim,) = lab.get("persistentvolumeclaims", "--namespace", "kube-registry")
            assert claim["spec"]["storageClassName"] == "standard"
            program.destroy()
    finally:
        lab.kubectl("annotate", "--overwrite", "storageclass", "standard", f"{default}=true")


@pytest.mark.usefixtures("deployed")
def test_a_stack_of_an_older_version_remembers_its_cluster_from_its_next_update_on(lab: Lab, program: Program) -> None:
    before, state = identities(lab), program.state()
    (uid,) = (each for each in state["resources"] if each["type"] == "pulumi:index:Stash")
    older = json.loads(json.dumps(state).replace(f'"{uid["urn"]}"', "null"))
    for each in older["resources"]:
        each["dependencies"] = [urn for urn in each.get("dependencies") or () if urn]
        kept = {key: [urn for urn in urns or () if urn] for key, urns in each.get("propertyDependencies", {}).items()}
        each["propertyDependencies"] = kept
    older["resources"] = [each for each in older["resources"] if each["urn"]]
    program.stack.import_stack(automation.Deployment(version=STATE_VERSION, deployment=older))
    changes = program.up()
    assert (set(changes), changes["create"]) == ({"create", "same"}, 1)
    assert identities(lab) == before
    assert uid["outputs"]["output"] in json.dumps(program.state())


@pytest.mark.usefixtures("deployed")
def test_a_stack_that_could_not_see_kube_system_remembers_its_cluster_by_the_command(
    lab: Lab, program: Program
) -> None:
    before, state = identities(lab), program.state()
    (kept,) = (each for each in state["resources"] if each["type"] == "pulumi:index:Stash")
    uid = kept["outputs"]["output"]
    older = json.loads(json.dumps(state).replace(json.dumps(uid), '""'))
    program.stack.import_stack(automation.Deployment(version=STATE_VERSION, deployment=older))
    said = program.update().text
    assert "cannot detect a change of its cluster" in said
    program.paste(commands_of(said, "--replace"))
    assert uid in json.dumps(program.state())
    assert "cannot detect a change of its cluster" not in program.update().text
    assert identities(lab) == before


@pytest.mark.usefixtures("deployed")
def test_another_namespace_is_refused_until_it_is_set_back(program: Program) -> None:
    program.configure(namespace="other")
    said = refused_preview(program)
    assert "setting namespace: 'other' instead of 'kube-registry'" in said
    program.paste(commands_of(said, "pulumi config"))
    assert set(program.preview()) == {"same"}


@pytest.mark.usefixtures("deployed")
def test_another_storage_class_is_refused_until_it_is_meant(lab: Lab, program: Program) -> None:
    lab.kubectl("apply", "--filename=-", given=json.dumps(FAST))
    before = identities(lab)
    program.configure(claim_storageClass="fast")
    said = program.failing_up()
    assert "setting claim.storageClass: 'fast' instead of 'standard'" in said
    assert "Traceback" not in said
    assert identities(lab) == before
    program.paste([*commands_of(said, "pulumi destroy"), *commands_of(said, "pulumi up")])
    (claim,) = lab.get("persistentvolumeclaims", "--namespace", "kube-registry")
    assert claim["spec"]["storageClassName"] == "fast"


@pytest.mark.usefixtures("deployed")
def test_a_renamed_kube_context_replaces_nothing(lab: Lab, program: Program, kubeconfig: Path) -> None:
    before = identities(lab)
    content = json.loads(kubeconfig.read_text())
    content["contexts"][0]["name"] = content["current-context"] = "renamed"
    kubeconfig.write_text(json.dumps(content))
    program.configure(kubeContext="renamed")
    assert "cluster is unreachable" in program.failing_up()  # the refresh goes by the state, before our program runs
    program.paste([f"pulumi up --run-program --stack {program.stack.name}"])
    assert identities(lab) == before
    assert set(program.preview()) == {"same"}


@pytest.mark.usefixtures("deployed")
def test_another_cluster_is_refused_until_it_is_meant(
    lab: Lab, other_lab: Lab, program: Program, kubeconfig: Path
) -> None:
    before = identities(lab)
    other_lab.kubectl("apply", "--filename=-", given=json.dumps(FAST))
    content, more = json.loads(kubeconfig.read_text()), json.loads(other_lab.cluster.kubeconfig.read_text())
    kubeconfig.write_text(json.dumps({**content, **{key: content[key] + more[key] for key in PARTS}}))
    program.configure(kubeContext=other_lab.cluster.kube_context)
    said = program.failing_up()
    assert "points to another cluster" in said
    assert not other_lab.get("namespaces", "--field-selector", "metadata.name=kube-registry")
    try:
        program.paste(commands_of(said, "pulumi up"))
        assert len(identities(other_lab)) == len(before)
        assert identities(lab) == before
    finally:
        program.destroy()
        lab.kubectl("delete", "namespace", "kube-registry", "--ignore-not-found")  # left behind, as was meant
        other_lab.kubectl("delete", "storageclass", "fast")
