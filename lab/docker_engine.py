"""A Docker engine for the lab: the one that runs on this machine, else one of its own.

Its own is Debian's dockerd in a PID and a mount namespace that live and die with one process: when that is killed,
containerd, every build and every mount go too, and only files are left. It stays in the host's network, because it
pushes to the host's loopback, and it touches no firewall; its one trace there is a bridge, which BuildKit wants for
RUN. What is built in it is others' business.
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
"""How long a running engine may take to tell about itself."""

START_SECONDS = 60.0
STOP_SECONDS = 15.0
"""How long dockerd may take to obey SIGTERM."""

LOCK_SECONDS = START_SECONDS + STOP_SECONDS + processes.END_SECONDS
"""How long another run may be busy with the engine."""

LOAD_SECONDS = 120
IP_SECONDS = 10.0

USUAL_HOST = "unix:///var/run/docker.sock"

_FAR_SCRIPT = Path(__file__).with_name("far_engine.sh")


@dataclass(frozen=True)
class Engine:
    """A running Docker engine and its address, such as unix:///var/run/docker.sock: a value for DOCKER_HOST."""

    host: str


@dataclass(frozen=True)
class Site:
    """Where an engine of the lab's own lives.

    Attributes:
        state: the folder of what it keeps: images, logs, the record of its process.
        run: the folder of its sockets; its path must be short.
        bridge: the network interface that its builds are plugged into.
        address: that of the bridge, with the length of its network.
        far: whether it has a network of its own, with no way out.
    """

    state: Path = places.STATE / "docker"
    run: Path = places.RUN / "docker"
    bridge: str = "lab-docker"
    address: str = "10.120.0.1/24"
    far: bool = False

    @property
    def engine(self) -> Engine:
        """The engine that lives here when it runs."""
        return Engine(f"unix://{self.run}/docker.sock")

    @property
    def data(self) -> Path:
        """Its images and containers."""
        return self.state / "data"

    @property
    def log(self) -> Path:
        """What dockerd and its containerd have to say."""
        return self.state / "logs" / "dockerd.log"

    @property
    def record(self) -> Path:
        """The file that tells of its first process."""
        return self.state / "dockerd.json"

    @property
    def mark(self) -> str:
        """What its processes carry in their environment."""
        return f"docker{self.run}"

    @property
    def group(self) -> str:
        """The control group that its builds are in."""
        return f"{cgroups.ROOT}/{self.bridge}"

    @property
    def interface(self) -> Path:
        """The bridge as the kernel shows it, where there is one."""
        return Path("/sys/class/net", self.bridge)

    @property
    def lock(self) -> Path:
        """Held by whoever starts or ends it."""
        return self.run.with_name(f"{self.run.name}.lock")


LAB = Site()
"""The lab's own."""


def up(progress: Progress, site: Site = LAB) -> Engine:
    """A Docker engine that works and has the lab's images, busybox among them. Idempotent.

    It is the one that DOCKER_HOST names or that listens at the usual place, else the one that lives at `site`.

    Raises:
        LabError: it did not start, or does not take the images; the sentence names the log.
    """
    hosts = [host for host in (os.environ.get("DOCKER_HOST"), USUAL_HOST) if host and host != site.engine.host]
    engine = next((Engine(host) for host in hosts if _works(host)), None) or start(progress, site)
    load_images(engine, site, progress)
    return engine


def start(progress: Progress, site: Site = LAB) -> Engine:
    """Start the engine that lives at `site`, unless it runs. Idempotent.

    Raises:
        LabError: it did not start; the sentence names the log.
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
    """End the engine that lives at `site`, and remove all that it made but its log. Idempotent.

    An engine that the lab did not start stays as it is.

    Raises:
        LabError: a process outlived SIGKILL, or its control group did.
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
    """Whether an engine at this address answers, and runs Linux containers."""
    try:
        with closing(docker.DockerClient(base_url=host, timeout=ANSWER_SECONDS)) as client:
            return bool(client.info()["OSType"] == "linux")
    except (DockerException, requests.RequestException, OSError):
        return False


def load_images(engine: Engine, site: Site, progress: Progress) -> None:
    """Give an engine the lab's images, unless it has them.

    Raises:
        LabError: it does not take them.
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
            f"The Docker engine at {engine.host} does not take {images.archive()}: {error}. "
            f"If it is the lab's own, its log is {site.log}."
        ) from error


def _wait_for_answer(site: Site, process: Process) -> None:
    def answers() -> bool:
        if not process.alive:
            raise LabError(f"dockerd ended while it started: {last_word(site.log.read_text())} Its log is {site.log}.")
        return _works(site.engine.host)

    wait_for(answers, "the Docker engine to answer", log=site.log, seconds=START_SECONDS)


def _launch(site: Site) -> Process:
    """Start dockerd in a namespace of processes and one of mounts, and in one of networks where it is far."""
    config = site.state / "daemon.json"
    config.write_text(json.dumps(_configuration(site), indent=2))
    namespaces = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--"]
    command = [str(tool("tini-static")), "--", str(tool("dockerd")), f"--config-file={config}"]
    if site.far:
        command = ["unshare", "--net", "--", "sh", str(_FAR_SCRIPT), site.bridge, site.address, *command]
    return processes.start([*namespaces, *command], record=site.record, log=site.log, mark=site.mark, forks=True)


def _configuration(site: Site) -> dict[str, object]:
    """All of it, so that the machine's own configuration, /etc/docker/daemon.json, has no say."""
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
    """End what runs, and clear away its sockets and process numbers, which would mislead the next dockerd."""
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
