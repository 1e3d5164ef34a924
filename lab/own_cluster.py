"""The demo on an existing cluster, with the Docker daemon and the `pulumi` of this computer; no tools are built.

Before Pulumi starts, the daemon and the cluster are checked with the program's own code, so that the errors are the
same.
"""

import asyncio
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kube_registry.docker_daemon.daemon import prove_daemon
from kube_registry.errors import KubeRegistryError
from kube_registry.kube.errors import KubeconfigError, KubeContextError
from lab.commands import last_word
from lab.errors import LabError
from lab.parts import PULUMI
from lab.places import CACHE
from lab.progress import Progress
from lab.pulumi_home import CHECKOUT, on_path
from lab.stacks import DemoStack, downstream_stack, registry_stack
from lab.summary import show

Object = dict[str, Any]

WORKLOAD = "app.kubernetes.io/name=downstream"
"""The label of the pods of examples/downstream."""

LOGIN_SECONDS = 60.0
"""How long `pulumi whoami` may take."""

_LONGEST = 80
"""Maximum number of characters of a kube context in a stack's name; Pulumi allows 100 in total."""

_LOGGED_OUT = ("requires logging in", "PULUMI_ACCESS_TOKEN must be set")
"""Messages of `pulumi whoami` without a login (pkg/backend/backenderr, and earlier versions)."""

_PASSPHRASES = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


def up(kube_context: str) -> None:
    """Deploy the program and its downstream, and show the pods that run its image.

    Raises:
        LabError: `pulumi`, the Docker daemon or the cluster is not available, or an update failed.
    """
    progress = Progress()
    nodes, registry, downstream = _prepared(kube_context, progress)
    for title, stack in (("pulumi up", registry), ("pulumi up, downstream", downstream)):
        with progress.phase(title):
            stack.run("up", "--yes", "--skip-preview")
    pods = asyncio.run(_listed(kube_context, "/api/v1/namespaces/default/pods", labelSelector=WORKLOAD))
    show(nodes, pods, downstream.outputs()["image"], progress.phases)
    shell, removal = _make("shell", kube_context), _make("down", kube_context)
    print(f"`{shell}` opens a shell for `pulumi` and `registryctl` on it, `{removal}` removes it.")


def preview(kube_context: str) -> None:
    """Show what `up` would change. The downstream is included if its image exists.

    Raises:
        LabError: `pulumi`, the Docker daemon or the cluster is not available, or a preview failed.
    """
    _, registry, downstream = _prepared(kube_context, Progress())
    for stack in (registry, downstream) if registry.outputs() else (registry,):
        stack.run("preview")


def down(kube_context: str) -> None:
    """Destroy and remove both stacks.

    Raises:
        LabError: `pulumi`, the Docker daemon or the cluster is not available, or a resource could not be deleted.
    """
    _, registry, downstream = _prepared(kube_context, Progress())
    for stack in (downstream, registry):
        stack.run("destroy", "--yes", "--skip-preview")
        stack.remove()
    shutil.rmtree(_backend(registry.name), ignore_errors=True)


def stack_name(kube_context: str) -> str:
    """Return the name of both stacks of a kube context: "demo-" and the context, as far as Pulumi allows it.

    The prefix avoids conflicts with stacks of the lab and with stacks that are named after the cluster.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", kube_context)[:_LONGEST]
    if name == kube_context:
        return f"demo-{name}"
    return f"demo-{name}-{hashlib.sha256(kube_context.encode()).hexdigest()[:6]}"


def variables(kube_context: str, progress: Progress) -> dict[str, str]:
    """Return the variables with which `pulumi` and `registryctl` use the stacks of a kube context.

    Raises:
        LabError: there is no suitable `pulumi`, or `pulumi whoami` failed.
    """
    chosen = on_path()
    if not any(name in os.environ for name in _PASSPHRASES):
        chosen["PULUMI_CONFIG_PASSPHRASE"] = ""  # these stacks contain no secrets
    name = stack_name(kube_context)
    folder = _backend(name)
    pulumi = _pulumi()
    if (folder / ".pulumi").exists():  # contains the deployed stacks, regardless of a later login
        why = "as before"
    elif backend := _login(pulumi):
        progress.say(f"The state of stack {name} is stored in {backend}, where Pulumi is logged in.")
        return chosen
    else:
        why = "because Pulumi is not logged in"
        folder.mkdir(parents=True, exist_ok=True)
    progress.say(f"The state of stack {name} is stored in file://{folder}, {why}.")
    return {**chosen, "PULUMI_BACKEND_URL": f"file://{folder}"}


def _prepared(kube_context: str, progress: Progress) -> tuple[list[Object], DemoStack, DemoStack]:
    """Check the requirements of an update, and return the cluster's nodes and both configured stacks."""
    _pulumi()
    nodes = asyncio.run(_nodes(kube_context))
    env = {**os.environ, **variables(kube_context, progress)}
    name = stack_name(kube_context)
    shell = _make("shell", kube_context)
    registry, downstream = registry_stack(name, env, shell), downstream_stack(name, env, shell)
    registry.init()
    registry.configure({"kubeContext": kube_context, "platform": _platform(nodes), "images.app.context": "./app"})
    downstream.init()
    downstream.configure({"kubeContext": kube_context, "image": "app"})
    return nodes, registry, downstream


def _make(target: str, kube_context: str) -> str:
    """Return the make command for a target and a kube context."""
    return f"make {target} KUBE_CONTEXT={shlex.quote(kube_context)}"


def _pulumi() -> Path:
    """Return the `pulumi` on PATH."""
    command, found = PULUMI.programs[0], shutil.which("pulumi")
    needed = ".".join(map(str, command.at_least))
    if not found:
        raise LabError(f"pulumi is not on PATH. Fix: install {needed} or newer, https://www.pulumi.com/docs/install/")
    if not command.serves(Path(found)):
        raise LabError(
            f"{found} is older than {needed} or does not run; `pulumi version` shows which. "
            "Fix: install a newer version, https://www.pulumi.com/docs/install/"
        )
    return Path(found)


def _login(pulumi: Path) -> str | None:
    """Return the URL of the backend that Pulumi is logged in to, or None if it is not logged in."""
    command = [str(pulumi), "whoami", "--json", "--non-interactive"]
    try:
        asked = subprocess.run(
            command, cwd=CHECKOUT, capture_output=True, text=True, timeout=LOGIN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise LabError(f"`pulumi whoami` timed out after {LOGIN_SECONDS:.0f} s. Fix: `pulumi login`") from None
    if asked.returncode == 0:
        return str(json.loads(asked.stdout)["url"])
    if any(words in asked.stderr for words in _LOGGED_OUT):
        return None
    raise LabError(f"`pulumi whoami` failed: {last_word(asked.stderr)} Fix: `pulumi login`")


def _backend(name: str) -> Path:
    """Return the folder for a stack's state if Pulumi is not logged in."""
    return CACHE / "own-clusters" / name


async def _nodes(kube_context: str) -> list[Object]:
    """Return the cluster's nodes, after a check of the Docker daemon."""
    try:
        await prove_daemon(os.environ)
        return await _listed(kube_context, "/api/v1/nodes")
    except KubeRegistryError as error:
        raise LabError(_sentence(kube_context, error)) from None


def _sentence(kube_context: str, error: KubeRegistryError) -> str:
    """Return the message of an error; a fix that changes a stack's setting is replaced by one for `make`."""
    if not isinstance(error, KubeconfigError) or type(error) not in (KubeconfigError, KubeContextError):
        return str(error)
    shell = _make("shell", kube_context)
    return (
        f"Kube context {kube_context!r} cannot be used with kubeconfig {error.kubeconfig}: {error.reason}. "
        "Fix: KUBE_CONTEXT=NAME with one of `kubectl config get-contexts`, or KUBECONFIG=FILE with another file. "
        f"If the cluster no longer exists, `{shell}`, then `pulumi stack rm --force` removes the stack"
    )


async def _listed(kube_context: str, path: str, **query: str) -> list[Object]:
    # These imports take a second that the lab's other commands do not need.
    from kube_registry.kube.client import open_client  # noqa: PLC0415
    from kube_registry.spec.settings import RegistrySettings  # noqa: PLC0415

    settings = RegistrySettings.parse({"kubeContext": kube_context}, project="kube-registry", stack="")
    async with open_client(settings) as kube:
        return list((await kube.once.get(path, **query))["items"])


def _platform(nodes: Sequence[Object]) -> str:
    """Return the platform to build images for: amd64, unless no node has it."""
    found = [node["status"]["nodeInfo"]["architecture"] for node in nodes]
    return f"linux/{'amd64' if 'amd64' in found or not found else found[0]}"
