"""The commands, a file for each. A file is imported only when its command runs, as its imports take a second."""

import ast
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import typer
from typer.core import TyperGroup

from kube_registry.imports import import_large


class _Lazy(TyperGroup):
    """A group of commands; its help is made from the docstrings in their files.

    Attributes:
        homes: name -> file in this folder and function in it, in the order of the help.
        old: the same for names that the help does not show.
    """

    homes: ClassVar[Mapping[str, str]]
    old: ClassVar[Mapping[str, str]]

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - Typer has click within itself
        """Return the names of the commands that the help shows."""
        return [*self.homes, *super().list_commands(ctx)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401 - as above
        """Import the file of a command and return the command; None if there is none."""
        home = {**self.homes, **self.old}.get(cmd_name)
        return _command(home, cmd_name) if home else super().get_command(ctx, cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401 - as above
        """Write a line for each command."""
        names = self.list_commands(ctx)
        width = formatter.width - 6 - max(map(len, names))
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, textwrap.shorten(self._summary(ctx, name), width, placeholder="...")) for name in names]
            )

    def _summary(self, ctx: Any, name: str) -> str:  # noqa: ANN401 - as above
        if name not in self.homes:
            return str(getattr(super().get_command(ctx, name), "help", ""))
        file, _, function = self.homes[name].partition(".")
        tree = ast.parse(Path(__file__).with_name(f"{file}.py").read_text(encoding="utf-8"))
        (found,) = (each for each in tree.body if getattr(each, "name", "") == function)
        return (ast.get_docstring(found) or "").partition("\n\n")[0]  # type: ignore[arg-type]


class _Verbs(_Lazy):
    names = ("dev", "tunnel", "preflight", "exposure", "images", "gc", "verify", "doctor", "reference", "review")
    homes: ClassVar = {name: f"{name}.{name}" for name in names}
    old: ClassVar = {"status": "old_names.status", "preview": "old_names.preview"}


class _FleetVerbs(_Lazy):
    homes: ClassVar = {
        "init": "fleet_list.init",
        "list": "fleet_list.list_stacks",
        "status": "fleet_list.status",
        "up": "fleet_run.up",
        "refresh": "fleet_run.refresh",
        "destroy": "fleet_run.destroy",
    }
    old: ClassVar = {"preview": "old_names.fleet_preview"}


def _command(home: str, name: str) -> Any:  # noqa: ANN401 - as above
    file, _, function = home.partition(".")
    alone = typer.Typer(add_completion=False, rich_markup_mode=None)
    alone.command(name)(getattr(import_large(f"kube_registry.cli.{file}"), function))
    return typer.main.get_command(alone)


app = typer.Typer(
    cls=_Verbs, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)
fleet = typer.Typer(cls=_FleetVerbs, no_args_is_help=True, rich_markup_mode=None)
app.add_typer(fleet, name="fleet")


@app.callback()
def about() -> None:
    """Manage the registry of a cluster, or the registries of a fleet of clusters."""


@fleet.callback()
def about_fleet() -> None:
    """Manage all stacks of fleet.yaml."""
