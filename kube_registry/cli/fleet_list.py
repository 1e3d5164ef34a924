"""`registryctl fleet init`, `list` and `status`: the stacks of a fleet, and their health."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer
import yaml

from kube_registry.cli.session import UNBROKEN, console, exit_by_result, run, table
from kube_registry.cli.stacks import PULUMI_SECONDS, kube_context_settings, pulumi_program
from kube_registry.concurrency import map_limited
from kube_registry.engine.program import Program
from kube_registry.errors import KubeRegistryError
from kube_registry.fleet.draft import draft
from kube_registry.fleet.errors import FleetError
from kube_registry.fleet.fleet_file import FILE, Fleet, Member, project_name, prove_own_program, read_fleet, select
from kube_registry.housekeeping.health import examine
from kube_registry.kube.client import open_client
from kube_registry.kube.kubeconfig import named, read
from kube_registry.kube.translate import LOWER, in_words
from kube_registry.names import REGISTRYCTL
from kube_registry.preflight.exposure import examine_exposure, needed_exposure
from kube_registry.review.stack_preview import read_secrets
from kube_registry.spec.endpoints import Exposure
from kube_registry.text import add_fix, counted, first_of

AT_ONCE = 8
"""How many stacks are checked at once."""

Stacks = Annotated[str | None, typer.Option(help="Only stacks whose name matches this glob.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="Only stacks with this label, as key=value; repeatable.")
]

_ASK_SECONDS = 10.0
"""How long a cluster may take to return kube-proxy's configuration."""

_MOST_NAMED = 10

HEALTHY = "healthy"


def selected_fleet(stacks: str | None, label: Sequence[str] | None) -> Fleet:
    """Return the part of the fleet in this folder that the options select.

    Args:
        stacks: value of --stacks.
        label: values of --label.

    Raises:
        FleetError: there is no fleet, or no stack of it matches.
    """
    pairs = [each.partition("=") for each in label or ()]
    if stacks == "" or not all(key and is_there for key, is_there, _ in pairs):
        raise typer.BadParameter("--stacks takes a glob, --label takes key=value.")
    return select(with_notes(read_fleet(Path.cwd())), stacks, {key: value for key, _, value in pairs})


def with_notes(fleet: Fleet) -> Fleet:
    """Print the notes of a fleet, then return the fleet."""
    for note in fleet.notes:
        typer.echo(note, err=True)
    return fleet


def init() -> None:
    """Write a fleet.yaml with one stack for each kube context of the kubeconfig."""
    file = Path.cwd() / FILE
    if file.exists():
        raise FleetError(str(file), "", "the file already exists", "edit it, or move it away")
    prove_own_program(Path.cwd())
    kubeconfig = named(None)
    try:
        names = list(read(None).entries["contexts"])
    except (*LOWER, yaml.YAMLError, ValueError) as error:
        fix = "correct the file, then check it with `kubectl config get-contexts`"
        raise FleetError(kubeconfig, "contexts", in_words(error), fix) from error
    if not names:
        raise FleetError(str(file), "", f"{kubeconfig} has no kube contexts", "name another kubeconfig in $KUBECONFIG")
    needed = run(map_limited(_needed_exposure, names, at_once=AT_ONCE))
    if needed is None:
        raise typer.Exit(1)  # interrupted
    of_exposure = {each: [name for name, of in zip(names, needed, strict=True) if of == each] for each in set(needed)}
    need_node_proxy = of_exposure.get("nodeProxy", [])
    file.write_text(draft(names, project_name(Path.cwd()), need_node_proxy), encoding="utf-8")
    if need_node_proxy:
        listed = first_of(need_node_proxy, _MOST_NAMED)
        typer.echo(f"exposure nodeProxy, because kube-proxy serves no node ports on loopback: {listed}")
    if None in of_exposure:
        listed = first_of(of_exposure[None], _MOST_NAMED)
        typer.echo(f"exposure not known, so the first update tests the nodes before it builds: {listed}")
    typer.echo(f"wrote {FILE} with {counted(len(names), 'stack')}; `{REGISTRYCTL} fleet list` shows them")


async def _needed_exposure(kube_context: str) -> Exposure | None:
    """Return the exposure that a cluster needs, according to kube-proxy's configuration; None if it is not known."""
    settings = kube_context_settings(kube_context, {})
    with suppress(KubeRegistryError, TimeoutError):
        async with asyncio.timeout(_ASK_SECONDS), open_client(settings) as kube:
            return needed_exposure(await examine_exposure(kube, settings, test=False))
    return None


def list_stacks(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON list, for a CI matrix.")] = False,
) -> None:
    """List the stacks of fleet.yaml, in the order of the rollout."""
    members = selected_fleet(stacks, label).members
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


@exit_by_result
async def status(*, stacks: Stacks = None, label: Labels = None) -> bool:
    """Check cluster, registry, images and nodes of every stack; exit status 1 if anything is wrong."""
    fleet = selected_fleet(stacks, label)
    program = Program(Path.cwd())
    await program.prove_version()
    found = await map_limited(lambda member: _look(program, member), fleet.members, at_once=AT_ONCE)
    states = table("stack", "kube context", "state")
    for member, (wrong, remarks) in zip(fleet.members, found, strict=True):
        first, *more = [*(wrong or [HEALTHY]), *remarks]
        states.add_row(member.name, member.settings.kube_context, first)
        for sentence in more:
            states.add_row("", "", sentence)
    console(width=UNBROKEN).print(states)
    return not any(wrong for wrong, _ in found)


async def _look(program: Program, member: Member) -> tuple[list[str], list[str]]:
    """Return what is wrong with a stack, and its remarks, one sentence each."""
    try:
        with pulumi_program(f"stack {member.name}") as queried:
            references = await queried.images(member.name)
        known = await read_secrets(program, member, seconds=PULUMI_SECONDS)
    except KubeRegistryError as error:
        return [str(error)], []
    if references is None:
        fix = f"`{REGISTRYCTL} fleet up --stacks {member.name}`"
        return [add_fix("has no images in its outputs yet", fix)], []
    seen = await examine(known.settings, references)
    return seen.sentences, seen.remarks
