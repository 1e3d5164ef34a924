"""Run `python -m lab COMMAND`, with the virtualenv's Python if this one lacks a package."""

import os
import sys
from pathlib import Path

VIRTUALENV = Path(__file__).resolve().parent.parent / ".venv"


def main() -> None:
    """Run the command line (lab/verbs.py); if a package is missing, run it again with the virtualenv's Python."""
    try:
        from lab.errors import run  # noqa: PLC0415 - this import checks whether the packages are installed
        from lab.verbs import app  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        python = str(VIRTUALENV / "bin" / "python")
        if Path(sys.prefix).resolve() == VIRTUALENV.resolve() or not Path(python).exists():
            sys.exit(f"The lab needs the Python package {missing.name}, which {sys.prefix} lacks. Fix: `make venv`")
        os.execv(python, [python, "-m", "lab", *sys.argv[1:]])  # noqa: S606 - runs this program again
    run(app)


if __name__ == "__main__":
    main()
