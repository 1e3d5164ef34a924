"""The Docker engine of the lab: the machine's engine if one runs, otherwise one that the lab starts.

The lab starts dockerd in a PID and a mount namespace that belong to one process. When that process is killed,
containerd, builds and mounts end with it, and only files are left. The engine uses the host's network, because it
pushes to the host's loopback, and it does not change the firewall. It adds one bridge, which BuildKit needs for RUN.
"""

import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import docker
import requests
from docker.errors import DockerException, ImageNotFound

from lab import cgroups, images, processes
from lab.commands import last_word
from lab.docker_site import SITES, Engine, Site
from lab.errors import LabError
from lab.parts import of_engine
from lab.processes import Process
from lab.progress import Progress
from lab.toolchain import locked, provide, tool
from lab.versions import NEWEST, VARIABLE, chosen, matches
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


def up(progress: Progress, site: Site | None = None) -> Engine:
    """Return a working Docker engine with the lab's images, including busybox. Idempotent.

    This is the engine that DOCKER_HOST names, else the one at the usual socket, else the one at `site`, which is
    started. If a version was chosen, an engine that runs is used only if it has this version.

    Args:
        progress: where to print.
        site: by default the usual one of the chosen version.

    Raises:
        LabError: it did not start, or could not load the images; the message names the log.
    """
    site = site or SITES[chosen().docker]
    hosts = [host for host in (os.environ.get("DOCKER_HOST"), USUAL_HOST) if host and host != site.engine.host]
    engine = next((Engine(host) for host in hosts if _serves(host, site)), None) or start(progress, site)
    load_images(engine, site, progress)
    return engine


def start(progress: Progress, site: Site) -> Engine:
    """Start the engine at `site`, unless it runs; its programs are built if they are missing. Idempotent.

    Raises:
        LabError: it did not start; the message names the log.
    """
    provide(progress, of_engine(site.version))
    with locked(site.lock, LOCK_SECONDS):
        process = processes.recorded(site.record)
        current = site.config.exists() and json.loads(site.config.read_text()) == _configuration(site)
        if process and process.alive and current and version_of(site.engine):
            return site.engine
        with progress.running("Docker engine", "starting"):
            _end(site)
            if not site.far:
                _make_bridge(site)
            _wait_for_answer(site, _launch(site))
    return site.engine


def down(progress: Progress, site: Site) -> None:
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


def version_of(engine: Engine) -> str | None:
    """Return the version that an engine reports, or None if it does not respond or does not run Linux containers."""
    try:
        with closing(docker.DockerClient(base_url=engine.host, timeout=ANSWER_SECONDS)) as client:
            reported = client.version()
            return str(reported["Version"]) if reported["Os"] == "linux" else None
    except (DockerException, requests.RequestException, OSError):
        return None


def _serves(host: str, site: Site) -> bool:
    version = version_of(Engine(host))
    any_serves = site.version == NEWEST.docker and not os.environ.get(VARIABLE)
    return bool(version and (any_serves or matches(version, site.version)))


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
        return bool(version_of(site.engine))

    wait_for(answers, "the Docker engine to respond", log=site.log, seconds=START_SECONDS)


def _launch(site: Site) -> Process:
    """Start dockerd in a new PID and mount namespace, and in a new network namespace if the site is far."""
    site.config.write_text(json.dumps(_configuration(site), indent=2))
    namespaces = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--mount-proc", "--"]
    parts = of_engine(site.version)
    dockerd, containerd = tool("dockerd", parts), tool("containerd", parts)
    path = f"PATH={containerd.parent}:{processes.PATH}"  # dockerd starts the containerd on its PATH
    command = [str(tool("tini-static")), "--", "env", path, str(dockerd), f"--config-file={site.config}"]
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
        "features": {"time-namespaces": False},  # Debian's runc has none, and Docker 29 would require them
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
