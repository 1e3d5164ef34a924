"""`python -m lab VERB`. A Python without the lab's packages hands over to that of the virtualenv."""

import os
import sys
from pathlib import Path

VIRTUALENV = Path(__file__).resolve().parent.parent / ".venv"


def main() -> None:
    """Run the command line (lab/verbs.py), by the virtualenv's Python where this one lacks a package."""
    try:
        from lab.errors import run  # noqa: PLC0415 - whether the packages are there is what is asked
        from lab.verbs import app  # noqa: PLC0415
    except ModuleNotFoundError as missing:
        python = str(VIRTUALENV / "bin" / "python")
        if Path(sys.prefix).resolve() == VIRTUALENV.resolve() or not Path(python).exists():
            sys.exit(f"The lab needs the Python package {missing.name}, which {sys.prefix} lacks. Fix: `make venv`")
        os.execv(python, [python, "-m", "lab", *sys.argv[1:]])  # noqa: S606 - it is this program, run again
    run(app)


if __name__ == "__main__":
    main()
