"""Run actionlint over .github/workflows (`python -m lab.workflows`); it is built if it is missing."""

import subprocess
import sys
from pathlib import Path

from lab.errors import LabError
from lab.parts import ACTIONLINT
from lab.toolchain import build, tool

CHECK_SECONDS = 60.0


def check(checkout: Path) -> int:
    """Run actionlint and return its exit status; it does not check shell or Python code in steps.

    Raises:
        LabError: it cannot be built.
    """
    build(ACTIONLINT)
    files = sorted(map(str, (checkout / ".github" / "workflows").glob("*.yml")))
    command = [str(tool("actionlint")), "-no-color", "-shellcheck=", "-pyflakes=", *files]
    return subprocess.run(command, cwd=checkout, timeout=CHECK_SECONDS, check=False).returncode


if __name__ == "__main__":
    try:
        sys.exit(check(Path(__file__).resolve().parent.parent))
    except LabError as error:
        sys.exit(str(error))
