"""What is wrong with a deployed stack: its cluster, its registry, its images, its nodes.

A rollout before its next wave, `registryctl fleet status` and `registryctl doctor` share one examination. It leaves
nothing behind: the upload that it starts, under the lease, is cancelled at once.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kube_registry.errors import KubeRegistryError
from kube_registry.housekeeping.node_checks import NOW_SECONDS, Finding, Proofs, exposed, read_proofs, with_fix
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.kube.errors import ForbiddenError
from kube_registry.lease.errors import LeaseHeldError
from kube_registry.registry.door import open_door
from kube_registry.registry.preconditions import prove_reach
from kube_registry.registry.read_back import missing_content
from kube_registry.registry.readiness import wait_ready
from kube_registry.registry.volume import ask_write_door
from kube_registry.spec.cluster_address import ClusterAddress
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import RegistrySettings


@dataclass
class Findings:
    """What an examination has found.

    Args:
        reach: why the cluster does not respond, or rejects our credentials; None if it responds.
        running: whether the registry is running.
        registry: why the registry cannot be read; None if it can.
        missing: name of each deployed image -> description of each missing part; empty if the registry cannot be read.
        exposure: whether nodes find the registry under its pull references; empty if that was not checked.
        proofs: the nodes' proofs that they can pull.
        write_door: whether the registry can write to its volume; None if it is not running.
    """

    reach: str | None = None
    running: bool = False
    registry: str | None = None
    missing: Mapping[str, list[str]] = field(default_factory=dict)
    exposure: Sequence[Finding] = ()
    proofs: Proofs = field(default_factory=Proofs)
    write_door: Finding | None = None

    @property
    def faults(self) -> list[str]:
        """All that is wrong except for missing proofs, one sentence each."""
        doors = (*self.exposure, self.write_door)
        wrong = [words for words in (self.reach, self.registry) if words]
        wrong += [door.words for door in doors if door and door.well is False]
        return wrong + [f"image {name}: {words}" for name, parts in self.missing.items() for words in parts]

    @property
    def sentences(self) -> list[str]:
        """All that is wrong, one sentence each; empty if nothing is."""
        return self.faults + [f"{node.subject} {node.words}" for node in self.proofs.findings if node.well is False]

    @property
    def remarks(self) -> list[str]:
        """Nodes that have no proof and cannot give one now, or did not answer. Not a fault; one sentence each."""
        return [f"{node.subject} {node.words}" for node in self.proofs.findings if node.well is None]


async def examine(settings: RegistrySettings, references: Mapping[str, str]) -> Findings:
    """Check the health of a stack.

    Args:
        settings: settings of the registry.
        references: name -> pull reference of its images, from its outputs.
    """
    found = Findings(reach=await unreached(settings))
    if found.reach:
        return found
    try:
        async with open_client(settings) as kube:
            found.proofs = await read_proofs(kube, settings)
            await wait_ready(kube, seconds=NOW_SECONDS)
            found.running = True
            found.write_door = await _write_door(kube, "bucket" if settings.s3 else "volume")
            found.exposure = await exposed(kube, settings)
            found.missing = await _read_all_back(kube, references)
    except KubeRegistryError as error:
        found.registry = with_fix(error)
    return found


async def _write_door(kube: KubeClient, storage: str) -> Finding:
    """Check that the registry can write; this is skipped while another program holds the lease exclusively."""
    try:
        await ask_write_door(kube)
    except LeaseHeldError as error:
        return Finding("write door", well=None, words=f"not checked, as it is in use by {', '.join(error.holders)}")
    except KubeRegistryError as error:
        return Finding("write door", well=False, words=with_fix(error))
    return Finding("write door", well=True, words=f"responds, and can write to the {storage}")


async def unreached(address: ClusterAddress) -> str | None:
    """Return why a stack's cluster does not respond, in one sentence; None if it does, even without any permissions.

    Args:
        address: the cluster and the registry's namespace.
    """
    try:
        with suppress(ForbiddenError):  # it responds; before the first update there are no permissions in the namespace
            await prove_reach(address)
    except KubeRegistryError as error:
        return str(error)
    return None


async def _read_all_back(kube: KubeClient, references: Mapping[str, str]) -> dict[str, list[str]]:
    """Read images back through the read door.

    Args:
        kube: client of the registry's cluster.
        references: name -> pull reference.

    Raises:
        KubeRegistryError: the registry cannot be read; an image then does not count as missing.
    """
    found = {}
    async with open_door(kube, None) as registry:
        for image, text in references.items():
            deployed = parse_reference(text)
            found[image] = await missing_content(registry, deployed.repository, str(deployed.digest))
            if deployed.tag and await registry.tagged(deployed.repository, deployed.tag) is None:
                found[image].append(f"tag {deployed.tag} is missing")
    return found
