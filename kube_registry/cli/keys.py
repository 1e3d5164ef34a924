"""Single keys from the terminal, without waiting for a new line."""

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


def has_keys() -> bool:
    """Return whether a user can press keys: standard input and output are the terminal of this process."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()  # not a background job


@contextmanager
def on_keys(actions: Mapping[str, Callable[[], object]]) -> Iterator[None]:
    """Call an action for each key while the block runs; other keys do nothing. Ctrl-C is a signal, as usual.

    Args:
        actions: key -> what to do.
    """
    terminal, loop = sys.stdin.fileno(), asyncio.get_running_loop()

    def read() -> None:
        pressed = os.read(terminal, 64).decode(errors="replace")
        if not pressed:  # the terminal is gone
            loop.remove_reader(terminal)
        for key in pressed:
            actions.get(key, lambda: None)()

    before = termios.tcgetattr(terminal)
    tty.setcbreak(terminal, termios.TCSANOW)
    loop.add_reader(terminal, read)
    try:
        yield
    finally:
        loop.remove_reader(terminal)
        termios.tcsetattr(terminal, termios.TCSANOW, before)
