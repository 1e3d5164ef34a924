"""Where the bench does its work: a cluster, a Docker engine, projects and a state of its own.

Whatever else runs in the lab stays as it is. The projects are copies, because a sample edits a file.
"""

import compileall
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from kube_registry.spec.settings import Settings
from lab.docker_site import Site
from lab.places import RUN, STATE
from lab.pulumi_home import CHECKOUT
from lab.spec import ClusterSpec

CLUSTER = "bench"
SITE = Site(STATE / "bench-docker", RUN / "bench-docker", bridge="lab-bench", address="10.120.1.1/24")

STACK = "dev"
"""What the demo calls its stacks."""

DOWNSTREAM = Path("examples", "downstream")
_NAMES = ClusterSpec(CLUSTER, index=0, proxy_modes=())
"""Says what follows of the cluster's name alone, before there is a cluster."""

KUBE_CONTEXT = _NAMES.kube_context
PUSH_PORT = 19_999
"""Below the ports that are derived, so that no stack of a person's has it."""

_FOLDERS = ("kube_registry", "components", "app", DOWNSTREAM)
_PROGRAM = ("__main__.py", "Pulumi.yaml", "Pulumi.dev.yaml", *_FOLDERS)
_FLAT = ("app", DOWNSTREAM)


def copy_ours(folder: Path, kube_context: str = KUBE_CONTEXT, **settings: str | int) -> Path:
    """A copy of the program, configured for the bench's cluster if for no other.

    Args:
        folder: gets the copy.
        kube_context: of the cluster.
        settings: more of the program's, by their keys.
    """
    _copy(CHECKOUT, _PROGRAM, folder)
    chosen = {"kubeContext": kube_context, "pushPort": PUSH_PORT, **settings}
    _configure(folder, {f"kube-registry:{key}": value for key, value in chosen.items()})
    _configure(folder / DOWNSTREAM, {"downstream:kubeContext": kube_context})
    return folder


def copy_bare(folder: Path) -> Path:
    """A copy of the flat program, with a build context and a downstream like ours; it lacks resources.json yet."""
    shutil.copytree(CHECKOUT / "tests" / "bench" / "bare", folder)
    _copy(CHECKOUT, _FLAT, folder)
    _configure(folder, {"bare:kubeContext": KUBE_CONTEXT})
    registry_stack = f"organization/bare/{STACK}"
    _configure(
        folder / DOWNSTREAM, {"downstream:kubeContext": KUBE_CONTEXT, "downstream:registryStack": registry_stack}
    )
    return folder


def settings() -> Settings:
    """Those of the stack, for whoever looks at its cluster without the program."""
    config = {
        "kubeContext": KUBE_CONTEXT,
        "kubeconfig": str(_NAMES.kubeconfig),
        "pushPort": PUSH_PORT,
    }
    return Settings.parse({**config, "images": {"app": {}}}, project="kube-registry", stack=STACK)


def in_backend(env: Mapping[str, str], backend: Path) -> dict[str, str]:
    """An environment of the lab, with another folder for Pulumi's state."""
    return {**env, "PULUMI_BACKEND_URL": f"file://{backend}"}


def write_resources(backend: Path, flat: Path) -> None:
    """Hand the inputs of our stack's resources on to the flat program."""
    inputs: dict[str, dict[str, Any]] = {}
    for resource in _resources(backend, "kube-registry"):
        package, _, kind = resource["type"].partition(":")
        if package in ("kubernetes", "docker"):
            given = {key: value for key, value in resource["inputs"].items() if key not in ("apiVersion", "kind")}
            inputs[kind.rpartition(":")[2]] = given
    del inputs["Image"]["build"]["contextDigest"]  # the provider's own addition
    inputs["Image"]["build"] |= {"context": "./app", "dockerfile": "./app/Dockerfile"}  # not staged
    (flat / "resources.json").write_text(json.dumps(inputs, indent=2))


def output(backend: Path, project: str, name: str) -> str:
    """An output of a project's stack as its state has it, read in no time."""
    outputs = next(each["outputs"] for each in _resources(backend, project) if each["type"] == "pulumi:pulumi:Stack")
    return str(outputs[name])


def _resources(backend: Path, project: str) -> list[dict[str, Any]]:
    state = json.loads((backend / ".pulumi" / "stacks" / project / f"{STACK}.json").read_text())
    resources: list[dict[str, Any]] = state["checkpoint"]["latest"]["resources"]
    return resources


def _copy(source: Path, parts: tuple[str | Path, ...], folder: Path) -> None:
    for part in parts:
        target = folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, target)
        else:
            shutil.copy2(source / part, target)
    (folder / ".venv").symlink_to(sys.prefix)
    compileall.compile_dir(folder, quiet=1)  # as a checkout is after its first run


def _configure(project: Path, values: Mapping[str, str | int]) -> None:
    file = project / f"Pulumi.{STACK}.yaml"
    content = yaml.safe_load(file.read_text()) if file.exists() else {}
    content.setdefault("config", {}).update(values)
    file.write_text(yaml.safe_dump(content))
