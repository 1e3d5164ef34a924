"""The matrix: the tests of what depends on versions, with the newest and with the oldest of each program.

`python -m tests.matrix`, which is what `make matrix` calls. It writes a table into docs/compatibility.md. The versions
in it are those that the cluster and the Docker daemon reported during the tests.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree as ET

import typer

from lab.errors import LabError, run
from lab.progress import Progress, duration
from lab.versions import VARIABLE
from tests.bench import table

DOCUMENT = Path(__file__).parents[2] / "docs" / "compatibility.md"
LIMIT_SECONDS = 3 * 3600.0

PROGRAMS = ("Kubernetes", "containerd", "Docker", "image store")
"""The properties that tests/matrix/test_versions.py reports."""

AREAS = {
    "journey": ("tests/journey/test_journey.py",),
    "preflight": ("tests/e2e/registry/test_preflight.py",),
    "tunnel": (
        "tests/tunnel/test_contract.py",
        "tests/e2e/tunnel/test_tunnel.py",
        "tests/e2e/tunnel/test_strangers.py",
    ),
    "node proxy": ("tests/e2e/lab/test_node_proxy.py",),
    "housekeeping": ("tests/e2e/housekeeping",),
    "far engine": ("tests/e2e/registry/test_reach.py", "tests/docker_daemon/test_relay.py"),
}

commands = typer.Typer(add_completion=False, help=__doc__)


@commands.command()
def matrix(
    only: Annotated[list[str] | None, typer.Option(help="newest or oldest, in place of both.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Concurrent processes, each with a cluster of its own.")] = 3,
) -> None:
    """Run the tests with each choice of versions; write the table even if some fail, and end with status 1 then."""
    progress = Progress()
    rows = []
    for name in only or ("newest", "oldest"):
        with progress.phase(name), progress.running(f"the {name} versions", "being tested"):
            rows.append(tested(name, processes))
        progress.say(" | ".join(rows[-1]))
    if not only:
        how = f"`make matrix` in {duration(sum(phase.seconds for phase in progress.phases))} on {table.machine()}"
        table.write([(*PROGRAMS, *AREAS), *rows], "versions", how, DOCUMENT, module="tests.matrix")
    if any("failed" in cell for row in rows for cell in row):
        raise LabError("Some tests failed; their reports are above.")


def tested(name: str, processes: int) -> tuple[str, ...]:
    """Run the tests with the newest or the oldest versions, and return the cells of their row.

    Raises:
        LabError: the tests did not run, or not to their end.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        paths = ["tests/matrix", *(path for paths in AREAS.values() for path in paths)]
        command = [sys.executable, "-m", "pytest", f"--numprocesses={processes}", f"--junitxml={report}", *paths]
        environment = {**os.environ, VARIABLE: name}
        subprocess.run(command, cwd=DOCUMENT.parents[1], env=environment, timeout=LIMIT_SECONDS, check=False)
        if not report.exists():
            raise LabError(f"The tests of the {name} versions wrote no report; see their output.")
        cases = list(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest wrote it
    return row(cases)


def row(cases: Sequence[ET.Element]) -> tuple[str, ...]:
    """Return the cells of a row: the reported versions, then how many tests of each area passed and failed."""
    found = {item.get("name"): item.get("value", "") for case in cases for item in case.iter("property")}
    return (*(found.get(program, "not reported") for program in PROGRAMS), *(_cell(cases, area) for area in AREAS))


def _cell(cases: Sequence[ET.Element], area: str) -> str:
    modules = tuple(path.removesuffix(".py").replace("/", ".") for path in AREAS[area])
    own = [case for case in cases if case.get("classname", "").startswith(modules) and case.find("skipped") is None]
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in own)
    if not own:
        return "failed: no test ran"
    return f"tested: {len(own) - failed} passed, {failed} failed" if failed else f"tested: {len(own)} passed"


if __name__ == "__main__":
    run(commands)
