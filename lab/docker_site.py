"""Where a Docker engine of the lab runs: its version, folders and network."""

from dataclasses import dataclass, field
from pathlib import Path

from lab import cgroups, places
from lab.versions import NEWEST, OLDEST, chosen


@dataclass(frozen=True)
class Engine:
    """A running Docker engine. Its address, such as unix:///var/run/docker.sock, is a value for DOCKER_HOST."""

    host: str


@dataclass(frozen=True)
class Site:
    """Paths and network of an engine that the lab starts.

    Attributes:
        state: the folder of its images, its log and the record of its process.
        run: the folder of its sockets; its path must be short.
        bridge: the network bridge of its builds.
        address: the address of the bridge, with prefix length.
        far: whether it runs in an isolated network namespace.
        version: Docker's version.
    """

    state: Path = places.STATE / "docker"
    run: Path = places.RUN / "docker"
    bridge: str = "lab-docker"
    address: str = "10.120.0.1/24"
    far: bool = False
    version: str = field(default_factory=lambda: chosen().docker)

    @property
    def engine(self) -> Engine:
        """The engine at this site."""
        return Engine(f"unix://{self.run}/docker.sock")

    @property
    def data(self) -> Path:
        """Its images and containers; a version never starts on those of another one, whose store it would keep."""
        return self.state / f"data-{self.version}"

    @property
    def config(self) -> Path:
        """Its configuration, which changes with its version."""
        return self.state / "daemon.json"

    @property
    def log(self) -> Path:
        """The log of dockerd and its containerd."""
        return self.state / "logs" / "dockerd.log"

    @property
    def record(self) -> Path:
        """The file that records its first process."""
        return self.state / "dockerd.json"

    @property
    def mark(self) -> str:
        """The mark in the environment of its processes."""
        return f"docker{self.run}"

    @property
    def group(self) -> str:
        """The control group of its builds."""
        return f"{cgroups.ROOT}/{self.bridge}"

    @property
    def interface(self) -> Path:
        """The path in /sys that exists if the bridge exists."""
        return Path("/sys/class/net", self.bridge)

    @property
    def lock(self) -> Path:
        """The lock file for starting and stopping it."""
        return self.run.with_name(f"{self.run.name}.lock")


SITES = {
    NEWEST.docker: Site(version=NEWEST.docker),
    OLDEST.docker: Site(
        places.STATE / "docker-oldest",
        places.RUN / "docker-oldest",
        "lab-docker-old",
        "10.117.0.1/24",
        version=OLDEST.docker,
    ),
}
"""Docker's version -> the site of the lab's usual engine of that version."""
