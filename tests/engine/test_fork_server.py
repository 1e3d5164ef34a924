"""What a fork server loads, in a Python that has not imported anything else."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "kube_registry" / "engine" / "fork_server.py"
LOADED = """
import runpy, sys
server = runpy.run_path(sys.argv[1])
server["_import"](*server["_components"]())
print(*sorted(name for name in sys.modules if "components" in name))
"""


@pytest.mark.parametrize(
    ("files", "loaded"),
    [
        (
            ("kube_registry/__init__", "components/__init__", "components/cluster_registry", "components/__main__"),
            "components components.cluster_registry",
        ),
        (
            (
                "kube_registry/__init__",
                "kube_registry/components/__init__",
                "kube_registry/components/cluster_registry",
                "components/__init__",
                "components/cluster_registry",
            ),
            "kube_registry.components kube_registry.components.cluster_registry",
        ),
        (("kube_registry/__init__", "components/__init__", "components/other"), ""),
        (("components/__init__", "components/cluster_registry"), ""),
    ],
    ids=["a checkout", "the wheel", "the program's own components", "no kube-registry"],
)
def test_it_loads_the_components_of_kube_registry_and_no_others(
    tmp_path: Path, files: tuple[str, ...], loaded: str
) -> None:
    for name in files:
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("raise SystemExit('it was run')" if file.stem == "__main__" else "")
    command = [sys.executable, "-P", "-c", LOADED, str(SCRIPT)]
    ended = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == loaded
