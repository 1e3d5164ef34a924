"""A second Docker engine that does not share this machine's loopback, like one in a container or a virtual machine.

It runs in a network namespace without a route to other networks; only its socket is reachable.
"""

from lab import docker_engine, places
from lab.docker_site import Engine, Site
from lab.progress import Progress

NAME = "far-docker"


def far_site() -> Site:
    """Return the site of the far engine, in the chosen version of Docker."""
    return Site(places.STATE / NAME, places.RUN / NAME, bridge=NAME, address="10.118.0.1/24", far=True)


def up(progress: Progress, site: Site | None = None) -> Engine:
    """Start the far engine and load the lab's images into it. Idempotent.

    Raises:
        LabError: it did not start; the message names the log.
    """
    site = site or far_site()
    engine = docker_engine.start(progress, site)
    docker_engine.load_images(engine, site, progress)
    return engine


def down(progress: Progress, site: Site | None = None) -> None:
    """Stop the far engine and remove everything that it created, except its log. Idempotent."""
    docker_engine.down(progress, site or far_site())
