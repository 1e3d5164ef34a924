"""Which registry the lab's containerd asks for localhost, by its setting `config_path` and a hosts.toml.

From 2.1 on, containerd takes `config_path` as one folder, so that its own default of two finds no hosts.toml.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from kube_registry.spec.versions import parsed
from lab.toolchain import tool
from lab.waiting import wait_for
from tests.fakes.ports import free_port

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]

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
    """A registry on loopback, over plain HTTP, without any image.

    Attributes:
        port: where it listens.
        log: a line for each request.
    """

    port: int
    log: Path

    @property
    def was_asked(self) -> bool:
        """Whether it was asked for the image."""
        return "/v2/app/manifests/1" in self.log.read_text()

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


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short path: that of a socket has a limit."""
    made = Path(tempfile.mkdtemp())
    yield made
    shutil.rmtree(made)


@contextmanager
def containerd(folder: Path, config_path: str) -> Iterator[Callable[[str], None]]:
    """The lab's containerd alone; what is given pulls an image as a kubelet does, which fails."""
    (folder / "config.toml").write_text(CONFIG.format(folder=folder, config_path=config_path))
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen([tool("containerd"), "--config", folder / "config.toml"], stdout=log, stderr=log) as process,
        grpc.insecure_channel(f"unix://{folder}/sock") as channel,
    ):

        def pull(image: str) -> None:
            with pytest.raises(grpc.RpcError) as failed:
                channel.unary_unary(PULL_IMAGE)(message(message(image.encode())), timeout=SECONDS)
            assert failed.value.code() is grpc.StatusCode.NOT_FOUND, failed.value

        try:
            grpc.channel_ready_future(channel).result(SECONDS)
            yield pull
        finally:
            process.terminate()


def message(content: bytes) -> bytes:
    """A message of protobuf with one short field: PullImageRequest is an ImageSpec, which is a name."""
    assert len(content) < 128
    return bytes([1 << 3 | 2, len(content)]) + content


@pytest.mark.parametrize("folders", [0, 1, 2])
def test_a_hosts_toml_counts_if_config_path_is_one_folder(folder: Path, folders: int) -> None:
    with Registry.serving(folder / "localhost") as localhost, Registry.serving(folder / "mirror") as mirror:
        certs = [folder / "certs.d", folder / "other.d"][:folders]
        for each in certs[:1]:
            hosts = each / f"localhost:{localhost.port}" / "hosts.toml"
            hosts.parent.mkdir(parents=True)
            hosts.write_text(f'[host."http://127.0.0.1:{mirror.port}"]\ncapabilities = ["pull", "resolve"]\n')
        with containerd(folder, ":".join(map(str, certs))) as pull:
            pull(f"localhost:{localhost.port}/app:1")
        assert localhost.was_asked
        assert mirror.was_asked == (folders == 1 or (folders == 2 and version() < (2, 1)))


def version() -> tuple[int, int]:
    """The version of the lab's containerd."""
    done = subprocess.run([tool("containerd"), "--version"], capture_output=True, text=True, check=True, timeout=10)
    found = parsed(done.stdout)
    assert found
    return found
