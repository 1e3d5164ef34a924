"""The registry's own garbage collection, run in its pod for no longer than the lease of who runs it is held.

What says so reaches the pod over a network that may hold it back for minutes and then deliver it all the same. So the
pod prints until when it may go on, by its own clock, and only an answer that repeats such a time lets it: an answer
that was held back names a time that has passed.
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
"""How long the process in the pod may print nothing; it prints once a second. A lost lease is found out before that."""

STOP_SECONDS = 5
"""When it is stopped at the latest after it asked: well before others enter, 10 seconds after a lease is lost."""

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
"""Its clock is in hundredths of a second and counts suspend. It waits a second for an answer, hence the second less.

A read that fails sooner has found the end of standard input. The shell has to outlive a connection that broke, so that
it can stop the collection: hence the trap. A child that has ended is a zombie until the shell waits for it; its command
line says nothing, as a process that starts has none for a moment either.
"""


async def sweep(kube: KubeClient, lease: Lease) -> None:
    """Remove all blobs that no manifest needs.

    Args:
        kube: client of the registry's cluster.
        lease: held alone.

    Raises:
        ExecError: there is no pod, or it failed, hangs or takes longer than SWEEP_SECONDS.
        LeaseLostError: the lease is not held any more.
        ForbiddenError: a right is missing.
    """
    try:
        async with process_in_pod(kube, _DOING, ["sh", "-c", _SWEEP], seconds=SILENT_SECONDS) as process:
            await _answer(process, lease)
    except BaseException:
        await asyncio.sleep(STOP_SECONDS)  # it may go on for that long, so the lease is kept meanwhile
        raise


async def _answer(process: Process, lease: Lease) -> None:
    """Let the process go on while the lease is held, until it has ended."""
    ends = time.monotonic() + SWEEP_SECONDS
    async for until in process.lines():
        lease.check()
        if time.monotonic() >= ends:
            reason = f"it took longer than {SWEEP_SECONDS:.0f} s"
            raise ExecError(where=process.kube.where, doing=_DOING, reason=reason)
        await process.send(until)
