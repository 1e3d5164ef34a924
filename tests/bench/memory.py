"""How much memory programs have, with all that they have started."""

import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SAMPLE_SECONDS = 0.5
"""How often it is looked at."""


@contextmanager
def watched(programs: Callable[[], Iterable[int]]) -> Iterator[list[int]]:
    """The bytes that programs have meanwhile, looked at again and again.

    Args:
        programs: pids of those that run at the moment.
    """
    ended, seen = threading.Event(), [0]

    def watch() -> None:
        while not ended.wait(SAMPLE_SECONDS):
            seen.append(sum(map(_bytes_of, _with_descendants(programs()))))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def _with_descendants(pids: Iterable[int]) -> set[int]:
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children: defaultdict[int, list[int]] = defaultdict(list)
    for pid, parent in (map(int, line.split()) for line in listed.splitlines()):
        children[parent].append(pid)
    found, waiting = set[int](), list(pids)
    while waiting:
        found.add(pid := waiting.pop())
        waiting += children[pid]
    return found


def _bytes_of(pid: int) -> int:
    """Its memory; what several processes share is counted in parts (proc(5), Pss)."""
    with suppress(OSError):  # it has ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return 1024 * int(line.split()[1])
    return 0
