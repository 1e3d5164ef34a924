"""Ctrl-C, SIGTERM and SIGHUP while a verb works, and at the question that it asks afterwards."""

import signal
import subprocess
import sys

import pytest

ASKS = """
import asyncio, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)  # as app.py does: Python's own handler may come just before input() waits
from kube_registry.cli.interrupts import until_interrupted
async def work():
    async with until_interrupted():
        await asyncio.sleep(0)
asyncio.run(work())
print("sure?", flush=True)
input()
"""
WORKS = """
import asyncio
from kube_registry.cli.interrupts import until_interrupted
async def work():
    async with until_interrupted():
        print("begun", flush=True)
        await asyncio.sleep(600)
    print("closed")
asyncio.run(work())
"""

WORKS_BESIDE_A_THREAD = """
import asyncio, signal, threading
from kube_registry.cli.interrupts import until_interrupted
async def work():
    loop, asleep = asyncio.get_running_loop(), threading.Event()
    def end():
        asleep.wait()
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    async with until_interrupted():
        threading.Thread(target=end, daemon=True).start()
        loop.call_soon(asleep.set)
        await asyncio.sleep(600)
    print("closed")
asyncio.run(work())
"""
"""The kernel hands a signal to any thread of the process: the loop's own is not interrupted by it."""


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(("program", "closes"), [(ASKS, False), (WORKS, True)], ids=["asks", "works"])
def test_each_ends_it(program: str, end: signal.Signals, *, closes: bool) -> None:
    command = ["env", "--default-signal=HUP", sys.executable, "-c", program]  # these tests may run under nohup
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


def test_under_nohup_the_end_of_the_terminal_ends_nothing() -> None:
    command = ["nohup", sys.executable, "-c", WORKS]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as running:
        assert running.stdout
        assert running.stdout.readline()
        running.send_signal(signal.SIGHUP)
        running.send_signal(signal.SIGTERM)  # the first that is heard: it may close
        try:
            running.wait(30)
        finally:
            running.kill()
        assert (running.returncode, running.stdout.read()) == (0, b"closed\n")


def test_a_signal_that_another_thread_gets_is_heard_at_once() -> None:
    command = [sys.executable, "-c", WORKS_BESIDE_A_THREAD]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "closed\n")
