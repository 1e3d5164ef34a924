"""How long a program's own imports take: `python -m tests.bench.imports FILE` prints the seconds.

Only the import statements at the top of the file are run, with its folder first on the path, as Python does.
"""

import ast
import sys
import time
from pathlib import Path


def main() -> None:
    """Run them and say how long it took."""
    file = Path(sys.argv[1])
    tree = ast.parse(file.read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    statements = compile(tree, str(file), "exec")
    sys.path[0] = str(file.parent)
    start = time.perf_counter()
    exec(statements, {})  # noqa: S102 - the program's own
    sys.stdout.write(f"{time.perf_counter() - start}\n")


main()
