"""What is sent through a port-forward: blobs over HTTP, as any client of a registry does it, and images by Docker."""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse

import docker
import requests
from docker.errors import DockerException

from lab.errors import LabError

REPOSITORY = "blobs"
"""Where the blobs are put."""

ANSWER_SECONDS = 60.0
"""How long the registry may be silent."""

PUSH_SECONDS = 120
"""How long the Docker engine may be silent while it pushes."""

_BUFFER = 1024 * 1024


class PushError(LabError):
    """What the Docker engine said of a push that failed."""


@dataclass(frozen=True)
class Blob:
    """Random bytes and their digest."""

    content: bytes = field(repr=False)
    digest: str

    @classmethod
    def random(cls, size: int) -> "Blob":
        """A blob of so many bytes."""
        return cls.of(os.urandom(size))

    @classmethod
    def of(cls, content: bytes) -> "Blob":
        """These bytes as a blob."""
        return cls(content, f"sha256:{hashlib.sha256(content).hexdigest()}")


def put(port: int, blob: Blob) -> None:
    """Upload a blob in one piece, whether the registry has it or not.

    Raises:
        LabError: the registry refused it.
    """
    with closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)) as connection:
        connection.request("POST", f"/v2/{REPOSITORY}/blobs/uploads/")
        begun = _expect(connection.getresponse(), HTTPStatus.ACCEPTED)
        begun.read()
        location = begun.headers["Location"]
        joint = "&" if "?" in location else "?"
        headers = {"Content-Type": "application/octet-stream"}
        connection.request("PUT", f"{location}{joint}digest={blob.digest}", blob.content, headers)
        _expect(connection.getresponse(), HTTPStatus.CREATED)


def put_at_once(port: int, blobs: Sequence[Blob]) -> None:
    """Upload blobs, each on a connection of its own."""
    with ThreadPoolExecutor(len(blobs)) as threads:
        list(threads.map(partial(put, port), blobs))


def get(port: int, blob: Blob) -> None:
    """Download a blob; its bytes are counted and not kept.

    Raises:
        LabError: the registry refused it, or there were too few bytes.
    """
    buffer, count = bytearray(_BUFFER), 0
    with closing(HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)) as connection:
        connection.request("GET", f"/v2/{REPOSITORY}/blobs/{blob.digest}")
        answer = _expect(connection.getresponse(), HTTPStatus.OK)
        while more := answer.readinto(buffer):
            count += more
    if count != len(blob.content):
        raise LabError(f"Of {len(blob.content)} bytes only {count} came back.")


def load_image(docker_host: str, name: str, layers: Sequence[bytes]) -> None:
    """Give the Docker engine an image of one file a layer; random bytes make it one that no registry has."""
    with closing(docker.DockerClient(base_url=docker_host, timeout=PUSH_SECONDS)) as client:
        client.images.load(_archive(name, layers))


def push_image(docker_host: str, name: str) -> str:
    """Have the Docker engine push an image that it has; the digest that the registry has acknowledged.

    Raises:
        PushError: it failed, in the engine's own words.
    """
    repository, _, tag = name.rpartition(":")
    try:
        with closing(docker.DockerClient(base_url=docker_host, timeout=PUSH_SECONDS)) as client:
            for line in client.images.push(repository, tag, stream=True, decode=True):
                if "error" in line:
                    raise PushError(line["error"])
                if digest := (line.get("aux") or {}).get("Digest"):
                    return str(digest)
    except (DockerException, requests.RequestException) as error:
        raise PushError(str(error)) from error
    raise PushError("it ended without a digest")


def remove_image(docker_host: str, name: str) -> None:
    """Have the Docker engine forget an image."""
    with closing(docker.DockerClient(base_url=docker_host, timeout=PUSH_SECONDS)) as client:
        client.images.remove(name, force=True)


def _expect(answer: HTTPResponse, status: HTTPStatus) -> HTTPResponse:
    if answer.status != status:
        raise LabError(f"The registry answered {answer.status} in place of {status}: {answer.read(300)!r}")
    return answer


def _archive(name: str, layers: Sequence[bytes]) -> io.BytesIO:
    """An archive as `docker load` takes it."""
    packed = [_tar({f"layer-{number}": content}) for number, content in enumerate(layers)]
    diffs = [f"sha256:{hashlib.sha256(layer).hexdigest()}" for layer in packed]
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diffs}}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": [f"{i}.tar" for i in range(len(packed))]}]
    files = {f"{i}.tar": layer for i, layer in enumerate(packed)}
    files |= {"config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()}
    return io.BytesIO(_tar(files))


def _tar(files: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return content.getvalue()
