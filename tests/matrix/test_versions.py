"""The lab runs the versions that were chosen, as its cluster and its Docker daemon report them."""

import json
from collections.abc import Callable
from contextlib import closing

import docker
import pytest

from lab.versions import chosen, matches
from tests.conftest import Lab

pytestmark = pytest.mark.lab


def test_cluster_and_daemon_report_the_chosen_versions(
    lab: Lab, record_property: Callable[[str, object], None]
) -> None:
    """The properties are for the table that tests/matrix/__main__.py writes."""
    nodes = [node["status"]["nodeInfo"] for node in lab.get("nodes")]
    server = json.loads(lab.kubectl("version", "--output", "json"))["serverVersion"]["gitVersion"]
    with closing(docker.DockerClient(base_url=lab.env["DOCKER_HOST"])) as client:
        daemon, driver = client.version()["Version"], client.info()["DriverStatus"]
    kubernetes = {version.removeprefix("v") for version in (server, *(node["kubeletVersion"] for node in nodes))}
    runtimes = {node["containerRuntimeVersion"].removeprefix("containerd://").removeprefix("v") for node in nodes}
    store = "containerd" if "io.containerd.snapshotter.v1" in json.dumps(driver) else "classic"
    for program, found in (("Kubernetes", kubernetes), ("containerd", runtimes), ("Docker", {daemon})):
        (version,) = found
        assert matches(version, getattr(chosen(), program.lower()))
        record_property(program, version)
    record_property("image store", store)
