"""Where the soak does its work: a cluster with a registry, and a Docker engine, of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from kube_registry.spec.settings import Settings
from lab import cluster, docker_engine
from lab.docker_site import Site
from lab.parts import of_cluster
from lab.places import RUN, STATE
from lab.progress import Progress
from lab.spec import ClusterSpec
from lab.toolchain import provide
from lab.versions import chosen
from tests.bench.registry import deploy, settings_for

SITE = Site(STATE / "soak-docker", RUN / "soak-docker", bridge="lab-soak", address="10.120.2.1/24")

CLUSTER = "soak"

PUSH_PORT, MANUAL_PORT = 19_970, 19_971
"""Below the ports that are derived: that of the push path, and that of a tunnel opened by hand."""


@dataclass(frozen=True)
class Place:
    """The running lab.

    Attributes:
        spec: its cluster.
        settings: those of the registry in it.
        docker_host: the address of its Docker engine.
        progress: who is told what goes on.
    """

    spec: ClusterSpec
    settings: Settings
    docker_host: str
    progress: Progress

    @property
    def read_door(self) -> tuple[str, int]:
        """Where the registry is read, by the node's own address."""
        return self.spec.nodes[0].address, self.settings.node_port


@contextmanager
def lab(progress: Progress) -> Iterator[Place]:
    """The lab, which is ended at the end."""
    provide(progress, of_cluster(chosen()))
    try:
        engine = docker_engine.up(progress, SITE)
        cluster.up(CLUSTER, nodes=1, report=progress)
        spec = cluster.known(CLUSTER)
        settings = settings_for(spec, PUSH_PORT)
        deploy(spec, settings)
        yield Place(spec, settings, engine.host, progress)
    finally:
        cluster.down(CLUSTER)
        docker_engine.down(progress, SITE)
