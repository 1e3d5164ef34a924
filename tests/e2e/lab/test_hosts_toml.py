"""Which registry the lab's containerd asks for localhost, by its setting `config_path` and a hosts.toml.

From 2.1 on, containerd takes `config_path` as one folder, so that its own default of two finds no hosts.toml.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from kube_registry.spec.versions import parsed
from lab.toolchain import tool
from tests.e2e.runtime import Registry, containerd, short_folder, write_hosts

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab")]


@pytest.fixture
def folder() -> Iterator[Path]:
    with short_folder() as made:
        yield made


@pytest.mark.parametrize("folders", [0, 1, 2])
def test_a_hosts_toml_counts_if_config_path_is_one_folder(folder: Path, folders: int) -> None:
    with Registry.serving(folder / "localhost") as localhost, Registry.serving(folder / "mirror") as mirror:
        certs = [folder / "certs.d", folder / "other.d"][:folders]
        for each in certs[:1]:
            mirrored = f'[host."http://127.0.0.1:{mirror.port}"]\ncapabilities = ["pull", "resolve"]\n'
            write_hosts(each, localhost.port, mirrored)
        with containerd(folder, ":".join(map(str, certs))) as pull:
            assert pull(f"localhost:{localhost.port}/app:1") is grpc.StatusCode.NOT_FOUND
        assert localhost.was_asked("app/manifests/1")
        expected = folders == 1 or (folders == 2 and version() < (2, 1))
        assert mirror.was_asked("app/manifests/1") == expected


def version() -> tuple[int, int]:
    """The version of the lab's containerd."""
    done = subprocess.run([tool("containerd"), "--version"], capture_output=True, text=True, check=True, timeout=10)
    found = parsed(done.stdout)
    assert found
    return found
