"""The demo behind `make up`, itself, with another cluster, Docker engine, project and state than a person's.

`python -m tests.bench.demo PROJECT BACKEND PHASES`: the folder of the Pulumi project, that of Pulumi's state, and the
file that gets the seconds of each of the demo's phases.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from unittest import mock

from lab import demo, docker_engine, summary
from lab.cluster import Cluster
from lab.progress import Took
from lab.stacks import DemoStack
from tests.bench.places import CLUSTER, DOWNSTREAM, SITE, in_backend


def main() -> None:
    """Run it to its end."""
    project, backend, phases = map(Path, sys.argv[1:])

    def stack(folder: Path, env: Mapping[str, str]) -> DemoStack:
        return DemoStack(folder, in_backend(env, backend))

    def show(running: Cluster, reference: str, took: Sequence[Took]) -> None:
        summary.show(running, reference, took)
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
        demo.run(demo.up)


main()
