"""A real S3 server, and the program with two replicas on one of its buckets."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Lab, Program, new_program
from tests.s3_server import S3Server, s3_server

BUCKET = "images"


@pytest.fixture(scope="module")
def s3(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server that the lab's pods reach, with an empty bucket."""
    with s3_server(lab.cluster.host_address, tmp_path_factory.mktemp("s3")) as server:
        server.create_bucket(BUCKET)
        yield server


@pytest.fixture(scope="module")
def program(lab: Lab, checkout: Path, s3: S3Server) -> Iterator[Program]:
    """The program with two replicas on the bucket; the Secret with its keys does not exist yet."""
    made = new_program(lab, checkout, checkout)
    made.configure(
        kubeContext=lab.cluster.kube_context,
        kubeconfig=str(lab.cluster.kubeconfig),
        images_app_context="./app",
        replicas="2",
        **{f"s3_{key}": str(value) for key, value in s3.settings(BUCKET).items()},
    )
    yield made
    made.destroy()
