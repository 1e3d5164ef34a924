"""What the verbs share: the option that names a stack, the console, and work that Ctrl-C ends."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Annotated, ParamSpec, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

from kube_registry.cli.interrupts import until_interrupted

UNBROKEN = 1000
"""Columns of a table whose references and digests stay in one piece, to be copied."""

_P = ParamSpec("_P")
_T = TypeVar("_T")


def _a_name(given: str | None) -> str | None:
    """Refuse an empty name: an unset variable of a script must not lead to another stack."""
    if given == "":
        raise typer.BadParameter("it takes a name.")
    return given


StackName = Annotated[
    str | None, typer.Option(help="Stack of the registry; the selected one if not set.", callback=_a_name)
]


RegistryName = Annotated[
    str | None,
    typer.Option("--registry", help="ClusterRegistry that is meant, where the program has several.", callback=_a_name),
]


def console(*, width: int | None = None, stderr: bool = False) -> Console:
    """Return a console that prints what it is given as it is.

    Args:
        width: columns of its tables; those of the terminal if None.
        stderr: whether it writes to standard error.
    """
    return Console(stderr=stderr, highlight=False, markup=False, soft_wrap=True, width=width)


def table(*titles: str | Column) -> Table:
    """Return a table without lines; without a head if there are no titles."""
    return Table(*titles, box=None, pad_edge=False, show_header=bool(titles))


def run(work: Coroutine[None, None, _T]) -> _T | None:
    """Do some work, and return what it gives; None if Ctrl-C or SIGTERM has ended it."""

    async def until_it_ends() -> _T | None:
        async with until_interrupted():  # which a Ctrl-C leaves for what follows: nothing
            return await work

    return asyncio.run(until_it_ends())


def judged(work: Callable[_P, Coroutine[None, None, bool]]) -> Callable[_P, None]:
    """Return a verb that does some work, and exits with status 0 if that gives True, else 1, also where it was ended.

    Args:
        work: its arguments are the verb's options.
    """

    @wraps(work)
    def until_it_ends(*args: _P.args, **options: _P.kwargs) -> None:
        raise typer.Exit(0 if run(work(*args, **options)) else 1)

    return until_it_ends
