"""The lab's containerd alone, which pulls as on a node, and registries on loopback for it."""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from kube_registry.errors import Where
from kube_registry.registry.api import open_registry
from lab.toolchain import tool
from lab.waiting import wait_for
from tests.fakes.ports import free_port

SECONDS = 30.0
CONFIG = """\
version = 2
root = "{folder}/root"
state = "{folder}/state"
[grpc]
address = "{folder}/sock"
[ttrpc]
address = "{folder}/ttrpc"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{config_path}"
"""
PULL_IMAGE = "/runtime.v1.ImageService/PullImage"


@dataclass(frozen=True)
class Registry:
    """A registry on loopback, over plain HTTP.

    Attributes:
        port: where it listens.
        log: a line for each request.
    """

    port: int
    log: Path

    def was_asked(self, path: str) -> bool:
        """Whether it was asked for something below /v2/."""
        return f"/v2/{path}" in self.log.read_text()

    async def store(self, repository: str, tag: str, config: bytes, layer: bytes) -> str:
        """Store an image; its digest."""
        where = Where(cluster="", kube_context="none", namespace="none")
        async with open_registry(f"127.0.0.1:{self.port}", where) as client:
            return await client.put_image(repository, tag, config, layer)

    @classmethod
    @contextmanager
    def serving(cls, folder: Path) -> Iterator["Registry"]:
        """Run one, with its files in a folder."""
        found, config = cls(free_port(), folder / "log"), folder / "config.yml"
        folder.mkdir()
        config.write_text(
            f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}\n"
            f"http: {{addr: 127.0.0.1:{found.port}}}\n"
        )
        with (
            found.log.open("w") as log,
            subprocess.Popen([tool("registry"), "serve", config], stdout=log, stderr=log) as process,
        ):
            try:
                wait_for(
                    lambda: "listening on" in found.log.read_text(), "the registry", log=found.log, seconds=SECONDS
                )
                yield found
            finally:
                process.terminate()


@contextmanager
def short_folder() -> Iterator[Path]:
    """A folder with a short path: that of a socket has a limit."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@contextmanager
def containerd(folder: Path, config_path: str) -> Iterator[Callable[[str], grpc.StatusCode]]:
    """The lab's containerd alone; what is given pulls an image as a kubelet does, and returns how that ended."""
    (folder / "config.toml").write_text(CONFIG.format(folder=folder, config_path=config_path))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([tool("containerd"), "--config", folder / "config.toml"], stdout=log, stderr=log) as process,
        grpc.insecure_channel(f"unix://{folder}/sock") as channel,
    ):

        def pull(image: str) -> grpc.StatusCode:
            try:
                channel.unary_unary(PULL_IMAGE)(message(message(image.encode())), timeout=SECONDS)
            except grpc.RpcError as error:
                sys.stderr.write(f"{error}\n")  # for the report of a test that did not expect it
                return error.code()
            return grpc.StatusCode.OK

        try:
            grpc.channel_ready_future(channel).result(SECONDS)
            yield pull
        finally:
            process.terminate()


def message(content: bytes) -> bytes:
    """A message of protobuf with one short field: PullImageRequest is an ImageSpec, which is a name."""
    assert len(content) < 128
    return bytes([1 << 3 | 2, len(content)]) + content


def write_hosts(certs: Path, port: int, text: str) -> None:
    """Write a node's hosts.toml for a registry of its loopback."""
    hosts = certs / f"localhost:{port}" / "hosts.toml"
    hosts.parent.mkdir(parents=True)
    hosts.write_text(text)
