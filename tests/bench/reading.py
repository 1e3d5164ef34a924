"""Reads the uses of a registry of 500 images in a cluster, in a process of its own: seconds, peak memory, uses.

`python -m tests.bench.reading KUBECONFIG KUBE_CONTEXT` prints them as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from kube_registry.housekeeping.references import Names
from kube_registry.housekeeping.usage import read_usage
from kube_registry.kube.client import open_client
from kube_registry.spec.settings import Settings

IMAGES = 500


def reference(number: int) -> str:
    """The image that an object of this number names."""
    return f"localhost:30100/many/{number % IMAGES}:v1"


async def read(kubeconfig: str, kube_context: str) -> dict[str, float]:
    """Search the cluster; seconds and bytes are those of this process."""
    config = {"kubeContext": kube_context, "kubeconfig": kubeconfig, "images": {"app": {}}}
    digests = {f"many/{number}": f"sha256:{number:064x}" for number in range(IMAGES)}
    numbers = {digest.removeprefix("sha256:"): frozenset({(name, digest)}) for name, digest in digests.items()}
    names = Names({name: {"v1": digest} for name, digest in digests.items()}, numbers)
    async with open_client(Settings.parse(config, project="bench", stack="bench")) as kube:
        before, start, used = _peak(), time.perf_counter(), time.process_time()
        usage = await read_usage(kube, names)
        took, used = time.perf_counter() - start, time.process_time() - used
    return {"seconds": took, "cpu_seconds": used, "before": before, "peak": _peak(), "uses": len(usage.uses)}


def _peak() -> int:
    """The most bytes that this program has had (proc(5), VmHWM); `getrusage` counts those of what started it, too."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return 1024 * int(line.split()[1])


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asyncio.run(read(*sys.argv[1:]))))
