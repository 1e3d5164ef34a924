"""The demo behind `make up`, itself, with another cluster, Docker engine, project and state than a person's.

`python -m tests.bench.demo PROJECT BACKEND PHASES`: the folder of the Pulumi project, that of Pulumi's state, and the
file that gets the seconds of each of the demo's phases.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from lab import demo, docker_engine, summary
from lab.errors import run
from lab.progress import Took
from lab.stacks import DemoStack
from tests.bench.places import CLUSTER, DOWNSTREAM, SITE, in_backend

Objects = Sequence[dict[str, Any]]


def main() -> None:
    """Run it to its end."""
    project, backend, phases = map(Path, sys.argv[1:])

    def stack(folder: Path, name: str, env: Mapping[str, str]) -> DemoStack:
        return DemoStack(folder, name, in_backend(env, backend))

    def show(nodes: Objects, pods: Objects, reference: str, took: Sequence[Took]) -> None:
        summary.show(nodes, pods, reference, took)
        phases.write_text(json.dumps({phase.name: phase.seconds for phase in took}))

    with (
        mock.patch.multiple(
            demo,
            CLUSTER=CLUSTER,
            registry_stack=partial(stack, project),
            downstream_stack=partial(stack, project / DOWNSTREAM),
            show=show,
        ),
        mock.patch.object(docker_engine, "up", partial(docker_engine.up, site=SITE)),
    ):
        run(demo.up)


main()
