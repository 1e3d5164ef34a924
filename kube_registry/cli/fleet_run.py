"""`registryctl fleet up`, `refresh` and `destroy`: one of Pulumi's verbs over all stacks of a fleet."""

import asyncio
import sys
import time
from collections.abc import Iterable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kube_registry.cli.fleet_health import settled, well
from kube_registry.cli.fleet_list import Labels, Stacks, meant
from kube_registry.cli.fleet_progress import shown
from kube_registry.cli.interrupts import until_interrupted
from kube_registry.cli.session import UNBROKEN, console
from kube_registry.engine.program import Program
from kube_registry.fleet.fingerprint import program_hash
from kube_registry.fleet.fleet_file import Fleet
from kube_registry.fleet.one_stack import StackRun, run_stack, skip_if_current
from kube_registry.fleet.outcome import Outcome, Run
from kube_registry.fleet.report import as_html, as_json, digests_differ, table
from kube_registry.fleet.schedule import Order, roll_out

PARALLEL = 6
"""How many stacks run at once: most of a run waits for clusters, but each takes 300 MB (docs/performance.md)."""

DEADLINE_SECONDS = 900
"""How long one stack may take: several times what a first update with a large build takes."""

Parallel = Annotated[int, typer.Option(help="How many run at once.", min=1)]
Deadline = Annotated[float, typer.Option(help="Seconds that one stack may take; then it is cancelled.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="Print events for a machine, one JSON object a line.")]


def up(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    parallel: Parallel = PARALLEL,
    max_failures: Annotated[int, typer.Option(help="How many may fail before no more is begun.", min=0)] = 0,
    deadline: Deadline = DEADLINE_SECONDS,
    json: Json = False,
    report: Annotated[
        list[Path] | None, typer.Option(help="Write a report here: JSON if it ends in .json, else HTML; repeatable.")
    ] = None,
) -> None:
    """Deploy every stack that is not as it should be, wave by wave, the first alone; exit status 0 if all are."""
    order = Order(parallel, max_failures, pilot=True)
    _run("up", meant(stacks, label), order, deadline, json=json, reports=report or ())


def refresh(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    parallel: Parallel = PARALLEL,
    deadline: Deadline = DEADLINE_SECONDS,
    json: Json = False,
) -> None:
    """Bring the state of every stack to what is really there."""
    fleet = meant(stacks, label)
    _run("refresh", fleet, _all_of(fleet, parallel), deadline, json=json)


def destroy(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    parallel: Parallel = PARALLEL,
    deadline: Deadline = DEADLINE_SECONDS,
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Remove what every stack has deployed."""
    fleet = meant(stacks, label)
    names = ", ".join(member.name for member in fleet.members)
    if not yes:
        typer.confirm(f"Remove the registries and all images of {names}?", abort=True, err=True)
    _run("destroy", fleet, _all_of(fleet, parallel), deadline, json=json)


def _all_of(fleet: Fleet, parallel: int) -> Order:
    """One after the other however many fail."""
    return Order(parallel, len(fleet.members), pilot=False)


def _run(verb: str, fleet: Fleet, order: Order, deadline: float, *, json: bool, reports: Iterable[Path] = ()) -> None:
    """Run a verb of Pulumi over a fleet, print and write what has become of it; exit status 1 if not all is well."""
    began, moment, program = time.monotonic(), datetime.now().astimezone(), Program(Path.cwd())
    asyncio.run(program.prove_version())
    settles, looks = (settled, well) if verb == "up" else (None, None)
    with shown(fleet.members, console(stderr=True), as_json=json) as tell:
        of_each = StackRun(verb, program, program_hash(program.folder), settles, looks, tell, began, deadline)
        outcomes = asyncio.run(_outcomes(fleet, order, of_each))
    done = Run(verb, fleet.project, moment, time.monotonic() - began, outcomes)
    width = None if (sys.stderr if json else sys.stdout).isatty() else UNBROKEN
    _print(done, console(stderr=json, width=width))
    for file in reports:
        file.write_text(as_json(done) if file.suffix == ".json" else as_html(done))
    raise typer.Exit(int(not all(outcome.result.good for outcome in outcomes)))


async def _outcomes(fleet: Fleet, order: Order, of_each: StackRun) -> tuple[Outcome, ...]:
    """What has become of every stack, also where Ctrl-C has ended the run."""
    by_stack: dict[str, Outcome] = {}
    async with until_interrupted():
        await roll_out(fleet.members, order, partial(skip_if_current, of_each), partial(run_stack, of_each), by_stack)
    return tuple(by_stack[member.name] for member in fleet.members)


def _print(done: Run, out: Console) -> None:
    out.print(table(done))
    for outcome in done.outcomes:
        if outcome.error and out.is_terminal:  # whose table cuts it off
            out.print(f"{outcome.stack}: {outcome.error}")
        for remark in outcome.remarks:
            out.print(f"{outcome.stack}: {remark}")
        if outcome.lock:
            out.print(f"{outcome.stack} is locked; `{outcome.lock}` releases it")
    for image in digests_differ(done):
        out.print(f"the digest of {image} is not the same everywhere")
