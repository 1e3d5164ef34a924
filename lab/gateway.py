"""`gateway.py PID`: lets a process's network namespace reach this machine's loopback, as Docker Desktop's gateway does.

It listens on the namespace's 127.0.0.1:1, where far_engine.sh leads all connections to the host, and carries each to
the port of this machine's loopback that was meant. It imports no part of the lab: it is a program of its own.
"""

import asyncio
import ctypes
import os
import socket
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

PORT = 1
"""Where the redirected connections arrive, in the other namespace; far_engine.sh has the same number."""

CLONE_NEWNET = 0x40000000
SO_ORIGINAL_DST = 80
"""From linux/sched.h and linux/netfilter_ipv4.h."""

CHUNK = 256 * 1024
"""Bytes that are read at once."""


def main(pid: int) -> None:
    """Serve until killed; the other namespace's end does not end this."""
    with ThreadPoolExecutor(1) as thread:  # a namespace is entered by one thread, which is then good for nothing else
        listener = thread.submit(_listen, Path(f"/proc/{pid}/ns/net")).result()
    asyncio.run(_serve(listener))


def _listen(namespace: Path) -> socket.socket:
    with namespace.open() as entered:
        if ctypes.CDLL(None, use_errno=True).setns(entered.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(namespace))
    return socket.create_server(("127.0.0.1", PORT))


async def _serve(listener: socket.socket) -> None:
    async with await asyncio.start_server(_carry, sock=listener) as server:
        print("listening", flush=True)
        await server.serve_forever()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with closing(writer), suppress(OSError):  # what is refused here is closed there
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", _meant(writer))
        with closing(far_writer):
            async with asyncio.TaskGroup() as directions:
                directions.create_task(_pump(reader, far_writer))
                directions.create_task(_pump(far_reader, writer))


def _meant(writer: asyncio.StreamWriter) -> int:
    """The port that a redirected connection was opened to."""
    address: bytes = writer.get_extra_info("socket").getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    return int(struct.unpack_from("!2xH", address)[0])


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
        writer.write_eof()


if __name__ == "__main__":
    main(int(sys.argv[1]))
