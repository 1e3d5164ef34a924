"""docs/rbac/shared-volume.yaml: with the deployer's manifest it suffices for a shared volume, and no right is idle."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lab import control_plane
from lab.cluster import known
from tests.e2e.access import DEPLOYER, NAMESPACE, Access, Right, manifest, used
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

MANIFEST = "shared-volume"
SHARED = f"{NAMESPACE}-shared"


def granted() -> dict[str, set[Right]]:
    """The rights of the manifest, by the namespace of their role; those for the whole cluster are under no name."""
    found: dict[str, set[Right]] = {}
    for document in yaml.safe_load_all(manifest(MANIFEST)):
        for rule in document.get("rules", []):
            rights = {(verb, resource) for verb in rule["verbs"] for resource in rule["resources"]}
            found.setdefault(document["metadata"].get("namespace", ""), set()).update(rights)
    return found


@pytest.fixture(scope="module")
def access(lab: Lab) -> Iterator[Access]:
    """An administrator has applied both manifests."""
    log = control_plane.machine_of(known(lab.cluster.name)).log(control_plane.API_SERVER)
    access = Access(lab, log, log.stat().st_size)
    for name in (DEPLOYER, MANIFEST):
        access.admin("apply", "--filename", "-", given=manifest(name))
    access.log_requests(3)
    yield access
    access.log_requests(0)
    names = (f"{NAMESPACE}-{DEPLOYER}", f"{SHARED}-{DEPLOYER}")
    access.admin("delete", "clusterroles,clusterrolebindings", *names)
    access.admin("delete", "roles,rolebindings", f"{SHARED}-claims")
    access.admin("delete", "namespace", NAMESPACE, SHARED, "--ignore-not-found")


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path, access: Access, debian: None) -> Program:  # noqa: ARG001 - the image is there
    """The program in the hands of a deployer."""
    made = new_program(lab, checkout, checkout)
    made.configure(
        kubeContext=lab.cluster.kube_context,
        kubeconfig=str(access.kubeconfig(DEPLOYER)),
        images_app_context="./app",
        sharedVolume_allowDirectory="true",
        sharedVolume_claims_default="1Gi",
    )
    return made


def test_the_rights_suffice_to_find_out_that_nodes_cannot_mount(program: Program) -> None:
    said = program.failing_up()
    assert "2 of 2 nodes cannot mount the shared volume" in said


def test_they_suffice_to_update(program: Program) -> None:
    program.configure(**{"sharedVolume_nodeSelector_nfs-client": "yes"})
    program.up()
    assert set(program.up()) == {"same"}
    program.refresh()


def test_they_suffice_to_destroy_and_none_was_idle(access: Access, program: Program) -> None:
    program.destroy()
    assert not {NAMESPACE, SHARED} & {item["metadata"]["name"] for item in access.lab.get("namespaces")}
    deadline = time.monotonic() + 5  # a watch is logged when it has ended
    while (idle := _idle(access)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not idle


def _idle(access: Access) -> dict[str, set[Right]]:
    """The rights that were never used, by the namespace of their role."""
    log = access.log.read_bytes()[access.start :].decode()
    idle = {namespace: rights - used(log, namespace) for namespace, rights in granted().items()}
    return {namespace: rights for namespace, rights in idle.items() if rights}


def test_the_page_says_what_the_manifest_grants() -> None:
    page = (CHECKOUT / "docs" / "rbac.md").read_text()
    section = page.partition("\n## A shared volume\n")[2].partition("\n## ")[0]
    found: dict[str, set[Right]] = {}
    scopes = {"cluster": "", "each namespace with a claim": "default"}
    for verbs, resources, scope in re.findall(r"^\| (`.*?`) \| (`.*?`) \| (.*?) \|", section, re.MULTILINE):
        rights = {(verb, each) for verb in re.findall(r"`(.+?)`", verbs) for each in re.findall(r"`(.+?)`", resources)}
        found.setdefault(scopes.get(scope, SHARED), set()).update(rights)
    assert found == granted()
