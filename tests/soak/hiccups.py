"""Updates while the API server has hiccups: `pulumi up` in a loop, each with a changed app.

The faults meet our own client's requests only (faulty.py). Some updates begin as the first one does, without the
lease and without proofs of the nodes, so that these are made among faults too.
"""

import asyncio
import random
import time
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from kube_registry.names import REGISTRY
from kube_registry.preflight.probe_pod import PROBE
from kube_registry.tunnel.connect import DIAL_SECONDS
from lab.errors import LabError
from lab.pulumi_home import environment, provide_plugins
from lab.stacks import DemoStack
from lab.toolchain import provide
from tests.bench import edits, forwarders
from tests.bench.life import Lab, Life
from tests.bench.places import copy_ours, in_backend
from tests.bench.registry import kubectl
from tests.fakes.open_registry import answers
from tests.soak.faulty import Faults, FaultyServer, faulty_api_server
from tests.soak.place import MANUAL_PORT, Place

NAMESPACE, NODE_PORT, PUSH_PORT = "hiccups", 30_199, MANUAL_PORT + 10
"""Those of the stack: the place has a registry already."""

FORGETS = 0.3
"""How often an update finds neither lease nor proofs."""

APP_BYTES = 6_000_000
"""What an update adds to the app, so that its push takes a moment."""


@dataclass(frozen=True)
class Updates:
    """The program on the way to the API server that has hiccups."""

    place: Place
    lab: Lab
    dice: random.Random

    def first(self) -> None:
        """Make the stack, and its registry."""
        DemoStack(self.lab.life.project, "dev", self.lab.env).init()
        self.lab.up(self.lab.life.project, {"created"})

    def next(self, number: int) -> None:
        """Change the app, and have it built, pushed and recorded.

        Raises:
            LabError: the update failed or hung, or a tunnel that was opened by hand does not answer.
        """
        if self.dice.random() < FORGETS:
            for kind, name in (("lease", REGISTRY), ("configmap", PROBE)):
                kubectl(self.place.spec, "delete", kind, name, f"--namespace={NAMESPACE}", "--ignore-not-found")
        site = self.lab.life.project / "app" / "site"
        (site / "data").write_bytes(self.dice.randbytes(APP_BYTES))
        self.lab.life.write(f"update {number}")
        self.lab.up(self.lab.life.project, {"updated", "unchanged"})
        if not answers(MANUAL_PORT, DIAL_SECONDS):
            raise LabError(f"After update {number} the registry does not answer through `registryctl tunnel`.")


async def hiccup(place: Place, seed: int, seconds: float) -> str:
    """Update until the time is up.

    Args:
        place: the lab.
        seed: decides which requests meet which faults, and what changes.
        seconds: how long updates are started.

    Raises:
        LabError: an update failed, or hung.
    """
    await asyncio.to_thread(provide, place.progress)
    await asyncio.to_thread(provide_plugins, place.progress)
    with TemporaryDirectory(prefix="kube-registry-soak-") as name:
        folder = Path(name)
        async with faulty_api_server(place.spec, seed, folder) as faulty:
            lab = _lab(place, faulty, folder)
            updates = Updates(place, lab, random.Random(f"{seed} updates"))  # noqa: S311 - no secret
            took = await asyncio.to_thread(_update, updates, faulty, seconds)
    faults = faulty.faults
    if not (faults.met and faults.others):
        raise LabError("No request met a fault, or none of the provider's came by: the proxy was passed over.")
    return (
        f"{len(took)} runs of `pulumi up` in {seconds:.0f} s, of which the first created the registry: none failed, "
        f"none hung; the longest took {max(took):.0f} s; {faults.ours} requests of the program had "
        f"{faults.met.total()} faults ({_counted(faults)}); {faults.others} connections of other clients were not "
        "changed"
    )


def _update(updates: Updates, faulty: FaultyServer, seconds: float) -> list[float]:
    """The seconds that each update took; a tunnel opened by hand stays open meanwhile."""
    say, end, took = updates.place.progress.say, time.monotonic() + seconds, list[float]()
    tunnel = forwarders.ours(updates.place.spec, MANUAL_PORT)
    tunnel = replace(tunnel, env={"KUBECONFIG": str(faulty.kubeconfig)})
    with forwarders.running(tunnel, updates.place.spec.log("soak.hiccups")):
        while time.monotonic() < end:
            start = time.monotonic()
            if took:
                updates.next(len(took))
            else:
                updates.first()
            took.append(time.monotonic() - start)
            say(f"update {len(took)}: {took[-1]:.1f} s; so far {_counted(faulty.faults)}")
    return took


def _lab(place: Place, faulty: FaultyServer, folder: Path) -> Lab:
    project = copy_ours(
        folder / "program", place.spec.kube_context, namespace=NAMESPACE, nodePort=NODE_PORT, pushPort=PUSH_PORT
    )
    life = Life("kube-registry", project, folder / "state", edits.of_ours)
    life.backend.mkdir()
    env = environment(kubeconfig=faulty.kubeconfig, docker_host=place.docker_host)
    return Lab(life, place.spec, place.docker_host, in_backend(env, life.backend))


def _counted(faults: Faults) -> str:
    return ", ".join(f"{count} {fault}" for fault, count in sorted(faults.met.items()))
