"""What the commands share: the option --stack, the console, and work that Ctrl-C ends."""

import asyncio
import errno
import os
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Annotated, NoReturn, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

from kube_registry.cli.interrupts import until_interrupted

UNBROKEN = 10_000
"""Columns of a table whose references, digests and commands are not wrapped, so that they can be copied."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _a_name(given: str | None) -> str | None:
    """Reject an empty name: an unset variable in a script must not select another stack."""
    if given == "":
        raise typer.BadParameter("it must not be empty.")
    return given


StackName = Annotated[
    str | None, typer.Option(help="Stack of the registry; the selected stack if not set.", callback=_a_name)
]


RegistryName = Annotated[
    str | None,
    typer.Option("--registry", help="ClusterRegistry of the stack; required if it has several.", callback=_a_name),
]


def console(*, width: int | None = None, stderr: bool = False) -> Console:
    """Return a console that prints text unchanged.

    Args:
        width: columns of its tables; those of the terminal if None.
        stderr: whether it writes to standard error.
    """
    made = Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True, width=width)
    made.on_broken_pipe = _raise_broken_pipe  # type: ignore[method-assign] # rich raises SystemExit, past a TaskGroup
    return made


def _raise_broken_pipe() -> NoReturn:
    """Raise the error at which a command ends with status 1 and prints nothing."""
    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def table(*titles: str | Column) -> Table:
    """Return a table without lines, and without a header if there are no titles."""
    return Table(*titles, box=None, pad_edge=False, show_header=bool(titles))


def run(work: Coroutine[None, None, _T]) -> _T | None:
    """Do some work and return its result; None if Ctrl-C or SIGTERM interrupted it."""

    async def until_it_ends() -> _T | None:
        async with until_interrupted():  # after Ctrl-C this block is left without a result
            return await work

    return asyncio.run(until_it_ends())


def exit_by_result(work: Callable[_P, Coroutine[None, None, bool]]) -> Callable[_P, None]:
    """Return a command that does some work, then exits: with status 0 if it returns True, else or if interrupted 1.

    Args:
        work: a coroutine function whose arguments are the command's options.
    """

    @wraps(work)
    def until_it_ends(*args: _P.args, **options: _P.kwargs) -> None:
        raise typer.Exit(0 if run(work(*args, **options)) else 1)

    return until_it_ends
