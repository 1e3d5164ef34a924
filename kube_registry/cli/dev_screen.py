"""What `registryctl dev` prints: lines that stay and, on a terminal, what is being done below them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from kube_registry.text import for_stream


class Screen:
    """The lines of all stacks.

    Args:
        out: where they are printed.
        live: the lines below them; not shown if `out` is not a terminal.
        named: whether lines start with the name of their stack.
    """

    def __init__(self, out: Console, live: Live, *, named: bool) -> None:
        self._out, self._live, self._named = out, live, named
        self._doing: dict[str, str] = {}

    def say(self, stack: str, text: str) -> None:
        """Print a line of a stack that stays, or a longer text."""
        name = f"{stack}  " if self._named and stack else ""
        self._out.print(for_stream(f"{datetime.now().astimezone():%H:%M:%S}  {name}{text}", self._out.file))

    def show(self, stack: str, text: str | None) -> None:
        """Show on a terminal what a stack is doing; nothing if None."""
        self._doing = {**self._doing, stack: text} if text else {k: v for k, v in self._doing.items() if k != stack}
        if self._out.is_terminal:
            shown = [f"{name}  {doing}" if self._named else doing for name, doing in self._doing.items()]
            self._live.update(
                Group(*(Text(f"… {line}", no_wrap=True, overflow="ellipsis") for line in shown)), refresh=True
            )


@contextmanager
def screen(out: Console, *, named: bool) -> Iterator[Screen]:
    """Show the lines of all stacks until the block ends.

    Args:
        out: where they are printed.
        named: whether lines start with the name of their stack.
    """
    with Live(Text(), console=out, auto_refresh=False, transient=True, redirect_stderr=False) as live:
        yield Screen(out, live, named=named)
