"""Much through a reader that stops again and again: all of it arrives, and the tunnel keeps little of it."""

import hashlib
import random
import socket
import time
from collections.abc import Iterator

from lab.errors import LabError
from tests.bench import forwarders
from tests.bench.transfers import REPOSITORY, Blob, put
from tests.soak.place import MANUAL_PORT, Place

TOTAL = 2 * 1024**3
"""Bytes that are read in all."""

BLOB = 128 * 1024**2
"""Bytes of the blob that is read again and again."""

STALL_EVERY = 8 * 1024**2
"""About how many bytes are read between two stalls."""

LONGEST_STALL_SECONDS = 1.0

MOST_GROWTH = 32 * 1024**2
"""How many bytes the tunnel's process may grow by while it carries them; what one connection may buffer is 1 MiB."""

SILENT_SECONDS = 60.0


def stall(place: Place, seed: int) -> str:
    """Read 2 GiB through one connection, with pauses.

    Args:
        place: the lab.
        seed: decides where the reader stops, and for how long.

    Raises:
        LabError: not all bytes arrived, or the tunnel held too many.
    """
    dice, blob = random.Random(seed), Blob.random(BLOB)  # noqa: S311 - nothing is kept secret with it
    log = place.spec.log("soak.tunnel")
    with forwarders.running(forwarders.ours(place.spec, MANUAL_PORT), log) as tunnel:
        put(tunnel.port, blob)
        before, start = tunnel.peak_memory, time.monotonic()
        stalls, stalled, times = 0, 0.0, TOTAL // BLOB
        with socket.create_connection(("127.0.0.1", tunnel.port), timeout=SILENT_SECONDS) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
            for _ in range(times):
                for pause in _read_blob(connection, blob, dice):
                    stalls, stalled = stalls + 1, stalled + pause
        took, peak = time.monotonic() - start, tunnel.peak_memory
    if peak - before > MOST_GROWTH:
        raise LabError(f"The tunnel's process grew from {before} to {peak} bytes.")
    return (
        f"{times * BLOB / 1024**3:.0f} GiB were read correctly through one connection in {took:.0f} s, with {stalls} "
        f"stalls of {stalled:.0f} s in total; the tunnel's process used at most {peak / 1e6:.1f} MB of memory, "
        f"{(peak - before) / 1e6:.1f} MB more than before"
    )


def _read_blob(connection: socket.socket, blob: Blob, dice: random.Random) -> Iterator[float]:
    """Read it once, and check it; yields the seconds of each pause after it was made."""
    connection.sendall(
        f"GET /v2/{REPOSITORY}/blobs/{blob.digest} HTTP/1.1\r\nHost: localhost:{MANUAL_PORT}\r\n\r\n".encode()
    )
    answer = connection.makefile("rb")
    status = answer.readline()
    if b" 200 " not in status:
        raise LabError(f"The registry answered {status!r}.")
    while answer.readline().strip():
        pass
    seen, left = hashlib.sha256(), BLOB
    while left:
        piece = answer.read(min(left, dice.randint(1, 2 * STALL_EVERY)))
        if not piece:
            raise LabError(f"The connection ended {left} bytes early.")
        seen.update(piece)
        left -= len(piece)
        pause = dice.uniform(0, LONGEST_STALL_SECONDS)
        time.sleep(pause)
        yield pause
    if f"sha256:{seen.hexdigest()}" != blob.digest:
        raise LabError("Other bytes arrived than were sent.")
