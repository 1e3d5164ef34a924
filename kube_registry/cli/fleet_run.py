"""`registryctl fleet up`, `refresh` and `destroy`: a Pulumi command for all stacks of a fleet."""

import asyncio
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from kube_registry.cli.fleet_health import settled, well
from kube_registry.cli.fleet_list import Labels, Stacks, selected_fleet
from kube_registry.cli.fleet_progress import shown
from kube_registry.cli.interrupts import until_interrupted
from kube_registry.cli.session import UNBROKEN, console
from kube_registry.engine.program import Program
from kube_registry.engine.warm import warm_runs
from kube_registry.fleet.fingerprint import program_hash
from kube_registry.fleet.fleet_file import Fleet
from kube_registry.fleet.one_stack import StackRun, run_stack, skip_if_current
from kube_registry.fleet.outcome import Outcome, Run
from kube_registry.fleet.report import as_html, as_json, digests_differ, table
from kube_registry.fleet.schedule import Order, roll_out
from kube_registry.text import add_fix, for_stream

PARALLEL = 6
"""How many stacks run at once: a run mostly waits for its cluster, but takes 200 MB (docs/performance.md)."""

DEADLINE_SECONDS = 900
"""How long one stack may take: several times as long as a first update with a large build."""

Parallel = Annotated[int, typer.Option(help="Stacks to run at once.", min=1)]
Deadline = Annotated[float, typer.Option(help="Seconds after which a stack is cancelled.", min=1)]
Json = Annotated[bool, typer.Option("--json", help="Print events as JSON, one object per line.")]


def up(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    parallel: Parallel = PARALLEL,
    max_failures: Annotated[
        int, typer.Option(help="Stacks that may fail. After one more failure no further stack is started.", min=0)
    ] = 0,
    deadline: Deadline = DEADLINE_SECONDS,
    json: Json = False,
    report: Annotated[
        list[Path] | None, typer.Option(help="File for a report: JSON if it ends in .json, else HTML; repeatable.")
    ] = None,
) -> None:
    """Update outdated and unhealthy stacks, wave by wave, the first one alone; exit status 1 unless all succeed."""
    order = Order(parallel, max_failures, pilot=True)
    _run("up", selected_fleet(stacks, label), order, deadline, json=json, reports=report or ())


def refresh(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    parallel: Parallel = PARALLEL,
    deadline: Deadline = DEADLINE_SECONDS,
    json: Json = False,
) -> None:
    """Refresh the state of every stack from its cluster."""
    fleet = selected_fleet(stacks, label)
    _run("refresh", fleet, _all_of(fleet, parallel), deadline, json=json)


def destroy(
    *,
    stacks: Stacks = None,
    label: Labels = None,
    parallel: Parallel = PARALLEL,
    deadline: Deadline = DEADLINE_SECONDS,
    json: Json = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Remove everything that the stacks have deployed."""
    fleet = selected_fleet(stacks, label)
    names = ", ".join(member.name for member in fleet.members)
    if not yes:
        typer.confirm(f"Remove the registries and all images of {names}?", abort=True, err=True)
    _run("destroy", fleet, _all_of(fleet, parallel), deadline, json=json)


def _all_of(fleet: Fleet, parallel: int) -> Order:
    """Return the order of a run over all stacks, however many fail."""
    return Order(parallel, len(fleet.members), pilot=False)


def _run(verb: str, fleet: Fleet, order: Order, deadline: float, *, json: bool, reports: Iterable[Path] = ()) -> None:
    """Run a Pulumi command for a fleet, then print and write the outcomes; exit status 1 unless all are good."""
    began, moment, program = time.monotonic(), datetime.now().astimezone(), Program(Path.cwd())
    asyncio.run(program.prove_version())
    before, after = (settled, well) if verb == "up" else (None, None)
    with shown(fleet.members, console(stderr=True), as_json=json) as on_event:
        stack_run = StackRun(verb, program, program_hash(program.folder), before, after, on_event, began, deadline)
        outcomes = asyncio.run(_outcomes(fleet, order, stack_run))
    done = Run(verb, fleet.project, moment, time.monotonic() - began, outcomes)
    width = None if (sys.stderr if json else sys.stdout).isatty() else UNBROKEN
    _print(done, console(stderr=json, width=width))
    for file in reports:
        file.write_text(as_json(done) if file.suffix == ".json" else as_html(done))
    raise typer.Exit(int(not all(outcome.result.good for outcome in outcomes)))


async def _outcomes(fleet: Fleet, order: Order, stack_run: StackRun) -> tuple[Outcome, ...]:
    """Return the outcome of every stack, also after Ctrl-C."""
    by_stack: dict[str, Outcome] = {}
    async with until_interrupted(), warm_runs(partial(typer.echo, err=True)) as warm:
        warmed = replace(stack_run, program=replace(stack_run.program, warm=warm))
        skip, run = partial(skip_if_current, warmed), partial(run_stack, warmed)
        await roll_out(fleet.members, order, skip, run, by_stack)
    return tuple(by_stack[member.name] for member in fleet.members)


def _print(done: Run, out: Console) -> None:
    out.print(table(done))
    for outcome in done.outcomes:
        if outcome.error and out.is_terminal:  # the table there may cut it off
            out.print(for_stream(f"{outcome.stack}: {outcome.error}", out.file))
        for remark in outcome.remarks:
            out.print(f"{outcome.stack}: {remark}")
        if outcome.lock:
            out.print(for_stream(add_fix(f"{outcome.stack} is still locked", f"`{outcome.lock}`"), out.file))
    for image in digests_differ(done):
        out.print(f"the digest of {image} differs between clusters")
