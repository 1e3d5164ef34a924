"""Ctrl-C and SIGTERM while a verb works, and at the question that it asks afterwards."""

import signal
import subprocess
import sys

import pytest

ASKS = """
import asyncio
from registryctl.interrupts import until_told
async def work():
    async with until_told():
        await asyncio.sleep(0)
asyncio.run(work())
print("sure?", flush=True)
input()
"""
WORKS = """
import asyncio
from registryctl.interrupts import until_told
async def work():
    async with until_told():
        print("begun", flush=True)
        await asyncio.sleep(600)
    print("closed")
asyncio.run(work())
"""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("program", "closes"), [(ASKS, False), (WORKS, True)], ids=["asks", "works"])
def test_either_ends_it(program: str, end: signal.Signals, *, closes: bool) -> None:
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline()
        running.send_signal(end)
        try:
            running.wait(30)  # its standard input stays open, as a terminal does
        finally:
            running.kill()
        output = running.stdout.read()
    assert (b"closed" in output) is closes
    assert (running.returncode == 0) is closes
