"""The Docker engine of the lab: the machine's engine if one runs, otherwise one that the lab starts.

The lab starts Debian's dockerd in a PID and a mount namespace that belong to one process. When that process is killed,
containerd, builds and mounts end with it, and only files are left. The engine uses the host's network, because it
pushes to the host's loopback, and it does not change the firewall. It adds one bridge, which BuildKit needs for RUN.
"""

import json
import os
import shutil
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from lab import cgroups, images, places, processes
from lab.commands import last_word
from lab.errors import LabError
from lab.processes import Process
from lab.progress import Progress
from lab.toolchain import locked, tool
from lab.waiting import wait_for

ANSWER_SECONDS = 5
"""How long a running engine may take to respond to a request for its information."""

START_SECONDS = 60.0
STOP_SECONDS = 15.0
"""How long dockerd may take to stop after SIGTERM."""

LOCK_SECONDS = START_SECONDS + STOP_SECONDS + processes.END_SECONDS
"""How long another command of the lab may hold the lock on the engine."""

LOAD_SECONDS = 120
IP_SECONDS = 10.0

USUAL_HOST = "unix:///var/run/docker.sock"

_FAR_SCRIPT = Path(__file__).with_name("far_engine.sh")


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
    """

    state: Path = places.STATE / "docker"
    run: Path = places.RUN / "docker"
    bridge: str = "lab-docker"
    address: str = "10.120.0.1/24"
    far: bool = False

    @property
    def engine(self) -> Engine:
        """The engine at this site."""
        return Engine(f"unix://{self.run}/docker.sock")

    @property
    def data(self) -> Path:
        """Its images and containers."""
        return self.state / "data"

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


LAB = Site()
"""The site of the lab's usual engine."""


def up(progress: Progress, site: Site = LAB) -> Engine:
    """Return a working Docker engine with the lab's images, including busybox. Idempotent.

    This is the engine that DOCKER_HOST names, else the one at the usual socket, else the one at `site`, which is
    started.

    Raises:
        LabError: it did not start, or could not load the images; the message names the log.
    """
    hosts = [host for host in (os.environ.get("DOCKER_HOST"), USUAL_HOST) if host and host != site.engine.host]
    engine = next((Engine(host) for host in hosts if _works(host)), None) or start(progress, site)
    load_images(engine, site, progress)
    return engine


def start(progress: Progress, site: Site = LAB) -> Engine:
    """Start the engine at `site`, unless it runs. Idempotent.

    Raises:
        LabError: it did not start; the message names the log.
    """
    with locked(site.lock, LOCK_SECONDS):
        process = processes.recorded(site.record)
        if process and process.alive and _works(site.engine.host):
            return site.engine
        with progress.running("Docker engine", "starting"):
            _end(site)
            if not site.far:
                _make_bridge(site)
            _wait_for_answer(site, _launch(site))
    return site.engine


def down(progress: Progress, site: Site = LAB) -> None:
    """Stop the engine at `site` and remove everything that it created, except its log. Idempotent.

    An engine that the lab did not start is left alone.

    Raises:
        LabError: a process or its control group still exists after SIGKILL.
    """
    with locked(site.lock, LOCK_SECONDS):
        if not site.record.exists() and not site.interface.exists():
            return
        with progress.running("Docker engine", "stopping"):
            _end(site)
            if site.interface.exists():
                _ip("link", "delete", site.bridge)
            cgroups.remove(site.group, site.log)
            for folder in (site.data, site.run):
                shutil.rmtree(folder, ignore_errors=True)
            site.record.unlink(missing_ok=True)


def _works(host: str) -> bool:
    """Return whether an engine responds at this address and runs Linux containers."""
    try:
        with closing(docker.DockerClient(base_url=host, timeout=ANSWER_SECONDS)) as client:
            return bool(client.info()["OSType"] == "linux")
    except (DockerException, requests.RequestException, OSError):
        return False


def load_images(engine: Engine, site: Site, progress: Progress) -> None:
    """Load the lab's images into an engine, unless it has them.

    Raises:
        LabError: the engine could not load them.
    """
    name = images.BUSYBOX
    try:
        with closing(docker.DockerClient(base_url=engine.host, timeout=LOAD_SECONDS)) as client:
            try:
                client.images.get(name)
            except ImageNotFound:
                with progress.running("Docker engine", "loading images"), images.archive().open("rb") as archive:
                    client.images.load(archive)
    except (DockerException, requests.RequestException) as error:
        raise LabError(
            f"The Docker engine at {engine.host} cannot load {images.archive()}: {error}. "
            f"If the lab started it, see its log {site.log}."
        ) from error


def _wait_for_answer(site: Site, process: Process) -> None:
    def answers() -> bool:
        if not process.alive:
            raise LabError(f"dockerd failed to start: {last_word(site.log.read_text())} See its log {site.log}.")
        return _works(site.engine.host)

    wait_for(answers, "the Docker engine to respond", log=site.log, seconds=START_SECONDS)


def _launch(site: Site) -> Process:
    """Start dockerd in a new PID and mount namespace, and in a new network namespace if the site is far."""
    config = site.state / "daemon.json"
    config.write_text(json.dumps(_configuration(site), indent=2))
    namespaces = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--"]
    command = [str(tool("tini-static")), "--", str(tool("dockerd")), f"--config-file={config}"]
    if site.far:
        command = ["unshare", "--net", "--", "sh", str(_FAR_SCRIPT), site.bridge, site.address, *command]
    return processes.start([*namespaces, *command], record=site.record, log=site.log, mark=site.mark, forks=True)


def _configuration(site: Site) -> dict[str, object]:
    """Return the complete configuration, which replaces the machine's /etc/docker/daemon.json."""
    return {
        "hosts": [site.engine.host],
        "data-root": str(site.data),
        "exec-root": str(site.run / "exec"),
        "pidfile": str(site.run / "docker.pid"),
        "cgroup-parent": f"/{site.group}",
        "bridge": site.bridge,
        "iptables": False,
        "ip6tables": False,
        "ip-forward": False,
        "ip-masq": False,
        "userland-proxy": False,
    }


def _end(site: Site) -> None:
    """Stop the engine, and remove its sockets and pid files, which would prevent the next dockerd from starting."""
    process = processes.recorded(site.record)
    if process:
        processes.end(process, grace=STOP_SECONDS)
    processes.end_marked(site.mark)
    shutil.rmtree(site.run, ignore_errors=True)
    for folder in (site.state, site.run):
        folder.mkdir(parents=True, exist_ok=True)


def _make_bridge(site: Site) -> None:
    if not site.interface.exists():
        _ip("link", "add", site.bridge, "type", "bridge")
    _ip("address", "replace", site.address, "dev", site.bridge)
    _ip("link", "set", site.bridge, "up")


def _ip(*arguments: str) -> None:
    done = subprocess.run([tool("ip"), *arguments], capture_output=True, text=True, timeout=IP_SECONDS, check=False)
    if done.returncode != 0:
        raise LabError(f"ip {' '.join(arguments)}, for the Docker engine, failed: {done.stderr.strip()}")
