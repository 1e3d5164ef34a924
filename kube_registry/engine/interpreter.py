"""The Python that runs a Pulumi program, as its Pulumi.yaml names it."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kube_registry.engine.errors import ColdRunError


@dataclass(frozen=True)
class Interpreter:
    """The Python of a program.

    Args:
        python: its path, in the virtualenv if there is one; links are not resolved.
        virtualenv: folder of the virtualenv, if Pulumi.yaml names one.
        program: folder of the program's `__main__.py`.
    """

    python: Path
    virtualenv: Path | None
    program: Path

    def activate(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with the virtualenv activated, as Pulumi does it (sdk/python, ActivateVirtualEnv)."""
        if not self.virtualenv:
            return dict(env)
        path = os.pathsep.join([str(self.virtualenv / "bin"), *filter(None, [env.get("PATH")])])
        return {**{name: value for name, value in env.items() if name != "PYTHONHOME"}, "PATH": path}


def interpreter_of(folder: Path) -> Interpreter:
    """Read the Python of a program from its Pulumi.yaml; without a virtualenv, it is the Python of this process.

    Args:
        folder: folder of Pulumi.yaml.

    Raises:
        ColdRunError: it is another language, or there is no such virtualenv.
    """
    project = _project(folder)
    language, options = _runtime(project)
    if language != "python":
        raise ColdRunError(f"the program is written in {language or 'an unknown language'}, not in Python")
    named, toolchain = options.get("virtualenv"), options.get("toolchain", "pip")
    if not named and toolchain not in ("pip", "uv"):
        raise ColdRunError(f"the virtualenv of toolchain {toolchain} is unknown")
    program = (folder / main_folder(folder, project)).resolve()
    if not named and toolchain == "pip":
        return Interpreter(Path(sys.executable), None, program)
    virtualenv = (folder / str(named or ".venv")).absolute()
    python = virtualenv / "bin" / "python"
    if not python.exists():
        raise ColdRunError(f"{python} does not exist")
    return Interpreter(python, virtualenv, program)


def main_folder(folder: Path, project: Mapping[str, Any]) -> Path:
    """Return the working directory of a program, relative to the folder of its Pulumi.yaml.

    Args:
        folder: the folder of Pulumi.yaml.
        project: its content.
    """
    main = Path(str(project.get("main") or ""))
    return main if (folder / main).is_dir() else main.parent


def _project(folder: Path) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 - only a warm run needs it

    try:
        project = yaml.safe_load((folder / "Pulumi.yaml").read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ColdRunError(f"Pulumi.yaml cannot be read: {error}") from error
    return project if isinstance(project, Mapping) else {}


def _runtime(project: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the options of a program's runtime."""
    runtime = project.get("runtime")
    if isinstance(runtime, Mapping):
        options = runtime.get("options")
        return str(runtime.get("name", "")), options if isinstance(options, Mapping) else {}
    return str(runtime or ""), {}
