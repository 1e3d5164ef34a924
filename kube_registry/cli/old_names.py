"""The old names of commands, for one release: each prints its new name, then runs the new command."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated

import typer

from kube_registry.cli.doctor import doctor
from kube_registry.cli.fleet_list import Labels, Stacks, selected_fleet
from kube_registry.cli.review import DEADLINE_SECONDS, PARALLEL, review

Verb = Callable[..., None]


def _renamed(verb: Verb, old: str, new: str) -> Verb:
    """Return a command for its old name, which prints the new name first."""

    @wraps(verb)
    def under_its_old_name(*args: object, **options: object) -> None:
        typer.echo(f"`registryctl {old}` is now `registryctl {new}`; the next release removes the old name", err=True)
        verb(*args, **options)

    return under_its_old_name


def _review_of_part(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    parallel: Annotated[int, typer.Option(min=1)] = PARALLEL,
    deadline: Annotated[float, typer.Option(min=1)] = DEADLINE_SECONDS,
    json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Run `registryctl review` with the options of `registryctl fleet preview`."""
    if json:
        raise typer.BadParameter("`registryctl review` has no --json. Use --markdown.")
    review(stack=[each.name for each in selected_fleet(stacks, label).members], parallel=parallel, deadline=deadline)


status = _renamed(doctor, "status", "doctor")
preview = _renamed(review, "preview", "review")
fleet_preview = _renamed(_review_of_part, "fleet preview", "review")
