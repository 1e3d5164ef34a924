"""`python -m lab.sizes`: product files and functions that are too long to be read in one go."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

FILE, FUNCTION = 250, 40
"""The most lines; those of a function without its docstring."""

PRODUCT = ("__main__.py", "registryctl.py", "components", "kube_registry", "policy")


def too_long(checkout: Path) -> list[str]:
    """Return a line for each file and function that is too long."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *PRODUCT]
    names = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.splitlines()
    sizes = [size for name in names if name.endswith(".py") for size in sizes_of(name, (checkout / name).read_text())]
    return [f"{place}: {lines} lines are too many" for place, lines, most in sizes if lines > most]


def sizes_of(name: str, text: str) -> Iterator[tuple[str, int, int]]:
    """Return a file and each of its functions: which, how many lines, how many at most."""
    yield name, len(text.splitlines()), FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node) is not None
            yield f"{name}: {node.name}", _lines(node) - (_lines(node.body[0]) if documented else 0), FUNCTION


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


if __name__ == "__main__":
    sys.exit("\n".join(too_long(Path(__file__).resolve().parent.parent)) or None)
