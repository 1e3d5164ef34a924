"""The names that verbs had before, for one release: each prints its new name, and does what that does."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated

import typer

from kube_registry.cli.doctor import doctor
from kube_registry.cli.fleet_list import Labels, Stacks, meant
from kube_registry.cli.review import DEADLINE_SECONDS, PARALLEL, review

Verb = Callable[..., None]


def _renamed(verb: Verb, old: str, new: str) -> Verb:
    """Return a verb for its old name, which prints the new one first."""

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
    """Do what `registryctl review` does, by the options of its old name."""
    if json:
        raise typer.BadParameter("`registryctl review` has no --json; it has --markdown.")
    review(stack=[each.name for each in meant(stacks, label).members], parallel=parallel, deadline=deadline)


status = _renamed(doctor, "status", "doctor")
preview = _renamed(review, "preview", "review")
fleet_preview = _renamed(_review_of_part, "fleet preview", "review")
