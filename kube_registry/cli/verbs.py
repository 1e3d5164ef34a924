"""The verbs, each a file of its own, and those over the stacks of a fleet."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated

import typer

from kube_registry.cli.doctor import doctor
from kube_registry.cli.fleet_list import Labels, Stacks, init, list_stacks, meant, status
from kube_registry.cli.fleet_run import destroy, refresh, up
from kube_registry.cli.gc import gc
from kube_registry.cli.images import images
from kube_registry.cli.preflight import preflight
from kube_registry.cli.reference import reference
from kube_registry.cli.review import DEADLINE_SECONDS, PARALLEL, review
from kube_registry.cli.tunnel import tunnel
from kube_registry.cli.verify import verify

Verb = Callable[..., None]

_VERBS: tuple[Verb, ...] = (tunnel, preflight, images, gc, verify, doctor, reference, review)
_FLEET_VERBS: Mapping[str, Verb] = {
    "init": init,
    "list": list_stacks,
    "status": status,
    "up": up,
    "refresh": refresh,
    "destroy": destroy,
}


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


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
for verb in _VERBS:
    app.command()(verb)
app.command("status", hidden=True)(_renamed(doctor, "status", "doctor"))
app.command("preview", hidden=True)(_renamed(review, "preview", "review"))

fleet = typer.Typer(no_args_is_help=True, help="Work with all stacks of fleet.yaml.", rich_markup_mode=None)
for name, verb in _FLEET_VERBS.items():
    fleet.command(name)(verb)
fleet.command("preview", hidden=True)(_renamed(_review_of_part, "fleet preview", "review"))
app.add_typer(fleet, name="fleet")


@app.callback()
def about() -> None:
    """Work with the registry of one cluster, or with those of a fleet."""
