"""What would lose the registry's volume is refused by preview and up, with the commands that do it on purpose."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path) -> Iterator[Program]:
    """The program with a kubeconfig of its own, which a test may change."""
    file = checkout / "kubeconfig.json"
    shutil.copy(lab.cluster.kubeconfig, file)
    made = new_program(lab, checkout, checkout)
    made.configure(kubeContext=lab.cluster.kube_context, kubeconfig=str(file), images_app_context="./app")
    yield made
    made.stack.destroy()
    lab.kubectl("delete", "storageclass", "fast", "--ignore-not-found")


def identities(lab: Lab) -> set[str]:
    """The uids of what an update must not replace."""
    here = ("--namespace", "kube-registry")
    objects = [
        *lab.get("namespace", "--field-selector", "metadata.name=kube-registry"),
        *lab.get("persistentvolumeclaims,deployments,services", *here),
    ]
    uids = {each["metadata"]["uid"] for each in objects if "deletionTimestamp" not in each["metadata"]}
    assert len(uids) == 4
    return uids


def refused_preview(program: Program) -> str:
    with pytest.raises(automation.CommandError) as refused:
        program.preview()
    return str(refused.value)


@pytest.mark.parametrize(("key", "value"), [("namespace", "other"), ("storageClass", "fast")])
@pytest.mark.usefixtures("deployed")
def test_it_is_refused_and_nothing_is_touched(lab: Lab, program: Program, key: str, value: str) -> None:
    lab.kubectl("apply", "--filename=-", given=json.dumps(FAST))
    before = identities(lab)
    program.configure(**{key: value})
    for said in (refused_preview(program), program.failing_up()):
        assert f"setting {key}: '{value}' in place of" in said
        assert "Traceback" not in said
    assert identities(lab) == before
    program.paste(commands_of(said, "pulumi config"))
    assert set(program.preview()) == {"same"}


@pytest.mark.usefixtures("deployed")
def test_the_commands_do_it_on_purpose(lab: Lab, program: Program) -> None:
    program.configure(storageClass="fast")
    said = refused_preview(program)
    program.paste([*commands_of(said, "pulumi destroy"), *commands_of(said, "pulumi up")])
    (claim,) = lab.get("persistentvolumeclaims", "--namespace", "kube-registry")
    assert claim["spec"]["storageClassName"] == "fast"


def test_a_renamed_kube_context_replaces_nothing(lab: Lab, program: Program) -> None:
    program.up()
    before = identities(lab)
    rename(Path(program.folder / "kubeconfig.json"), "renamed")
    program.configure(kubeContext="renamed")
    assert "cluster is unreachable" in program.failing_up()  # the refresh goes by the state, before our program runs
    program.paste([f"pulumi up --run-program --stack {program.stack.name}"])
    assert identities(lab) == before
    assert set(program.up()) == {"same"}


def rename(file: Path, name: str) -> None:
    """Rename the only kube context of a kubeconfig."""
    kubeconfig: dict[str, Any] = json.loads(file.read_text())
    (context,) = kubeconfig["contexts"]
    context["name"] = name
    file.write_text(json.dumps(kubeconfig))
