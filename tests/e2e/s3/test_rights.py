"""docs/rbac/s3.yaml: with the deployer's manifest it suffices for a registry with a bucket, and no right is idle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import control_plane
from lab.cluster import known
from tests.e2e.access import DEPLOYER, NAMESPACE, Access, manifest
from tests.e2e.conftest import Lab, Program, new_program
from tests.e2e.s3.conftest import BUCKET
from tests.s3_server import LITERALS, S3Server

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def access(lab: Lab) -> Iterator[Access]:
    """An administrator has applied both manifests and created the Secret with the keys."""
    log = control_plane.machine_of(known(lab.cluster.name)).log(control_plane.API_SERVER)
    access = Access(lab, log, log.stat().st_size)
    for name in (DEPLOYER, "s3"):
        access.admin("apply", "--filename", "-", given=manifest(name))
    access.admin("create", "secret", "generic", "keys-of-s3", *LITERALS, "--namespace", NAMESPACE)
    access.log_requests(3)
    yield access
    access.log_requests(0)
    access.admin("delete", "clusterroles,clusterrolebindings", f"{NAMESPACE}-{DEPLOYER}")
    access.admin("delete", "namespace", NAMESPACE, "--ignore-not-found")


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path, s3: S3Server, access: Access) -> Program:
    """The program in the hands of a deployer."""
    made = new_program(lab, checkout, checkout)
    made.configure(
        kubeContext=lab.cluster.kube_context,
        kubeconfig=str(access.kubeconfig(DEPLOYER)),
        images_app_context="./app",
        replicas="2",
        **{f"s3_{key}": str(value) for key, value in s3.settings(BUCKET).items()},
    )
    return made


def test_those_of_the_manifests_suffice_to_update(program: Program) -> None:
    program.up()
    assert set(program.up()) == {"same"}


def test_without_a_secret_the_pods_need_the_clouds_identity(program: Program) -> None:
    with program.changed({"s3.secret": ""}):
        said = program.failing_up()
    assert f"cannot use bucket {BUCKET}" in said
    assert "NoCredentialProviders" in said
    assert "Fix: give the service account registry an identity with access to the bucket" in said


def test_they_suffice_to_destroy_and_none_was_idle(access: Access, program: Program) -> None:
    program.destroy()
    assert NAMESPACE not in {item["metadata"]["name"] for item in access.lab.get("namespaces")}
    assert access.idle("s3", access.start) == set()
