"""A registry with two replicas on a bucket: its life, what goes wrong with the bucket, and an update during pulls."""

import asyncio
import json
import socket
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest
import requests

from kube_registry.kube.pods import is_ready
from kube_registry.names import selector
from kube_registry.registry.api import ANY_MANIFEST
from kube_registry.spec.endpoints import parse_reference
from lab.waiting import wait_for
from tests.e2e.commands import commands_of
from tests.e2e.conftest import Lab, Program
from tests.e2e.pulls import pulled
from tests.e2e.s3.conftest import BUCKET
from tests.s3_server import KEY, PASSWORD, S3Server

pytestmark = pytest.mark.lab

NAMESPACE = ("--namespace", "kube-registry")
PODS = (*NAMESPACE, "--selector", selector("registry"))
READERS = 4


def with_keys(command: str) -> str:
    """The printed command with the keys of the server in the place of VALUE."""
    for name, value in (("AWS_ACCESS_KEY_ID", KEY), ("AWS_SECRET_ACCESS_KEY", PASSWORD)):
        command = command.replace(f"{name}=VALUE", f"{name}={value}")
        command = command.replace(f'"{name}": "VALUE"', f'"{name}": "{value}"')
    assert "VALUE" not in command
    return command


def pods(lab: Lab) -> dict[str, str]:
    """The ready pods that stay: name -> node."""
    listed = [pod for pod in lab.get("pods", *PODS) if "deletionTimestamp" not in pod["metadata"] and is_ready(pod)]
    return {pod["metadata"]["name"]: pod["spec"]["nodeName"] for pod in listed}


def digest(program: Program) -> str:
    return str(parse_reference(program.output("image")).digest)


def everywhere(lab: Lab, program: Program) -> None:
    """Every node pulls the image of the stack."""
    assert pulled(lab, program.output("image")) == {node.name: digest(program) for node in lab.cluster.nodes}


class TestLife:
    """From the first update on; each test begins where the one before has ended."""

    def test_keys_that_are_missing_are_created_by_the_command(self, program: Program) -> None:
        said = program.failing_up()
        assert 'CreateContainerConfigError: secret "keys-of-s3" not found' in said
        (create,) = commands_of(said, "create secret")
        program.paste([with_keys(create)])
        program.up()

    def test_there_is_no_volume_and_no_key_in_sight(self, lab: Lab, program: Program) -> None:
        assert lab.get("persistentvolumeclaims", *NAMESPACE) == []
        config = json.dumps(lab.get("configmaps", *NAMESPACE))
        assert BUCKET in config
        assert PASSWORD not in config
        (http,) = (each for each in lab.get("secrets", *NAMESPACE) if each["metadata"]["name"] == "registry-http")
        written = "".join(file.read_text() for file in (program.folder / "state").rglob("*.json"))
        assert "registry-http" in written
        encoded = http["data"]["key"]
        for secret in (PASSWORD, encoded, b64decode(encoded).decode()):
            assert secret not in written

    def test_one_pod_is_on_each_node_and_every_node_pulls(self, lab: Lab, program: Program) -> None:
        assert sorted(pods(lab).values()) == sorted(node.name for node in lab.cluster.nodes)
        everywhere(lab, program)

    def test_the_next_update_changes_nothing_and_keeps_the_key(self, program: Program) -> None:
        assert set(program.up()) == {"same"}
        assert set(program.refresh()) == {"same"}

    def test_while_one_pod_is_gone_the_other_serves(self, lab: Lab, program: Program) -> None:
        gone = next(iter(pods(lab)))
        lab.kubectl("delete", "pod", gone, *NAMESPACE, "--wait=false", "--grace-period=0", "--force")
        everywhere(lab, program)

    def test_a_pushed_image_survives_all_pods(self, lab: Lab, program: Program) -> None:
        (program.folder / "app" / "site" / "version").write_text("another\n")
        program.up()
        lab.kubectl("delete", "pods", *PODS)
        wait_for(lambda: len(pods(lab)) == 2, "two new pods", log=Path("/dev/null"), seconds=60)
        everywhere(lab, program)
        assert set(program.up()) == {"same"}

    def test_a_budget_lets_one_pod_go(self, lab: Lab) -> None:
        (budget,) = lab.get("poddisruptionbudgets", *NAMESPACE)
        assert budget["status"]["disruptionsAllowed"] == 1


@pytest.mark.parametrize(("redirect", "status"), [("false", 200), ("true", 307)])
def test_nodes_pull_layers_from_the_pods_or_from_the_bucket(
    lab: Lab, program: Program, redirect: str, status: int
) -> None:
    program.configure(s3_redirect=redirect)
    (program.folder / "app" / "site" / "version").write_text(f"redirect {redirect}\n")
    program.up()
    deployed = parse_reference(program.output("image"))
    registry = f"http://{lab.cluster.nodes[0].address}:30100/v2/{deployed.repository}"
    manifest = requests.get(f"{registry}/manifests/{deployed.digest}", headers={"Accept": ANY_MANIFEST}, timeout=10)
    layers = [layer["digest"] for layer in manifest.json()["layers"]]
    answers = [requests.get(f"{registry}/blobs/{each}", allow_redirects=False, timeout=10) for each in layers]
    assert {answer.status_code for answer in answers} == {status}
    everywhere(lab, program)
    assert program.registryctl("doctor").returncode == 0


@pytest.fixture
def before(program: Program) -> Iterator[None]:
    """The settings before a test, at its end; they are deployed."""
    file = program.folder / f"Pulumi.{program.stack.name}.yaml"
    settings = file.read_text()
    yield
    file.write_text(settings)
    program.up()


@pytest.mark.usefixtures("before")
class TestFaults:
    """An update that would break the registry leaves the pods that work; the printed command corrects it."""

    def refused(self, lab: Lab, program: Program) -> str:
        there = pods(lab)
        said = program.failing_up()
        assert set(there) <= set(pods(lab))
        assert "Traceback" not in said
        return said

    def test_a_bucket_that_does_not_exist(self, lab: Lab, program: Program, s3: S3Server) -> None:
        program.configure(s3_bucket="nowhere")
        said = self.refused(lab, program)
        assert f"cannot use bucket nowhere of {s3.endpoint}, so every push would fail: NoSuchBucket: " in said
        (correct,) = commands_of(said, "s3.bucket")
        program.paste([correct.replace("NAME", BUCKET)])
        program.up()

    def test_a_server_that_does_not_answer(self, lab: Lab, program: Program, s3: S3Server) -> None:
        wrong = f"http://{lab.cluster.host_address}:9"
        program.configure(s3_endpoint=wrong)
        said = self.refused(lab, program)
        assert f"cannot use bucket {BUCKET} of {wrong}, so every push would fail: dial tcp " in said
        assert "connection refused" in said
        (correct,) = commands_of(said, "s3.endpoint")
        program.paste([correct.replace("URL", s3.endpoint)])
        program.up()

    def test_a_server_that_takes_connections_and_does_not_answer(self, lab: Lab, program: Program) -> None:
        with socket.create_server((lab.cluster.host_address, 0)) as silent:
            wrong = f"http://{lab.cluster.host_address}:{silent.getsockname()[1]}"
            program.configure(s3_endpoint=wrong)
            said = self.refused(lab, program)
        assert (
            f"cannot use bucket {BUCKET} of {wrong}, so every push would fail: it does not respond in time. Fix: "
            in said
        )

    def test_wrong_keys(self, lab: Lab, program: Program) -> None:
        """The pods that run have read the right ones at their start."""
        data = {"stringData": {"AWS_ACCESS_KEY_ID": "someone-else"}}
        lab.kubectl("patch", "secret", "keys-of-s3", *NAMESPACE, "--patch", json.dumps(data))
        program.configure(pod_resources_limits_memory="600Mi")
        said = self.refused(lab, program)
        assert "so every push would fail: InvalidAccessKeyId: " in said
        program.paste([with_keys(each) for each in commands_of(said, "kubectl")])
        program.up()

    def test_a_key_that_the_secret_lacks(self, lab: Lab, program: Program) -> None:
        lab.kubectl("patch", "secret", "keys-of-s3", *NAMESPACE, "--type=json", "--patch", REMOVE)
        program.configure(pod_resources_limits_memory="700Mi")
        said = self.refused(lab, program)
        assert "couldn't find key AWS_ACCESS_KEY_ID in Secret" in said
        program.paste([with_keys(each) for each in commands_of(said, "patch secret")])
        program.up()

    def test_a_region_that_aws_does_not_have(self, lab: Lab, program: Program) -> None:
        program.run("pulumi", "config", "rm", "--path", "s3.endpoint", "--stack", program.stack.name)
        program.configure(s3_region="us-nowhere-1")
        said = self.refused(lab, program)
        assert "panic: invalid region provided: us-nowhere-1. Fix: correct it with" in said


REMOVE = '[{"op": "remove", "path": "/data/AWS_ACCESS_KEY_ID"}]'


def test_no_pull_fails_while_all_pods_are_replaced(lab: Lab, program: Program) -> None:
    """As every node pulls: by its node port, each request on a new connection."""
    deployed, node = parse_reference(program.output("image")), lab.cluster.nodes[0].address
    url = f"http://{node}:{deployed.host.rpartition(':')[2]}/v2/{deployed.repository}/manifests/{deployed.digest}"
    accepted = {"Accept": ANY_MANIFEST}

    async def read_on(session: aiohttp.ClientSession, ended: asyncio.Event) -> int:
        count = 0
        while not ended.is_set():
            async with session.get(url, headers=accepted) as answer:
                answer.raise_for_status()
                await answer.read()
            count += 1
        return count

    async def replace_meanwhile() -> list[int]:
        ended = asyncio.Event()
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session, asyncio.TaskGroup() as readers:
            tasks = [readers.create_task(read_on(session, ended)) for _ in range(READERS)]
            await asyncio.to_thread(lab.kubectl, "rollout", "restart", "deployment/registry", *NAMESPACE)
            await asyncio.to_thread(wait_for, replaced, "new pods", log=Path("/dev/null"), seconds=150)
            ended.set()
        return [task.result() for task in tasks]

    old = {pod["metadata"]["name"] for pod in lab.get("pods", *PODS)}

    def replaced() -> bool:
        """The old pods have ended: the last of them has refused nothing either."""
        return not old & {pod["metadata"]["name"] for pod in lab.get("pods", *PODS)}

    assert min(asyncio.run(replace_meanwhile())) > 0


def test_a_bucket_that_is_gone_is_named_by_what_reads_it(program: Program, s3: S3Server) -> None:
    """The last test: nothing is left to read."""
    s3.delete_bucket(BUCKET)
    done = program.registryctl("verify")
    assert (done.returncode, done.stdout) == (1, "")
    named = f"cannot use bucket {BUCKET} of {s3.endpoint}, so every push would fail: NoSuchBucket: "
    assert named in done.stderr
    assert "Fix: create the bucket" in done.stderr
    said = program.registryctl("doctor").stdout
    (row,) = (line for line in said.splitlines() if line.startswith("fix  images"))
    assert named in row
