"""`python -m lab.sizes`: product files that are too long to be read in one go."""

import subprocess
import sys
from pathlib import Path

LONGEST = 250
"""Lines."""

ALLOWED = {
    "kube_registry/kube/client.py": 300,
    "kube_registry/push/push_path.py": 320,
    "kube_registry/tunnel/listener.py": 320,
}
"""File -> the lines that it may have until it is cut (ADR 0030)."""

PRODUCT = ("__main__.py", "registryctl.py", "components", "kube_registry", "policy")


def too_long(checkout: Path) -> list[str]:
    """A line for each file that is too long, or allowed to be and is not."""
    command = ["git", "ls-files", "--", *PRODUCT]
    names = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.splitlines()
    lengths = {name: len((checkout / name).read_text().splitlines()) for name in names if name.endswith(".py")}
    return [
        *(
            f"{name}: {n} lines, {ALLOWED.get(name, LONGEST)} at most"
            for name, n in lengths.items()
            if n > ALLOWED.get(name, LONGEST)
        ),
        *(
            f"{name}: {lengths.get(name, 0)} lines, take it from ALLOWED"
            for name in ALLOWED
            if lengths.get(name, 0) <= LONGEST
        ),
    ]


if __name__ == "__main__":
    sys.exit("\n".join(too_long(Path(__file__).resolve().parent.parent)) or None)
