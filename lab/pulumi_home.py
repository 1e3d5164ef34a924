"""The lab's Pulumi home with plugins, its state, and the environment that selects both.

The user's own Pulumi home is neither read nor changed. Released plugins are downloaded. If that fails, the Kubernetes
plugin is built, and the Docker plugin is replaced by the offline stand-in in lab/docker_provider.
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from lab.commands import run_logged
from lab.errors import LabError
from lab.parts import KUBERNETES_PLUGIN, of_cluster
from lab.places import CACHE, STATE
from lab.progress import Progress
from lab.toolchain import locked, provide, tool
from lab.versions import Versions, chosen

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
    """A resource plugin in the version of the SDK in lab/constraints.txt."""

    name: str
    version: str

    @property
    def folder(self) -> Path:
        """The folder that Pulumi installs it to."""
        return HOME / "plugins" / f"resource-{self.name}-v{self.version}"

    @property
    def refusal(self) -> Path:
        """The file that records that this version could not be downloaded, and why."""
        return HOME / f"no-download-of-{self.name}-{self.version}"

    def installed(self) -> bool:
        """Return whether it is completely installed."""
        return self.folder.is_dir() and not self.folder.with_name(f"{self.folder.name}.partial").exists()


KUBERNETES = Plugin("kubernetes", KUBERNETES_PLUGIN.version)
DOCKER = Plugin("docker", DOCKER_PLUGIN_VERSION)


def provide_plugins(progress: Progress) -> None:
    """Install missing plugins in the lab's Pulumi home; print nothing if none is missing.

    Raises:
        LabError: a plugin can be neither downloaded nor built, or Pulumi cannot install it.
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
                "Pulumi's Docker plugin cannot be downloaded; the lab uses its stand-in instead "
                f"(remove {DOCKER.refusal} and {DOCKER.folder} to try again)."
            )


def download(plugin: Plugin, progress: Progress) -> bool:
    """Try to download the released plugin. A failure is recorded, so that only the first run waits for it."""
    if plugin.refusal.exists():
        return False
    HOME.mkdir(parents=True, exist_ok=True)
    with progress.running(f"Pulumi plugin {plugin.name} {plugin.version}", "downloading"):
        try:
            _pulumi_plugin_install(plugin, limit=DOWNLOAD_LIMIT_SECONDS)
        except LabError as error:
            plugin.refusal.write_text(f"{error}\n")
            return False
    return True


def install(plugin: Plugin, program: Path) -> None:
    """Register a program as the plugin.

    Raises:
        LabError: Pulumi cannot install it.
    """
    _pulumi_plugin_install(plugin, "--reinstall", "--file", str(program), limit=INSTALL_LIMIT_SECONDS)


def environment(*, kubeconfig: Path | None = None, docker_host: str | None = None) -> dict[str, str]:
    """Return the environment in which `pulumi` uses the lab: the current one, overridden by `variables`."""
    return {**os.environ, **variables(kubeconfig=kubeconfig, docker_host=docker_host)}


def variables(
    *, kubeconfig: Path | None = None, docker_host: str | None = None, versions: Versions | None = None
) -> dict[str, str]:
    """Return the variables with which `pulumi` uses the lab's home, state, virtualenv, cluster and Docker engine.

    Args:
        kubeconfig: the kubeconfig of a running cluster, if any.
        docker_host: the address of the lab's Docker engine, if any.
        versions: those of the cluster, for `kubectl`; by default those that the environment chooses.

    Raises:
        LabError: Pulumi is not built yet.
    """
    selected = {
        **_our_home(),
        **on_path(tool("pulumi").parent, tool("kubectl", of_cluster(versions or chosen())).parent),
        "PULUMI_BACKEND_URL": f"file://{BACKEND}",
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",  # Pulumi runs pip before every command
        "PYTHONDONTWRITEBYTECODE": "",  # keep compiled modules for the next command
        "KUBE_REGISTRY_LAB_PYTHON": sys.executable,
        "KUBE_REGISTRY_LAB_CHECKOUT": str(CHECKOUT),
    }
    if kubeconfig:
        selected["KUBECONFIG"] = str(kubeconfig)
    if docker_host:
        selected["DOCKER_HOST"] = docker_host
    return selected


def on_path(*folders: Path) -> dict[str, str]:
    """Return the variables that put the virtualenv, `registryctl` and some folders at the start of PATH."""
    first = [str(folder) for folder in (Path(sys.prefix) / "bin", CHECKOUT / "lab" / "bin", *folders)]
    rest = [folder for folder in os.environ["PATH"].split(os.pathsep) if folder not in first]
    return {"PATH": os.pathsep.join([*first, *rest]), "VIRTUAL_ENV": sys.prefix}


def _docker_plugin_ready() -> bool:
    """Return whether the released plugin or the stand-in's current launcher is installed."""
    stand_in = DOCKER.refusal.exists()
    return DOCKER.installed() and (not stand_in or (DOCKER.folder / _LAUNCHER).read_text() == _STAND_IN)


def _pulumi_plugin_install(plugin: Plugin, *options: str, limit: float) -> None:
    log = CACHE / "logs" / f"pulumi-plugin-{plugin.name}-{plugin.version}.log"
    command = [str(tool("pulumi")), "plugin", "install", "resource", plugin.name, plugin.version, *options]
    run_logged(command, log=log, limit=limit, env={**os.environ, **_our_home()})


def _our_home() -> dict[str, str]:
    return {
        "PULUMI_HOME": str(HOME),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        # Every command writes a log, and first looks at each older one (pulumi pkg/logging/rotation.go). The default is
        # 500 MB: with the 40,000 logs of some days of tests, a command took 1.1 s instead of 0.24.
        "PULUMI_LOG_ROTATION_MAX_TOTAL_MB": "2",
    }
