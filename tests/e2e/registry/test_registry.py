"""The registry itself: fenced in, told of, open to no writer without a right, and found again after its stack's end."""

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.registry_pod import read_door_only
from kube_registry.names import HOSTING, HOSTING_NAMESPACE, REGISTRY
from kube_registry.registry.api import ANY_MANIFEST
from kube_registry.spec.endpoints import parse_reference
from lab.cluster import kubeconfig_for
from tests.e2e import conftest
from tests.e2e.commands import commands_of
from tests.e2e.conftest import CHECKOUT, Lab, Program, settings_of
from tests.e2e.doors import NAMESPACE, Tried, place_of, visitors

pytestmark = pytest.mark.lab

FOREIGN = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": HOSTING, "namespace": HOSTING_NAMESPACE},
    "data": {"localRegistryHosting.v1": 'host: "localhost:5000"\n'},
}
_BLOCK = re.compile(r"(?<=<!-- paths -->\n).*?(?=<!-- end of paths -->)", re.DOTALL)


@pytest.fixture(scope="module")
def retained(lab: Lab, program: Program) -> Iterator[Program]:
    """The program with all that can be chosen about the registry itself, in the hands of a deployer."""
    folder = CHECKOUT / "docs" / "rbac"
    rights = (f"--filename={folder / 'deployer.yaml'}", f"--filename={folder / 'hosting.yaml'}")
    lab.kubectl("apply", *rights)
    deployer = kubeconfig_for(lab.cluster.name, "deployer", [f"{NAMESPACE}-deployers"])
    program.configure(retain="true", localRegistryHosting="true", kubeconfig=str(deployer))
    yield program
    lab.kubectl("apply", *rights)
    program.destroy()
    lab.kubectl("delete", *rights, "--ignore-not-found")


@pytest.fixture(scope="module")
def running(retained: Program) -> Program:
    """The same, up."""
    retained.up()
    return retained


@pytest.fixture
def foreign(lab: Lab) -> Iterator[dict[str, str]]:
    """What somebody else tells tools of a registry."""
    lab.kubectl("apply", "--filename", "-", given=json.dumps(FOREIGN))
    yield {"localRegistryHosting.v1": 'host: "localhost:5000"\n'}
    lab.kubectl("delete", "configmap", HOSTING, "--namespace", HOSTING_NAMESPACE)


@pytest.fixture
def guests(lab: Lab, running: Program) -> Iterator[None]:
    assert running.output("image")
    visitors(lab, place_of(lab).node)
    yield
    lab.kubectl("delete", "pod", "visitor", "neighbour", "--wait=false")


def told(lab: Lab) -> Any:  # noqa: ANN401 - a ConfigMap's data
    (found,) = lab.get("configmaps", "--namespace", HOSTING_NAMESPACE, "--field-selector", f"metadata.name={HOSTING}")
    return found["data"]


class TestHosting:
    def test_what_somebody_else_tells_is_left_alone(self, lab: Lab, retained: Program, foreign: dict[str, str]) -> None:
        text = retained.failing_up()
        assert 'with the content host: "localhost:5000". Fix: keep it with' in text
        retained.paste(commands_of(text, "localRegistryHosting"))
        retained.up()
        assert told(lab) == foreign
        retained.configure(localRegistryHosting="true")

    def test_tools_are_told_where_to_push_and_where_nodes_pull(self, lab: Lab, retained: Program) -> None:
        retained.up()
        endpoints = settings_of(lab).endpoints
        hosting = json.loads(told(lab)["localRegistryHosting.v1"])
        assert hosting["host"] == endpoints.push_address
        assert hosting["hostFromContainerRuntime"] == endpoints.pull_host


@pytest.mark.usefixtures("running")
class TestFences:
    def test_no_pod_with_more_rights_than_the_registry_gets_into_its_namespace(self, lab: Lab) -> None:
        with pytest.raises(subprocess.CalledProcessError) as refused:
            lab.kubectl("run", "root", "--image=busybox:stable", "--privileged", "--namespace", NAMESPACE)
        assert 'violates PodSecurity "restricted:latest"' in refused.value.stderr

    def test_the_policy_is_there(self, lab: Lab) -> None:
        (policy,) = lab.get("networkpolicies", "--namespace", NAMESPACE)
        assert policy["spec"] == read_door_only(None)


@pytest.mark.usefixtures("guests")
class TestPaths:
    def test_nobody_writes_without_a_right_on_the_namespace_and_the_page_says_so(self, lab: Lab) -> None:
        place = place_of(lab)
        tried = [*place.by_network(), *place.by_api_server()]
        assert {each.write for each in tried} <= {
            "405 Method Not Allowed",
            "connection refused",
            "403 Forbidden",
            "no answer",
        }
        page = CHECKOUT / "docs" / "security.md"
        before = page.read_text()
        page.write_text(_BLOCK.sub(lambda _: table(tried), before))
        assert page.read_text() == before, "docs/security.md was out of date; it has been written anew"

    def test_a_listener_in_the_hosts_network_does_not_get_the_node_port(self, lab: Lab) -> None:
        """Where kube-proxy has rules of iptables; the other nodes are those of e2e/lab/test_node_proxy.py."""
        place = place_of(lab)
        listen = f"(echo 'HTTP/1.0 418 Stolen' | timeout 20 nc -l -p {place.node_port}) >/dev/null 2>&1 & sleep 0.5"
        assert f":{place.node_port} " in lab.kubectl("exec", "neighbour", "--", "sh", "-c", f"{listen}; netstat -ltn")
        answers = {each.read for each in place.by_network() if each.target == "the node port, at the node's loopback"}
        assert answers == {"200 OK"}


class TestRetain:
    """Each test goes on where the one before ended."""

    def test_the_namespace_of_a_stack_that_is_still_there_is_not_taken_over(
        self, lab: Lab, running: Program, fresh: Program
    ) -> None:
        assert running.output("image")
        assert "already exists, and is not part of this stack" in fresh.failing_up()
        assert lab.get("deployments", "--namespace", NAMESPACE)

    def test_destroy_leaves_the_volume_and_nothing_that_runs(
        self, lab: Lab, retained: Program, images: list[str]
    ) -> None:
        images.append(retained.output("image"))
        retained.destroy()
        # Pulumi does not wait for the Deployment's end; its pods end first.
        lab.kubectl("wait", "--for=delete", f"deployment/{REGISTRY}", "--namespace", NAMESPACE, "--timeout=25s")
        assert len(lab.get("persistentvolumeclaims", "--namespace", NAMESPACE)) == 1
        for kind in ("deployments", "services", "networkpolicies", "pods"):
            assert lab.get(kind, "--namespace", NAMESPACE) == [], kind
        hosting = ("--namespace", HOSTING_NAMESPACE, "--field-selector", f"metadata.name={HOSTING}")
        assert lab.get("configmaps", *hosting) == []

    def test_the_next_up_finds_every_image_again(self, lab: Lab, retained: Program, images: list[str]) -> None:
        (retained.folder / "app" / "site" / "version").write_text("next\n")
        retained.up()
        images.append(retained.output("image"))
        for reference in images:
            pulled(lab, reference)
        retained.destroy()

    def test_so_does_another_stack_that_wants_more_room_and_its_destroy_takes_all_along(
        self, lab: Lab, fresh: Program, images: list[str]
    ) -> None:
        fresh.up()
        assert len(set(images)) == 2
        for reference in images:
            pulled(lab, reference)
        (claim,) = lab.get("persistentvolumeclaims", "--namespace", NAMESPACE)
        assert claim["spec"]["resources"]["requests"]["storage"] == "11Gi"
        fresh.destroy()
        assert NAMESPACE not in {item["metadata"]["name"] for item in lab.get("namespaces")}


@pytest.fixture(scope="module")
def fresh(lab: Lab, checkout: Path) -> Iterator[Program]:
    """Another stack, which knows nothing of the first, for the same namespace."""
    made = conftest.new_program(lab, checkout, checkout, stack="another")
    made.configure(kubeContext=lab.cluster.kube_context, images_app_context="./app", claim_size="11Gi")
    lab.kubectl("patch", "storageclass", "standard", "--patch", '{"allowVolumeExpansion": true}')
    yield made
    made.destroy()


@pytest.fixture(scope="module")
def images() -> list[str]:
    """References that were pushed by a stack that is gone, and have to be there in the next one's life."""
    return []


def pulled(lab: Lab, reference: str) -> None:
    """Read an image whole: the manifest by its digest, and every blob that it names."""
    image = parse_reference(reference)
    base = f"http://{lab.cluster.nodes[0].address}:{settings_of(lab).node_port}/v2/{image.repository}"
    accept = {"Accept": ANY_MANIFEST}
    manifest = urllib.request.Request(f"{base}/manifests/{image.digest}", headers=accept)  # noqa: S310
    with urllib.request.urlopen(manifest, timeout=10) as answer:  # noqa: S310
        content = json.load(answer)
    for blob in (content["config"], *content["layers"]):
        with urllib.request.urlopen(f"{base}/blobs/{blob['digest']}", timeout=10) as answer:  # noqa: S310
            assert len(answer.read()) == blob["size"]


def table(tried: list[Tried]) -> str:
    """What was tried, as docs/security.md shows it."""
    rows = [f"| {each.source} | {each.target} | {each.read} | {each.write} |\n" for each in tried]
    return "| from | to | read | write |\n|---|---|---|---|\n" + "".join(rows)
