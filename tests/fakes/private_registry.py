"""A registry with a password on this machine's loopback, and a base image in it."""

import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import docker

from lab import images
from lab.toolchain import tool
from lab.waiting import wait_for
from tests.fakes.ports import free_port

USER, PASSWORD = "me", "let me in"
LOGIN = '{"ServerURL": "", "Username": "me", "Secret": "let me in"}'
"""What a credential helper answers."""

_HTPASSWD = "me:$2b$04$abcdefghijklmnopqrstuuTnc8amReAFiMHxaSoW9U22KarbWnkSm\n"
_UNAUTHORIZED = 401


@contextmanager
def private_registry(folder: Path, docker_host: str) -> Iterator[str]:
    """A block with a registry that wants a login; yields its host:port. `base:1` in it is busybox.

    The engine has that image under no name from there, so that a build has to ask for it.
    """
    address = f"localhost:{free_port()}"
    (folder / "htpasswd").write_text(_HTPASSWD)
    config, log = folder / "registry.yml", folder / "registry.log"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder}/blobs}}}}\nhttp: {{addr: {address}}}\n"
        f"auth: {{htpasswd: {{realm: private, path: {folder}/htpasswd}}}}\n"
    )
    with (
        log.open("w") as output,
        subprocess.Popen([tool("registry"), "serve", config], stdout=output, stderr=output) as process,
    ):
        wait_for(lambda: _refuses(f"http://{address}/v2/"), "the registry to answer", log=log, seconds=30)
        with closing(docker.DockerClient(docker_host)) as client:
            name = f"{address}/base"
            client.images.get(images.BUSYBOX).tag(name, "1")
            said = client.images.push(name, "1", auth_config={"username": USER, "password": PASSWORD})
            assert "digest: sha256:" in said, said
            client.images.remove(f"{name}:1", noprune=True)
        yield address
        process.terminate()


def _refuses(url: str) -> bool:
    try:
        with urlopen(url, timeout=5):  # noqa: S310 - http to the loopback
            return False
    except HTTPError as error:
        return error.code == _UNAUTHORIZED
    except OSError:
        return False
