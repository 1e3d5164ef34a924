"""A tunnel through which nothing goes for an hour: it answers at once, and so does a connection that stood idle."""

import time
from contextlib import closing
from http.client import HTTPConnection

from lab.errors import LabError
from lab.progress import duration
from tests.bench import forwarders
from tests.soak.place import MANUAL_PORT, Place

AT_ONCE_SECONDS = 2.0
"""An answer that takes longer had to wait for something."""


def stay_idle(place: Place, seconds: float) -> str:
    """Hold a tunnel open without a byte, then ask through it.

    Args:
        place: the lab.
        seconds: how long nothing happens.

    Raises:
        LabError: there was no answer, or not at once.
    """
    log = place.spec.log("soak.tunnel")
    with forwarders.running(forwarders.ours(place.spec, MANUAL_PORT), log) as tunnel:
        with closing(HTTPConnection("127.0.0.1", tunnel.port, timeout=10 * AT_ONCE_SECONDS)) as old:
            _ask(old)
            place.progress.say(f"idle since {time.strftime('%H:%M:%S')}, for {duration(seconds)}")
            before = tunnel.cpu_seconds
            time.sleep(seconds)
            used = tunnel.cpu_seconds - before
            on_the_old = _ask(old)
        with closing(HTTPConnection("127.0.0.1", tunnel.port, timeout=10 * AT_ONCE_SECONDS)) as new:
            on_a_new = _ask(new)
        memory = tunnel.peak_memory
    return (
        f"{duration(seconds)} idle; then GET /v2/ returned 200 after {on_the_old:.3f} s on the idle connection, "
        f"after {on_a_new:.3f} s on a new one; the tunnel's process used {used:.1f} s of CPU time and at most "
        f"{memory / 1e6:.0f} MB of memory"
    )


def _ask(connection: HTTPConnection) -> float:
    """The seconds that an answer took; the connection is not opened again if it was closed meanwhile."""
    start = time.monotonic()
    connection.request("GET", "/v2/")
    connection.auto_open = 0
    answer = connection.getresponse()
    answer.read()
    took = time.monotonic() - start
    if answer.status != 200 or took > AT_ONCE_SECONDS:
        raise LabError(f"GET /v2/ was answered with {answer.status} after {took:.1f} s.")
    return took
