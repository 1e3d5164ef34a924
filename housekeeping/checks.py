"""The checks of `registryctl doctor` that look into a cluster; each writes nothing, and ends in a line or several."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from cluster.exec import run_in_pod
from cluster.holders import DURATION_SECONDS, Holder, Holders
from cluster.kube import KubeClient
from cluster.lease import RENEW_SECONDS, lease_holders
from cluster.nodes import pulling_nodes
from cluster.preflight import left_probes
from cluster.proofs import proof_key, recall
from cluster.push import ANSWER_SECONDS
from cluster.rights import Right, lacking
from cluster.tunnel import open_tunnel
from housekeeping.exposure import Line, exposed
from housekeeping.storage import Room, read_room
from stack.names import WRITE_PORT
from stack.settings import Settings
from stack.supported import unsupported

RIGHTS = (
    *(Right("list", resource, everywhere=True) for resource in ("nodes", "pods", "replicationcontrollers")),
    *(
        Right("list", f"{kind}s", "apps", everywhere=True)
        for kind in ("deployment", "replicaset", "daemonset", "statefulset", "controllerrevision")
    ),
    *(Right("list", resource, "batch", everywhere=True) for resource in ("jobs", "cronjobs")),
    *(Right(verb, f"pods/{way}") for way in ("portforward", "exec") for verb in ("get", "create")),
    *(Right(verb, "leases", "coordination.k8s.io") for verb in ("get", "create", "update")),
    *(Right("get", resource) for resource in ("services", "configmaps", "persistentvolumeclaims", "namespaces")),
    Right("list", "events"),
    Right("get", "deployments", "apps"),
)
"""What docs/rbac/housekeeper.yaml grants."""

FULL = 0.9
"""From that part of its volume on, a registry is told to be nearly full."""

_REGISTRY_SECONDS = 10.0


def judge_version(subject: str, program: str, version: str) -> Line:
    """Whether the version of a program is one that serves."""
    problem = unsupported(program, version)
    return Line(subject, problem is None, problem or f"{program} {version}")


async def kubernetes(kube: KubeClient) -> list[Line]:
    """The version of the API server."""
    version = str((await kube.get("/version"))["gitVersion"])
    line = judge_version("cluster", "Kubernetes", version)
    return [line if not line.well else Line("cluster", well=True, words=f"{kube.where.cluster} answers, {line.words}")]


async def rights(kube: KubeClient) -> list[Line]:
    """What whoever asks may not do of what housekeeping takes."""
    missing = await lacking(kube, RIGHTS)
    if not missing:
        return [Line("rights", well=True, words="all that housekeeping takes")]
    listed, mend = ", ".join(map(str, missing)), "kubectl apply --filename docs/rbac/housekeeper.yaml"
    return [Line("rights", well=False, words=f"you may not {listed}; an administrator grants it by `{mend}`")]


async def volume(kube: KubeClient) -> list[Line]:
    """How full the registry's volume is."""
    return [judge_room(await read_room(kube))]


def judge_room(room: Room) -> Line:
    """Whether a file system has room for a while."""
    size = room.used + room.free
    words = f"{room.used / size:.0%} of {size / 1e9:.1f} GB are used"
    mend = "; `python -m registryctl gc` frees what nobody uses, `pulumi config set storageSize SIZE` asks for more"
    well = room.used < FULL * size
    return Line("volume", well, words if well else words + mend)


async def distribution(kube: KubeClient) -> list[Line]:
    """The version of the registry's own program."""
    said = await run_in_pod(kube, "asking its version", ["registry", "--version"], seconds=_REGISTRY_SECONDS)
    return [judge_version("registry", "distribution", " ".join(said).rpartition(" ")[2])]


async def read_door(kube: KubeClient, settings: Settings) -> list[Line]:
    """Whether nodes find the registry where references say, and whether it answers."""
    *wrong, line = await exposed(kube, settings)
    if wrong or not line.well:
        return [*wrong, line]
    async with open_tunnel(kube, 0, None, seconds=ANSWER_SECONDS):
        return [Line("read door", well=True, words=f"answers, on {line.words}")]


async def write_door(kube: KubeClient) -> list[Line]:
    """Whether the write door answers; asked in its pod, as a tunnel to it would take the lease."""
    ask = ["wget", "-q", "-O", "/dev/null", f"http://127.0.0.1:{WRITE_PORT}/v2/"]
    await run_in_pod(kube, "asking the write door", ask, seconds=_REGISTRY_SECONDS)
    return [Line("write door", well=True, words="answers in its pod")]


async def nodes(kube: KubeClient, settings: Settings) -> list[Line]:
    """When each node that pulls has proven that it can."""
    if not settings.preflight:
        return [Line("nodes", well=None, words="nobody asks them, as `preflight` is off")]
    architecture, proofs = settings.platform.split("/")[1], await recall(kube, settings)
    found, now = list[Line](), datetime.now(UTC)
    for node in await pulling_nodes(kube):
        proven = proofs.get(proof_key(node))
        if node.architecture != architecture:
            line = Line(f"node {node.name}", well=True, words=f"no image is for it, it is {node.architecture}")
        elif proven is None:
            words = f"has never pulled with {node.runtime}; `python -m registryctl preflight` has it do so"
            line = Line(f"node {node.name}", well=False, words=words)
        else:
            line = Line(f"node {node.name}", well=True, words=f"has pulled {age(now - proven)} ago, {node.runtime}")
        found.append(line)
    return found or [Line("nodes", well=False, words="none is there that pulls")]


async def lease(kube: KubeClient) -> list[Line]:
    """Who holds the registry's lease, and whether they live."""
    holders = await lease_holders(kube)
    if any(_seconds_since(holder) > DURATION_SECONDS for holder in holders.values()):
        before = holders
        await asyncio.sleep(RENEW_SECONDS + 2)  # clocks of two machines may differ: who lives renews meanwhile
        holders = await lease_holders(kube)
        return list(_holders(holders, {key for key in holders if holders[key] == before.get(key)}))
    return list(_holders(holders, set()))


async def probes(kube: KubeClient) -> list[Line]:
    """Pods that a preflight has left."""
    left = [pod["metadata"]["name"] for pod in await left_probes(kube)]
    if not left:
        return [Line("probe pods", well=True, words="none is left")]
    line = f"kubectl delete pod --namespace {kube.where.namespace} {' '.join(left)}"
    return [Line("probe pods", well=False, words=f"{len(left)} were left by a preflight; `{line}` removes them")]


def age(of: timedelta) -> str:
    """A time in the one unit that people would tell it in."""
    for unit, seconds in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if of.total_seconds() >= seconds:
            return f"{of.total_seconds() // seconds:.0f} {unit}"
    return f"{max(of.total_seconds(), 0):.0f} s"


def _holders(holders: Holders, dead: set[str]) -> Iterator[Line]:
    """One line for each; a dead one needs no cure, and to delete the Lease would end the work of the others."""
    for key, holder in holders.items():
        words = f"{holder.who} holds it"
        if key in dead:
            since = age(timedelta(seconds=_seconds_since(holder)))
            words = (
                f"{holder.who} died {since} ago; the next that waits for it removes it after {DURATION_SECONDS:.0f} s"
            )
        yield Line("lease", well=True, words=words)
    if not holders:
        yield Line("lease", well=True, words="it has no holder")


def _seconds_since(holder: Holder) -> float:
    return (datetime.now(UTC) - holder.renewed_at).total_seconds()
