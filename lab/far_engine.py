"""A second Docker engine that does not share this machine's loopback: as one in a container or a virtual machine.

It lives in a network namespace with no way out. All that leads to it is its socket.
"""

from lab import docker_engine, places
from lab.docker_engine import Engine, Site
from lab.progress import Progress

NAME = "far-docker"
FAR = Site(places.STATE / NAME, places.RUN / NAME, bridge=NAME, address="10.118.0.1/24", far=True)


def up(progress: Progress, site: Site = FAR) -> Engine:
    """Start the far engine and give it the lab's images. Idempotent.

    Raises:
        LabError: it did not start; the sentence names the log.
    """
    engine = docker_engine.start(progress, site)
    docker_engine.load_images(engine, site, progress)
    return engine


def down(progress: Progress, site: Site = FAR) -> None:
    """End the far engine, and remove all that it made but its log. Idempotent."""
    docker_engine.down(progress, site)
