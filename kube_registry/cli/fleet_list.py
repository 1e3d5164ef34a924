"""`registryctl fleet init`, `list` and `status`: which stacks there are, and how they are."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml

from kube_registry.cli.session import UNBROKEN, console, judged, table
from kube_registry.cli.stacks import PULUMI_SECONDS, asked
from kube_registry.concurrency import map_limited
from kube_registry.engine.program import Program
from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.draft import draft
from kube_registry.fleet.errors import FleetError
from kube_registry.fleet.fleet_file import FILE, Fleet, Member, chosen, project_name, prove_own_program, read_fleet
from kube_registry.housekeeping.health import examine
from kube_registry.kube.kubeconfig import named, read
from kube_registry.kube.translate import LOWER, in_words
from kube_registry.names import REGISTRYCTL
from kube_registry.review.stack_preview import read_secrets

AT_ONCE = 8
"""How many stacks are looked at at once."""

Stacks = Annotated[str | None, typer.Option(help="Glob of the names of the stacks that are meant.")]
Labels = Annotated[list[str] | None, typer.Option("--label", help="Label that they have, as key=value; repeatable.")]

WELL = "well"


def meant(stacks: str | None, label: Sequence[str] | None) -> Fleet:
    """The part of the fleet of the program in this folder that options ask for.

    Args:
        stacks: value of --stacks.
        label: values of --label.

    Raises:
        FleetError: there is no fleet, or no such stack in it.
    """
    pairs = [each.partition("=") for each in label or ()]
    if stacks == "" or not all(key and is_there for key, is_there, _ in pairs):
        raise typer.BadParameter("--stacks takes a glob, --label takes key=value.")
    return chosen(with_notes(read_fleet(Path.cwd())), stacks, {key: value for key, _, value in pairs})


def with_notes(fleet: Fleet) -> Fleet:
    """The fleet, once its notes are printed."""
    for note in fleet.notes:
        typer.echo(note, err=True)
    return fleet


def init() -> None:
    """Write a fleet.yaml with a stack for each kube context of this machine."""
    file = Path.cwd() / FILE
    if file.exists():
        raise FleetError(str(file), "", "the file exists already", "edit it, or move it away")
    prove_own_program(Path.cwd())
    kubeconfig = named(None)
    try:
        names = list(read(None).entries["contexts"])
    except (*LOWER, yaml.YAMLError, ValueError) as error:
        fix = "correct the file until `kubectl config get-contexts` lists them"
        raise FleetError(kubeconfig, "its kube contexts", in_words(error), fix) from error
    if not names:
        raise FleetError(str(file), "", f"{kubeconfig} has no kube contexts", "name another kubeconfig in $KUBECONFIG")
    file.write_text(draft(names, project_name(Path.cwd())), encoding="utf-8")
    typer.echo(f"{FILE} lists {len(names)} stacks; `{REGISTRYCTL} fleet list` shows them")


def list_stacks(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, as a CI matrix takes it.")] = False,
) -> None:
    """Print the stacks of fleet.yaml, in the order in which they are rolled out."""
    members = meant(stacks, label).members
    if as_json:
        plain = [
            {
                "name": member.name,
                "kubeContext": member.settings.kube_context,
                "wave": member.wave,
                "labels": dict(member.labels),
            }
            for member in members
        ]
        typer.echo(json.dumps(plain))
        return
    listed = table("stack", "wave", "kube context", "push port", "labels")
    for member in members:
        labels = ", ".join(f"{key}={value}" for key, value in member.labels.items())
        settings = member.settings
        listed.add_row(member.name, str(member.wave), settings.kube_context, str(settings.push_port), labels)
    console(width=UNBROKEN).print(listed)


@judged
async def status(*, stacks: Stacks = None, label: Labels = None) -> bool:
    """Look whether all is well with every stack: cluster, registry, images, nodes; exit status 1 if it is not."""
    fleet = meant(stacks, label)
    program = Program(Path.cwd())
    await program.prove_version()
    found = await map_limited(lambda member: _look(program, member), fleet.members, at_once=AT_ONCE)
    states = table("stack", "kube context", "state")
    for member, (wrong, remarks) in zip(fleet.members, found, strict=True):
        first, *more = [*(wrong or [WELL]), *remarks]
        states.add_row(member.name, member.settings.kube_context, first)
        for sentence in more:
            states.add_row("", "", sentence)
    console(width=UNBROKEN).print(states)
    return not any(wrong for wrong, _ in found)


async def _look(program: Program, member: Member) -> tuple[list[str], list[str]]:
    """What is wrong with a stack, and what is no fault; one sentence each."""
    try:
        with asked(f"stack {member.name}") as asking:
            references = await asking.images(member.name)
        known = await read_secrets(program, member, seconds=PULUMI_SECONDS)
    except KubeRegistryError as error:
        return [str(error)], []
    if references is None:
        line = f"`{REGISTRYCTL} fleet up --stacks {member.name}`"
        return [f"it has no image in its outputs yet. Fix: {line}"], []
    seen = await examine(known.settings, references)
    return seen.sentences, seen.remarks
