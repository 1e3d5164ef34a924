"""A second Docker engine that does not share this machine's loopback: what a virtual machine's is like, simulated.

It lives in a network namespace with no way out but one: host.docker.internal, behind which a gateway carries every
connection to the same port of this machine's loopback. So do Docker Desktop, Colima and others.
"""

import sys
from pathlib import Path

from lab import docker_engine, gateway, places, processes
from lab.docker_engine import Engine, Site
from lab.errors import LabError
from lab.progress import Progress
from lab.waiting import wait_for

NAME = "far-docker"
FAR = Site(places.STATE / NAME, places.RUN / NAME, bridge=NAME, address="10.118.0.1/24", far=True)

GATEWAY_SECONDS = 10.0

_RECORD = FAR.state / "gateway.json"
_LOG = FAR.state / "logs" / "gateway.log"


def up(progress: Progress) -> Engine:
    """The far engine with its gateway and the lab's images. Idempotent.

    Raises:
        LabError: one of them did not start; the sentence names the log.
    """
    engine = docker_engine.start(progress, FAR)
    _open_gateway()
    docker_engine.load_images(engine, FAR, progress)
    return engine


def down(progress: Progress) -> None:
    """End the far engine and its gateway, and remove all that they made but their logs. Idempotent."""
    close_gateway()
    docker_engine.down(progress, FAR)


def close_gateway() -> None:
    """Leave the engine without a way to this machine. Idempotent."""
    running = processes.recorded(_RECORD)
    if running:
        processes.end(running)
    _RECORD.unlink(missing_ok=True)


def _open_gateway() -> None:
    """Start it anew: one that runs may belong to an engine that has ended."""
    close_gateway()
    dockerd = processes.recorded(FAR.record)
    if not dockerd:
        raise LabError(f"The far Docker engine has ended; its log is {FAR.log}.")
    _LOG.unlink(missing_ok=True)
    command = [sys.executable, str(Path(gateway.__file__)), str(dockerd.pid)]
    running = processes.start(command, record=_RECORD, log=_LOG, mark=f"{FAR.mark}/gateway")

    def listens() -> bool:
        if not running.alive:
            raise LabError(f"The gateway of the far Docker engine has ended; its log is {_LOG}.")
        return "listening" in _LOG.read_text()

    wait_for(listens, "the gateway to listen", log=_LOG, seconds=GATEWAY_SECONDS)
