"""`registryctl review`: what `pulumi up` would change in each stack, for the reviewer of a change."""

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from kube_registry.cli.fleet_list import with_notes
from kube_registry.cli.session import console, exit_by_result
from kube_registry.cli.stacks import find_stack
from kube_registry.engine.program import Program
from kube_registry.engine.warm import warm_runs
from kube_registry.fleet.fleet_file import FILE, Member, read_fleet
from kube_registry.review.markdown import headline, lines, markdown
from kube_registry.review.review import ReviewOptions, StackReview, review_stacks
from kube_registry.rules.allowed_registries import allowed_names
from kube_registry.rules.rules import NODE_PORTS

PARALLEL = 4
"""How many stacks are previewed at once: each runs a Python program and two plugins."""

DEADLINE_SECONDS = 300.0
"""How long the preview of one stack may take."""

USUAL_NODE_PORTS = f"{NODE_PORTS.start}-{NODE_PORTS.stop - 1}"


@exit_by_result
async def review(
    *,
    stack: Annotated[
        list[str] | None, typer.Option(help="Stack to review; all stacks of fleet.yaml if not set; repeatable.")
    ] = None,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown for a pull request comment.")] = False,
    base: Annotated[str, typer.Option(help="Branch to compare the files with.")] = "origin/HEAD",
    node_ports: Annotated[str, typer.Option(help="Node port range of the clusters.")] = USUAL_NODE_PORTS,
    allow_registry: Annotated[
        list[str] | None,
        typer.Option(help="Registry or repository whose images are allowed by digest: quay.io/team; repeatable."),
    ] = None,
    parallel: Annotated[int, typer.Option(help="Stacks to preview at once.", min=1)] = PARALLEL,
    deadline: Annotated[float, typer.Option(help="Seconds for the preview of one stack.", min=1)] = DEADLINE_SECONDS,
) -> bool:
    """Show what an update would change; exit status 1 if a policy is violated or a stack cannot be previewed."""
    if "" in (*(stack or ()), base):
        raise typer.BadParameter("--stack and --base must not be empty.")
    program, ports, registries = Program(Path.cwd()), _range(node_ports), _registries(allow_registry or ())
    members, from_fleet = await _members(program.folder, stack)
    await program.prove_version()
    async with warm_runs(partial(typer.echo, err=True)) as warm:
        options = ReviewOptions(
            replace(program, warm=warm),
            base=base,
            node_ports=ports,
            registries=registries,
            configure=from_fleet,
            seconds=deadline,
            parallel=parallel,
        )
        reviews = await review_stacks(options, members)
    if as_markdown:
        typer.echo(markdown(reviews), nl=False)
    else:
        _show(reviews)
    return bool(reviews) and all(each.good for each in reviews)


async def _members(folder: Path, stacks: list[str] | None) -> tuple[list[Member], bool]:
    """Return the stacks to review, and whether their config comes from fleet.yaml."""
    if (folder / FILE).exists():
        fleet = with_notes(read_fleet(folder))
        members = [member for member in fleet.members if not stacks or member.name in stacks]
        if unknown := set(stacks or ()) - {member.name for member in members}:
            raise typer.BadParameter(f"{FILE} has no stack {', '.join(sorted(unknown))}.")
        return members, True
    names: Sequence[str | None] = stacks or [None]
    return [await find_stack(name, folder=folder) for name in names], False


def _range(text: str) -> range:
    found = re.fullmatch(r"(\d+)-(\d+)", text)
    if not found:
        raise typer.BadParameter(f"--node-ports takes a range such as {USUAL_NODE_PORTS}.")
    return range(int(found[1]), int(found[2]) + 1)


def _registries(given: Sequence[str]) -> Sequence[str]:
    try:
        return allowed_names(given)
    except ValueError as error:
        raise typer.BadParameter(f"--allow-registry: {error}.") from None


def _show(reviews: list[StackReview]) -> None:
    out = console()
    for each in reviews:
        first, *rest = lines(each)
        out.print(first, style="green" if each.good else "red")
        for line in rest:
            out.print(line)
    out.print(headline(reviews), style="bold")
