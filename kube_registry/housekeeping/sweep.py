"""The registry's own garbage collection, run in its pod only while this program holds the lease.

The permission to continue reaches the pod over a network that may delay it by minutes. So the pod prints a time, by its
own clock, until which it wants to run, and only an answer that repeats this time permits that: a delayed answer names a
time that has passed.
"""

import asyncio
import time

from kube_registry.kube.client import KubeClient
from kube_registry.lease.lease import Lease
from kube_registry.registry.errors import ExecError
from kube_registry.registry.pod_exec import Process, process_in_pod

SWEEP_SECONDS = 1800.0
"""How long the registry's own collection may take."""

SILENT_SECONDS = 30.0
"""How long the process in the pod may print nothing; it prints once a second. A lost lease is detected before that."""

STOP_SECONDS = 5
"""Seconds after its last request by which it stops: well before others may enter, 10 s after a lease is lost."""

_DOING = "the garbage collection"

_SWEEP = f"""\
trap '' PIPE
ends=0 next=0 tries=0
clock() {{ read -r now _ </proc/uptime; now=${{now%.*}}${{now#*.}}; }}
may_go_on() {{
  clock; begun=$now
  [ "$now" -lt "$next" ] || {{ echo $((now + {STOP_SECONDS - 1}00)); next=$((now + 100)); }}
  if read -r -t 1 answer; then ends=$answer; clock
  else clock; [ $((now - begun)) -gt 50 ] || ends=0
  fi
  [ "$now" -lt "$ends" ]
}}
goes_on() {{ {{ read -r _ _ state _ </proc/$job/stat; }} 2>/dev/null && [ "$state" != Z ]; }}
until may_go_on; do [ $((tries += 1)) -lt {STOP_SECONDS} ] || {{ echo "no answer came in time" >&2; exit 1; }}; done
registry garbage-collect /etc/distribution/write.yml </dev/null >/dev/null &
job=$!
while goes_on; do
  may_go_on || {{ kill -9 $job; echo "no answer came in time, so it was stopped" >&2; break; }}
done
wait $job
"""
"""Its clock is in hundredths of a second and includes suspend. It waits a second for an answer, hence the second less.

A read that fails sooner has reached the end of standard input. The shell has to outlive a broken connection, so that it
can stop the collection: hence the trap. A child that has ended is a zombie until the shell waits for it; an empty
command line proves nothing, as a starting process has none for a moment, too.
"""


async def sweep(kube: KubeClient, lease: Lease) -> None:
    """Remove all blobs that no manifest needs.

    Args:
        kube: client of the registry's cluster.
        lease: the lease, held exclusively.

    Raises:
        ExecError: there is no pod, or the collection failed, hangs or takes longer than SWEEP_SECONDS.
        LeaseLostError: the lease is not held any more.
        ForbiddenError: a permission is missing.
    """
    try:
        async with process_in_pod(kube, _DOING, ["sh", "-c", _SWEEP], seconds=SILENT_SECONDS) as process:
            await _answer(process, lease)
    except BaseException:
        await asyncio.sleep(STOP_SECONDS)  # it may continue for that long, so the lease is held until then
        raise


async def _answer(process: Process, lease: Lease) -> None:
    """Let the process continue while the lease is held, until it has ended."""
    ends = time.monotonic() + SWEEP_SECONDS
    async for until in process.lines():
        lease.check()
        if time.monotonic() >= ends:
            reason = f"it took longer than {SWEEP_SECONDS:.0f} s"
            raise ExecError(where=process.kube.where, doing=_DOING, reason=reason)
        await process.send(until)
