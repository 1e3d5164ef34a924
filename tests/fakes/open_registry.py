"""The registry's own program on this machine's loopback, over plain HTTP, without a login."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from lab.parts import REGISTRY
from lab.toolchain import build, tool
from lab.waiting import wait_for
from tests.fakes.ports import free_port

_START_SECONDS = 30.0
ANSWER_SECONDS = 2.0


@contextmanager
def open_registry(folder: Path) -> Iterator[int]:
    """A block with an empty registry, which keeps what it gets in memory; yields its port."""
    build(REGISTRY)
    port, config, log = free_port(), folder / "registry.yml", folder / "registry.log"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{inmemory: {{}}}}\nhttp: {{addr: 127.0.0.1:{port}}}\n"
    )
    with (
        log.open("w") as output,
        subprocess.Popen([tool("registry"), "serve", config], stdout=output, stderr=output) as process,
    ):
        wait_for(lambda: answers(port), "the registry to answer", log=log, seconds=_START_SECONDS)
        yield port
        process.terminate()


def answers(port: int, seconds: float = ANSWER_SECONDS) -> bool:
    """Whether a registry answers GET /v2/ with 200 on that port."""
    connection = HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request("GET", "/v2/")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
