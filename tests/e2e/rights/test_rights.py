"""The manifests of docs/rbac/: what they grant is enough, none of it lies idle, and what is missing is named."""

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from pulumi import automation

from kube_registry.kube.client import open_client
from kube_registry.kube.errors import ForbiddenError
from kube_registry.lease.lease import lease_held
from kube_registry.names import REGISTRY, WRITE_PORT, selector
from kube_registry.preflight.preflight import examine_nodes
from kube_registry.registry.errors import NotReadyError
from kube_registry.registry.preconditions import prove_reach
from kube_registry.registry.readiness import wait_ready
from kube_registry.spec.settings import Settings
from kube_registry.tunnel.listener import open_tunnel
from lab import control_plane
from lab.cluster import known
from lab.toolchain import tool
from lab.versions import OLDEST, chosen
from tests.e2e.access import (
    DEPLOYER,
    HOUSEKEEPER,
    NAMESPACE,
    NOBODY,
    PUSHER,
    REVIEWER,
    Access,
    Right,
    granted,
    kubectl,
    manifest,
)
from tests.e2e.commands import commands_of, paste
from tests.e2e.conftest import CHECKOUT, Lab, Program
from tests.fakes.writing import tunnelled

pytestmark = pytest.mark.lab

OURS: list[Right] = [
    ("get", "deployments"),
    ("get", "persistentvolumeclaims"),
    ("list", "pods"),
    ("get", "pods/portforward"),
]
"""What the program itself asks for, and cannot do without; the rest is asked by Pulumi's Kubernetes provider."""

if chosen().kubernetes != OLDEST.kubernetes:
    OURS.append(("create", "pods/portforward"))

PREFLIGHT: list[Right] = [
    ("list", "nodes"),
    ("create", "pods"),
    ("delete", "pods"),
    ("get", "configmaps"),
    ("patch", "configmaps"),
]
"""What the preflight needs beside that."""

LEASE: list[Right] = [("get", "leases"), ("create", "leases"), ("update", "leases")]
"""What it takes to stand in the registry's lease."""

DIAGNOSIS: set[Right] = {("get", "persistentvolumeclaims"), ("list", "events")}
"""What the doctor needs only where the registry does not run."""

LACKING: dict[str, Right] = {"claimless": ("create", "persistentvolumeclaims"), "eventless": ("list", "events")} | {
    f"without-{verb}-{resource.replace('/', '-')}": (verb, resource) for verb, resource in OURS + PREFLIGHT + LEASE
}
"""Deployers who were granted one right less."""

EXECLESS = "execless"
"""A housekeeper who was granted one right less."""


def lacking(person: str, name: str, missing: Right) -> list[dict[str, Any]]:
    """A person's manifest for a group of another name, with one right less."""
    documents = list(yaml.safe_load_all(manifest(person).replace(f"{NAMESPACE}-{person}", f"{NAMESPACE}-{name}")))
    for document in documents:
        if "rules" in document:
            document["rules"] = [
                {"apiGroups": rule["apiGroups"], "resources": [resource], "verbs": [verb]}
                for rule in document["rules"]
                for resource in rule["resources"]
                for verb in rule["verbs"]
                if (verb, resource) != missing
            ]
    return documents


@pytest.fixture(scope="module")
def access(lab: Lab) -> Iterator[Access]:
    """An administrator has applied the manifests."""
    log = control_plane.machine_of(known(lab.cluster.name)).log(control_plane.API_SERVER)
    access = Access(lab, log, log.stat().st_size)
    for person in (DEPLOYER, REVIEWER, PUSHER, HOUSEKEEPER):
        access.admin("apply", "--filename", "-", given=manifest(person))
    items = [item for name, right in LACKING.items() for item in lacking(DEPLOYER, name, right)]
    items += lacking(HOUSEKEEPER, EXECLESS, ("create", "pods/exec"))
    access.admin("apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    access.log_requests(3)
    yield access
    access.log_requests(0)
    names = [f"{NAMESPACE}-{name}" for name in (DEPLOYER, HOUSEKEEPER, EXECLESS, *LACKING)]
    access.admin("delete", "clusterroles,clusterrolebindings", *names)
    access.admin("delete", "namespace", NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="module")
def program_of(access: Access, program: Program) -> Callable[[str], Program]:
    """The program in the hands of a person: everybody keeps a kubeconfig of their own in the same place."""
    file = program.folder / "kubeconfig.json"
    program.configure(kubeconfig=str(file))

    def hand_to(person: str) -> Program:
        shutil.copy(access.kubeconfig(person), file)
        return program

    return hand_to


@pytest.fixture(scope="class")
def out_of_service(access: Access) -> Iterator[None]:
    """The registry runs, but its Deployment does not count it as available, so that a wait asks for the reason."""

    def available_after(seconds: int) -> None:
        change = json.dumps({"spec": {"minReadySeconds": seconds}})
        access.admin("patch", "deployment", REGISTRY, "-n", NAMESPACE, "--type", "merge", "--patch", change)

    available_after(500)
    access.admin("wait", "deployment", REGISTRY, "-n", NAMESPACE, "--for=condition=Available=false", "--timeout=20s")
    yield
    available_after(0)


class TestDeployer:
    def test_a_right_that_is_missing_is_named(self, program_of: Callable[[str], Program]) -> None:
        text = program_of("claimless").failing_up()
        assert 'cannot create resource "persistentvolumeclaims"' in text
        assert f'in the namespace "{NAMESPACE}"' in text

    def test_those_of_the_manifest_suffice_to_update(self, program_of: Callable[[str], Program]) -> None:
        program = program_of(DEPLOYER)
        program.up()
        assert set(program.up()) == {"same"}


class TestReviewer:
    def test_those_of_the_manifest_suffice_to_preview(
        self, access: Access, program_of: Callable[[str], Program]
    ) -> None:
        since = access.log.stat().st_size
        program = program_of(REVIEWER)
        (program.folder / "app" / "site" / "version").write_text("2\n")
        program.configure(claim_size="11Gi")
        assert program.preview()["update"] == 2
        assert access.idle(REVIEWER, since) == set()

    def test_each_that_is_missing_is_named(self, program_of: Callable[[str], Program]) -> None:
        with pytest.raises(automation.CommandError) as failed:
            program_of(NOBODY).preview()
        for verb, resource in granted(REVIEWER):
            assert f'cannot {verb} resource "{resource}"' in str(failed.value)


class TestPusher:
    def test_those_of_the_manifest_suffice_to_push_by_hand(self, access: Access) -> None:
        since = access.log.stat().st_size
        with port_forward(access.kubeconfig(PUSHER)) as port:
            push_blob(port)
        forget_lease(access)
        for _ in range(2):  # the first makes the Lease, the second finds it
            asyncio.run(hold_lease(access.settings(PUSHER)))
        assert access.idle(PUSHER, since) == set()

    def test_they_suffice_for_the_tunnel(self, access: Access) -> None:
        async def push() -> None:
            async with tunnelled(access.settings(PUSHER)) as (_, tunnel):
                await asyncio.to_thread(push_blob, tunnel.port)

        asyncio.run(push())


class TestHousekeeper:
    def test_those_of_the_manifest_suffice_and_none_is_idle(
        self, access: Access, program_of: Callable[[str], Program]
    ) -> None:
        since, program = access.log.stat().st_size, program_of(HOUSEKEEPER)
        forget_lease(access)
        for words in (("images",), ("gc", "--keep", "1", "--yes"), ("verify",), ("doctor",)):
            done = program.registryctl(*words)
            assert done.returncode == 0, done.stdout + done.stderr
        assert access.idle(HOUSEKEEPER, since) == DIAGNOSIS

    def test_kinds_that_may_not_be_listed_are_named_until_they_may(
        self, access: Access, program_of: Callable[[str], Program]
    ) -> None:
        program = program_of(HOUSEKEEPER)
        said = program.registryctl("gc", "--dry-run").stdout
        assert re.search(r"^not checked \(forbidden\).*: configmaps, podtemplates$", said, re.MULTILINE), said
        refused = program.registryctl("gc", "--dry-run", "--helm")
        assert refused.returncode == 1
        assert f"does not let {HOUSEKEEPER} list secrets" in refused.stderr
        for more in ("uses", "helm"):
            access.admin("apply", "--filename", "-", given=manifest(more))
        try:
            done = program.registryctl("gc", "--dry-run", "--helm")
        finally:
            for more in ("uses", "helm"):
                access.admin("delete", "--filename", "-", given=manifest(more))
        assert done.returncode == 0, done.stderr
        assert "not checked" not in done.stdout

    def test_get_alone_does_not_suffice_to_exec_from_1_35_on(self, program_of: Callable[[str], Program]) -> None:
        done = program_of(EXECLESS).registryctl("verify")
        if chosen().kubernetes == OLDEST.kubernetes:
            assert done.returncode == 0, done.stderr
            return
        assert done.returncode == 1
        assert f"does not let {EXECLESS} create pods/exec in namespace {NAMESPACE}. Fix: " in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_each_that_is_missing_is_named(self, program_of: Callable[[str], Program]) -> None:
        done = program_of(NOBODY).registryctl("images")
        assert done.returncode == 1
        assert "does not let nobody " in done.stderr
        assert len(done.stderr.splitlines()) == 1


class TestLease:
    @pytest.mark.parametrize(("verb", "resource"), LEASE)
    def test_a_right_that_is_missing_is_named_in_one_sentence(self, access: Access, verb: str, resource: str) -> None:
        forget_lease(access)
        if verb == "update":
            asyncio.run(hold_lease(access.settings(DEPLOYER)))
        name = next(name for name, right in LACKING.items() if right == (verb, resource))
        with pytest.raises(ForbiddenError) as refused:
            asyncio.run(hold_lease(access.settings(name)))
        assert f"does not let {name} {verb} {resource} in namespace {NAMESPACE}" in str(refused.value)
        grant(access, refused.value)
        asyncio.run(hold_lease(access.settings(name)))


@pytest.mark.usefixtures("out_of_service")
class TestDoctor:
    def test_a_housekeepers_rights_suffice_to_find_what_is_wrong_and_none_is_idle(
        self, access: Access, program_of: Callable[[str], Program]
    ) -> None:
        since, program = access.log.stat().st_size, program_of(HOUSEKEEPER)
        done = program.registryctl("doctor")
        assert done.returncode == 1
        assert re.search("^ok +permissions ", done.stdout, re.MULTILINE), done.stdout
        assert re.search("^fix +registry +the registry in .* is not ready ", done.stdout, re.MULTILINE), done.stdout
        assert access.idle(HOUSEKEEPER, since) <= granted(HOUSEKEEPER) - DIAGNOSIS

    def test_who_has_none_is_told_which_and_is_granted_them_by_the_commands(
        self, access: Access, program_of: Callable[[str], Program]
    ) -> None:
        done = program_of(NOBODY).registryctl("doctor")
        assert (done.returncode, done.stderr) == (1, "")
        (line,) = [line for line in done.stdout.splitlines() if re.match("fix +permissions ", line)]
        for verb, resource in granted(HOUSEKEEPER):
            assert f"{verb} {resource}" in line
        for command in commands_of(line):
            paste(command, CHECKOUT, access.lab.env)
        try:
            again = program_of(NOBODY).registryctl("doctor").stdout
        finally:
            binding = f"{NAMESPACE}-housekeeper-{NOBODY}"
            for namespace in (NAMESPACE, "kube-system"):
                access.admin("delete", "rolebinding", binding, "--namespace", namespace)
            access.admin("delete", "clusterrolebinding", binding)
        assert re.search("^ok +permissions ", again, re.MULTILINE), again


@pytest.mark.usefixtures("out_of_service")
class TestOurOwnRequests:
    @pytest.mark.parametrize(("verb", "resource"), OURS)
    def test_a_right_that_is_missing_is_named_at_once(self, access: Access, verb: str, resource: str) -> None:
        name = next(name for name, right in LACKING.items() if right == (verb, resource))
        with pytest.raises(ForbiddenError) as refused:
            asyncio.run(ready_then_tunnel(access.settings(name), ready="pod" not in resource))
        assert f"does not let {name} {verb} {resource} in namespace {NAMESPACE}" in str(refused.value)
        grant(access, refused.value)
        with suppress(NotReadyError):  # it is out of service
            asyncio.run(ready_then_tunnel(access.settings(name), ready="pod" not in resource))

    def test_without_events_the_wait_goes_on(self, access: Access) -> None:
        with pytest.raises(NotReadyError):
            asyncio.run(ready_then_tunnel(access.settings("eventless"), ready=True))


class TestPreflight:
    @pytest.mark.parametrize(("verb", "resource"), PREFLIGHT)
    def test_a_right_that_is_missing_is_named_in_one_sentence(self, access: Access, verb: str, resource: str) -> None:
        name = next(name for name, right in LACKING.items() if right == (verb, resource))
        with pytest.raises(ForbiddenError) as refused:
            asyncio.run(ask_nodes(access.settings(name), afresh=verb != "get"))
        assert f"does not let {name} {verb} {resource}" in str(refused.value)
        grant(access, refused.value)
        asyncio.run(ask_nodes(access.settings(name), afresh=verb != "get"))


class TestEnd:
    def test_those_of_the_deployer_suffice_to_destroy_and_none_was_idle(
        self, access: Access, program_of: Callable[[str], Program]
    ) -> None:
        program_of(DEPLOYER).destroy()
        assert NAMESPACE not in {item["metadata"]["name"] for item in access.lab.get("namespaces")}
        assert access.idle(DEPLOYER, access.start) == set()


class TestNamespace:
    def test_the_right_to_look_for_it_is_granted_before_it_is_there(self, access: Access) -> None:
        stranger = access.settings("stranger@example.com")
        with pytest.raises(ForbiddenError) as refused:
            asyncio.run(prove_reach(stranger))
        grant(access, refused.value)
        asyncio.run(prove_reach(stranger))


class TestPage:
    @pytest.mark.parametrize("person", [DEPLOYER, REVIEWER, PUSHER, HOUSEKEEPER])
    def test_its_table_says_what_the_manifest_grants(self, person: str) -> None:
        page = (CHECKOUT / "docs" / "rbac.md").read_text()
        section = page.partition(f"\n## {person.title()}\n")[2].partition("\n## ")[0]
        rows = [
            re.findall(r"`([^`]+)`", cells) for cells in re.findall(r"^\| (`.*?` \| `.*?`) \|", section, re.MULTILINE)
        ]
        assert {(verb, row[-1]) for row in rows for verb in row[:-1]} == granted(person)


@contextmanager
def port_forward(kubeconfig: Path) -> Iterator[str]:
    """What a person types who pushes by hand; the local port."""
    pod = kubectl(kubeconfig, "get", "pods", "-n", NAMESPACE, "-l", selector("registry"), "-o", "name").strip()
    command = ["--kubeconfig", str(kubeconfig), "port-forward", "-n", NAMESPACE, pod, f":{WRITE_PORT}"]
    with subprocess.Popen([tool("kubectl"), *command], stdout=subprocess.PIPE, text=True) as running:
        try:
            assert running.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", running.stdout.readline())
            assert found is not None
            yield found[1]
        finally:
            running.terminate()


def grant(access: Access, error: ForbiddenError) -> None:
    """What an administrator does who is sent the error."""
    for line in commands_of(error):
        paste(line, CHECKOUT, access.lab.env)


def push_blob(port: int | str, blob: bytes = b"pushed by hand") -> None:
    """Upload one blob in one piece (OCI distribution specification, "Pushing blobs")."""
    registry = f"http://127.0.0.1:{port}"
    start = urllib.request.Request(f"{registry}/v2/by/hand/blobs/uploads/", method="POST")  # noqa: S310
    with urllib.request.urlopen(start, timeout=10) as started:  # noqa: S310
        place = started.headers["Location"]
    digest = hashlib.sha256(blob).hexdigest()
    end = urllib.request.Request(f"{registry}{place}&digest=sha256:{digest}", data=blob, method="PUT")  # noqa: S310
    end.add_header("Content-Type", "application/octet-stream")
    with urllib.request.urlopen(end, timeout=10) as ended:  # noqa: S310
        assert ended.status == 201


async def ask_nodes(settings: Settings, *, afresh: bool) -> None:
    async with tunnelled(settings) as (kube, tunnel):
        await examine_nodes(kube, settings, tunnel.address, afresh=afresh)


def forget_lease(access: Access) -> None:
    """So that the next who wants it has to make it."""
    access.admin("delete", "lease", REGISTRY, "--namespace", NAMESPACE, "--ignore-not-found")


async def hold_lease(settings: Settings) -> None:
    async with open_client(settings) as kube, lease_held(kube, "a test", alone=False, say=print):
        pass


async def ready_then_tunnel(settings: Settings, *, ready: bool) -> None:
    async with open_client(settings) as kube:
        if ready:
            await wait_ready(kube, seconds=2)
        async with open_tunnel(kube, 0, None, seconds=5):
            pass
