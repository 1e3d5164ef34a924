"""The lab's side of Pulumi: its own home with plugins, its own state, and the environment that selects both.

Nothing of a person's own Pulumi is read or changed. Plugins are the released ones where those can be downloaded; the
Kubernetes plugin is built where it cannot, and the Docker plugin is then the offline stand-in of
lab/docker_provider. What runs in the environment is the caller's business.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run_logged
from lab.errors import LabError
from lab.parts import KUBERNETES_PLUGIN
from lab.places import CACHE, STATE
from lab.progress import Progress
from lab.toolchain import locked, provide, tool

HOME = CACHE / "pulumi-home"
BACKEND = STATE / "pulumi"
CHECKOUT = Path(__file__).resolve().parent.parent
DOCKER_PLUGIN_VERSION = "5.2.0"

DOWNLOAD_LIMIT_SECONDS = 60.0
INSTALL_LIMIT_SECONDS = 60.0

_LAUNCHER = "pulumi-resource-docker"
_STAND_IN = """\
#!/bin/sh
# The lab's offline stand-in for Pulumi's Docker plugin. Only the lab's environment names these two.
export PYTHONPATH="${KUBE_REGISTRY_LAB_CHECKOUT:?is set by the lab only}"
exec "${KUBE_REGISTRY_LAB_PYTHON:?is set by the lab only}" -P -m lab.docker_provider "$@"
"""


@dataclass(frozen=True)
class Plugin:
    """A resource plugin at the version that agrees with the SDK in lab/constraints.txt."""

    name: str
    version: str

    @property
    def folder(self) -> Path:
        """Where Pulumi keeps it once it is installed."""
        return HOME / "plugins" / f"resource-{self.name}-v{self.version}"

    @property
    def refusal(self) -> Path:
        """The file that remembers that this version could not be downloaded, and why."""
        return HOME / f"no-download-of-{self.name}-{self.version}"

    def installed(self) -> bool:
        """Whether it is installed and complete."""
        return self.folder.is_dir() and not self.folder.with_name(f"{self.folder.name}.partial").exists()


KUBERNETES = Plugin("kubernetes", KUBERNETES_PLUGIN.version)
DOCKER = Plugin("docker", DOCKER_PLUGIN_VERSION)


def provide_plugins(progress: Progress) -> None:
    """Install the plugins that are missing in the lab's Pulumi home; says nothing where none is.

    Raises:
        LabError: a plugin can be neither downloaded nor built, or Pulumi does not take it.
    """
    BACKEND.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "locks" / "pulumi-home"):
        if not KUBERNETES.installed() and not download(KUBERNETES, progress):
            provide(progress, [KUBERNETES_PLUGIN])
            install(KUBERNETES, tool("pulumi-resource-kubernetes"))
        if not _docker_plugin_ready() and not download(DOCKER, progress):
            launcher = HOME / _LAUNCHER
            launcher.write_text(_STAND_IN)
            launcher.chmod(0o755)
            install(DOCKER, launcher)
            progress.say(
                "The lab's stand-in takes the place of Pulumi's Docker plugin, which cannot be downloaded here "
                f"(remove {DOCKER.refusal} and {DOCKER.folder} to try again)."
            )


def download(plugin: Plugin, progress: Progress) -> bool:
    """Try to install the released plugin; a failure is remembered, so that only the first run waits for it."""
    if plugin.refusal.exists():
        return False
    HOME.mkdir(parents=True, exist_ok=True)
    with progress.running(f"Pulumi plugin {plugin.name} {plugin.version}", "asking for the released one"):
        try:
            _pulumi_plugin_install(plugin, limit=DOWNLOAD_LIMIT_SECONDS)
        except LabError as error:
            plugin.refusal.write_text(f"{error}\n")
            return False
    return True


def install(plugin: Plugin, program: Path) -> None:
    """Register a program as the plugin.

    Raises:
        LabError: Pulumi does not take it.
    """
    _pulumi_plugin_install(plugin, "--reinstall", "--file", str(program), limit=INSTALL_LIMIT_SECONDS)


def environment(*, kubeconfig: Path | None = None, docker_host: str | None = None) -> dict[str, str]:
    """The whole environment in which `pulumi` uses the lab: ours, and `variables` over it."""
    return {**os.environ, **variables(kubeconfig=kubeconfig, docker_host=docker_host)}


def variables(*, kubeconfig: Path | None = None, docker_host: str | None = None) -> dict[str, str]:
    """The variables by which `pulumi` uses the lab's home, state, virtualenv, cluster and Docker engine.

    Args:
        kubeconfig: the lab's kubeconfig, where a cluster runs.
        docker_host: the address of the engine that the lab runs, where it runs one.

    Raises:
        LabError: there is no Pulumi yet.
    """
    chosen = {
        **_our_home(),
        **on_path(tool("pulumi").parent, tool("kubectl").parent),
        "PULUMI_BACKEND_URL": f"file://{BACKEND}",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # Pulumi asks pip for its packages before every command
        "PYTHONDONTWRITEBYTECODE": "",  # what is compiled once need not be compiled by every command
        "KUBE_REGISTRY_LAB_PYTHON": sys.executable,
        "KUBE_REGISTRY_LAB_CHECKOUT": str(CHECKOUT),
    }
    if kubeconfig:
        chosen["KUBECONFIG"] = str(kubeconfig)
    if docker_host:
        chosen["DOCKER_HOST"] = docker_host
    return chosen


def on_path(*folders: Path) -> dict[str, str]:
    """The variables that put virtualenv, `registryctl` of this checkout and these folders before all else on PATH."""
    first = [str(folder) for folder in (Path(sys.prefix) / "bin", CHECKOUT / "lab" / "bin", *folders)]
    rest = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder not in first]
    return {"PATH": os.pathsep.join([*first, *rest]), "VIRTUAL_ENV": sys.prefix}


def _docker_plugin_ready() -> bool:
    """Whether the released plugin is installed, or the stand-in's launcher as it is today."""
    stand_in = DOCKER.refusal.exists()
    return DOCKER.installed() and (not stand_in or (DOCKER.folder / _LAUNCHER).read_text() == _STAND_IN)


def _pulumi_plugin_install(plugin: Plugin, *options: str, limit: float) -> None:
    log = CACHE / "logs" / f"pulumi-plugin-{plugin.name}-{plugin.version}.log"
    command = [str(tool("pulumi")), "plugin", "install", "resource", plugin.name, plugin.version, *options]
    run_logged(command, log=log, limit=limit, env={**os.environ, **_our_home()})


def _our_home() -> dict[str, str]:
    return {"PULUMI_HOME": str(HOME), "PULUMI_SKIP_UPDATE_CHECK": "true"}
