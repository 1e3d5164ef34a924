"""docs/rbac/: with the manifests for it, the roles suffice for a shared volume, and no right is idle."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from kube_registry.names import NFS_SERVER
from lab import control_plane
from lab.cluster import known
from tests.e2e.access import DEPLOYER, HOUSEKEEPER, NAMESPACE, REVIEWER, Access, Right, manifest, used
from tests.e2e.commands import paste
from tests.e2e.conftest import CHECKOUT, Lab, Program, new_program
from tests.e2e.shared_volume.test_server import doctor

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

MANIFEST, MANIFEST_OF_PROXY = "shared-volume", "node-proxy"
RIGHTS = manifest(MANIFEST)
SHARED, PROXY = f"{NAMESPACE}-shared", f"{NAMESPACE}-shared-proxy"
RIGHTS_OF_PROXY = manifest(MANIFEST_OF_PROXY).replace(f": {NAMESPACE}-proxy", f": {PROXY}")
PEOPLE = (DEPLOYER, REVIEWER, HOUSEKEEPER)

DIAGNOSIS: set[Right] = {("get", "persistentvolumeclaims"), ("list", "events")}
"""What the doctor needs only where the server does not run."""


def granted(person: str, text: str) -> dict[str, set[Right]]:
    """What a manifest grants to a person, by the namespace of the role; for the whole cluster under no name."""
    documents = list(yaml.safe_load_all(text))
    roles = {(_namespace(each), each["metadata"]["name"]): each["rules"] for each in documents if "rules" in each}
    found: dict[str, set[Right]] = {}
    for each in documents:
        if "roleRef" not in each or each["subjects"][0]["name"] != f"{NAMESPACE}-{person}s":
            continue
        for rule in roles[_namespace(each), each["roleRef"]["name"]]:
            rights = {(verb, resource) for verb in rule["verbs"] for resource in rule["resources"]}
            found.setdefault(_namespace(each), set()).update(rights)
    return found


def _namespace(item: dict[str, Any]) -> str:
    return str(item["metadata"].get("namespace", ""))


def idle(access: Access, person: str, since: int, text: str = RIGHTS) -> dict[str, set[Right]]:
    """What of that was never used since the log had that length."""
    deadline = time.monotonic() + 5  # a watch is logged when it has ended
    while True:
        log = access.log.read_bytes()[since:].decode()
        left = {namespace: rights - used(log, namespace) for namespace, rights in granted(person, text).items()}
        left = {namespace: rights for namespace, rights in left.items() if rights}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.1)


def section(title: str) -> str:
    """A section of the page."""
    page = (CHECKOUT / "docs" / "rbac.md").read_text()
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def command_for(manifest: str) -> str:
    """The command of the page that applies a manifest with another namespace."""
    (found,) = re.findall(rf"^sed .*/{manifest}.yaml .*$", section("A shared volume"), re.MULTILINE)
    return str(found)


@pytest.fixture(scope="module")
def access(lab: Lab) -> Iterator[Access]:
    """An administrator has applied the manifests."""
    log = control_plane.machine_of(known(lab.cluster.name)).log(control_plane.API_SERVER)
    access = Access(lab, log, log.stat().st_size)
    manifests = (*PEOPLE, MANIFEST)
    for name in manifests:
        access.admin("apply", "--filename", "-", given=manifest(name))
    access.log_requests(3)
    yield access
    access.log_requests(0)
    for name in manifests:
        access.admin("delete", "--ignore-not-found", "--filename", "-", given=manifest(name))
    access.admin("delete", "namespace", PROXY, "--ignore-not-found")


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path, access: Access, debian: None) -> Program:  # noqa: ARG001 - the image is there
    """The program in the hands of a deployer."""
    made = new_program(lab, checkout, checkout)
    made.configure(
        kubeContext=lab.cluster.kube_context,
        kubeconfig=str(shutil.copy(access.kubeconfig(DEPLOYER), made.folder / "kubeconfig.json")),
        images_app_context="./app",
        sharedVolume_allowDirectory="true",
        sharedVolume_claims_default="1Gi",
    )
    return made


@contextmanager
def handed_to(person: str, access: Access, program: Program) -> Iterator[None]:
    """The program in the hands of a person other than the deployer for a while."""
    file = program.folder / "kubeconfig.json"
    shutil.copy(access.kubeconfig(person), file)
    try:
        yield
    finally:
        shutil.copy(access.kubeconfig(DEPLOYER), file)


@contextmanager
def out_of_service(access: Access) -> Iterator[None]:
    """The server runs, but its Deployment does not count it as available."""

    def available_after(seconds: int) -> None:
        change = json.dumps({"spec": {"minReadySeconds": seconds}})
        access.admin("patch", "deployment", NFS_SERVER, "-n", SHARED, "--type", "merge", "--patch", change)

    available_after(500)
    access.admin("wait", "deployment", NFS_SERVER, "-n", SHARED, "--for=condition=Available=false", "--timeout=20s")
    try:
        yield
    finally:
        available_after(0)


def test_the_rights_suffice_to_find_out_that_nodes_cannot_mount(program: Program) -> None:
    said = program.failing_up()
    assert "2 of 2 nodes cannot mount the shared volume" in said


def test_they_suffice_to_update(program: Program) -> None:
    program.configure(**{"sharedVolume_nodeSelector_nfs-client": "yes"})
    program.up()
    program.configure(sharedVolume_mount="hard")  # replaces the claim
    program.up()
    assert set(program.up()) == {"same"}
    program.refresh()


def test_those_of_a_reviewer_suffice_to_preview_and_none_is_idle(access: Access, program: Program) -> None:
    since = access.log.stat().st_size
    with handed_to(REVIEWER, access, program):
        assert set(program.preview()) == {"same"}
    assert idle(access, REVIEWER, since) == {}


class TestHousekeeper:
    def test_the_rights_suffice_for_the_doctor(self, access: Access, program: Program) -> None:
        since = access.log.stat().st_size
        with handed_to(HOUSEKEEPER, access, program):
            assert doctor(program) == ("?", "its NFS server is ready; 0 nodes mounted it in a test")
        assert idle(access, HOUSEKEEPER, since) == {SHARED: DIAGNOSIS}

    def test_they_suffice_to_find_what_is_wrong_and_none_is_idle(self, access: Access, program: Program) -> None:
        since = access.log.stat().st_size
        with handed_to(HOUSEKEEPER, access, program), out_of_service(access):
            mark, words = doctor(program)
        assert mark == "fix", words
        assert "is not ready" in words
        assert DIAGNOSIS.isdisjoint(idle(access, HOUSEKEEPER, since).get(SHARED, set()))


def test_the_command_of_the_page_grants_claims_in_another_namespace(access: Access) -> None:
    access.admin("create", "namespace", "shop")
    try:
        paste(command_for("shared-volume"), CHECKOUT, access.lab.env)
        deployer = ("--as=someone", f"--as-group={NAMESPACE}-{DEPLOYER}s")
        access.admin("auth", "can-i", "create", "persistentvolumeclaims", "--namespace=shop", *deployer)
    finally:
        access.admin("delete", "namespace", "shop")


class TestNodeProxy:
    def test_the_command_of_the_page_gives_the_deployer_what_the_exposure_needs(
        self, access: Access, program: Program
    ) -> None:
        paste(command_for("node-proxy"), CHECKOUT, access.lab.env)
        program.configure(sharedVolume_exposure="nodeProxy")
        program.up()
        assert set(program.up()) == {"same"}

    def test_it_gives_a_reviewer_what_a_preview_needs(self, access: Access, program: Program) -> None:
        since = access.log.stat().st_size
        with handed_to(REVIEWER, access, program):
            assert set(program.preview()) == {"same"}
        assert idle(access, REVIEWER, since, RIGHTS_OF_PROXY) == {}

    def test_it_lets_a_housekeepers_doctor_look_at_the_proxy(self, access: Access, program: Program) -> None:
        since = access.log.stat().st_size
        with handed_to(HOUSEKEEPER, access, program):
            assert doctor(program) == ("?", "its NFS server is ready; 0 nodes mounted it in a test")
        assert idle(access, HOUSEKEEPER, since, RIGHTS_OF_PROXY) == {}


def test_they_suffice_to_destroy_and_none_was_idle(access: Access, program: Program) -> None:
    program.destroy()
    assert not {NAMESPACE, SHARED, PROXY} & {item["metadata"]["name"] for item in access.lab.get("namespaces")}
    assert idle(access, DEPLOYER, access.start) == {}


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(
    ("title", "name", "own"),
    [("A shared volume", MANIFEST, SHARED), ("Node proxy", MANIFEST_OF_PROXY, f"{NAMESPACE}-proxy")],
)
def test_the_page_says_what_the_manifest_grants(person: str, title: str, name: str, own: str) -> None:
    rows = re.findall(rf"^\| {person} \| (`.*?`) \| (`.*?`) \| (.*?) \|", section(title), re.MULTILINE)
    found: dict[str, set[Right]] = {}
    scopes = {"cluster": "", "each namespace with a claim": "default"}
    for verbs, resources, scope in rows:
        rights = {(verb, each) for verb in re.findall(r"`(.+?)`", verbs) for each in re.findall(r"`(.+?)`", resources)}
        found.setdefault(scopes.get(scope, own), set()).update(rights)
    assert found == granted(person, manifest(name))
