"""All that can be told of a stack's health, on one page: the findings that every examination has, and the checks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from kube_registry.concurrency import map_limited
from kube_registry.docker_daemon.daemon import prove_daemon
from kube_registry.docker_daemon.reach import daemon_reaching, daemon_version
from kube_registry.errors import KubeRegistryError
from kube_registry.housekeeping import checks
from kube_registry.housekeeping.checks import judge_version
from kube_registry.housekeeping.exposure import Line
from kube_registry.housekeeping.health import Findings, examine
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.limits import TUNNEL_SECONDS
from kube_registry.names import PROBE_REPOSITORY as REPOSITORY
from kube_registry.registry.api import open_registry
from kube_registry.registry.probe_image import TAG
from kube_registry.spec.settings import Settings
from kube_registry.tunnel.listener import open_tunnel

CHECK_SECONDS = 60.0
"""How long one check may take."""

Check = Callable[[], Awaitable[list[Line]]]

NO_CLUSTER = "not looked at, as the cluster does not answer"
NO_REGISTRY = "not looked at, as the registry does not run"


async def consult(
    settings: Settings,
    references: Mapping[str, str],
    environment: Mapping[str, str],
    push_again: Callable[[list[str]], str],
) -> list[Line]:
    """Look at everything; what cannot be looked at does not keep the rest from it.

    Args:
        settings: the stack.
        references: name -> pull reference of its images, as its outputs have them.
        environment: the process's environment, which names the Docker daemon.
        push_again: the line that pushes images again, by their names.
    """
    found = await examine(settings, references)
    if found.reach:
        return [Line("cluster", well=False, words=found.reach), *await _docker_alone(environment, NO_CLUSTER)]
    async with open_client(settings) as kube:
        exposure = found.exposure or (Line("read door", well=False, words=str(found.registry)),)
        inside: dict[str, Check] = {
            "registry": partial(checks.distribution, kube),
            "volume": partial(checks.volume, kube),
            "read door": partial(checks.read_door, kube, exposure),
            "docker": partial(_docker, kube, settings, environment),
        }
        around: dict[str, Check] = {
            "cluster": partial(checks.kubernetes, kube),
            "rights": partial(checks.rights, kube),
            "lease": partial(checks.lease, kube),
            "probe pods": partial(checks.probes, kube),
        }
        if not found.running:
            inside = {
                "volume": partial(_unseen, "volume"),
                "read door": partial(_unseen, "read door"),
                "write door": partial(_unseen, "write door"),
                "docker": partial(_docker_alone, environment, NO_REGISTRY),
            }
        looked = await map_limited(_line, [*inside.items(), *around.items()], at_once=len(inside) + len(around))
    told = dict(zip((*inside, *around), looked, strict=True))
    told["nodes"] = list(found.proofs.lines) or [Line("nodes", well=None, words="not asked, as `preflight` is off")]
    if found.write_door:
        told["write door"] = [found.write_door]
    told["images"] = list(_images(found, references, push_again))
    if not found.running:
        told["registry"] = [Line("registry", well=False, words=str(found.registry))]
    return [line for subject in _ORDER for line in told.get(subject, [])]


_ORDER = (
    *("cluster", "rights", "registry", "volume", "read door", "write door"),
    *("images", "nodes", "docker", "lease", "probe pods"),
)


async def _line(named: tuple[str, Check]) -> list[Line]:
    """A check's lines, whatever becomes of it."""
    subject, check = named
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except KubeRegistryError as error:
        return [Line(subject, well=False, words=str(error))]
    except TimeoutError:
        return [Line(subject, well=False, words=f"gave no answer within {CHECK_SECONDS:.0f} s; try again")]


async def _unseen(subject: str) -> list[Line]:
    return [Line(subject, well=None, words=NO_REGISTRY)]


def _images(found: Findings, references: Mapping[str, str], push_again: Callable[[list[str]], str]) -> Iterator[Line]:
    """Whether each image is there; one line if they cannot be read back."""
    if found.registry:
        words = found.registry if found.running else NO_REGISTRY
        yield Line("images", well=False if found.running else None, words=words)
        return
    lost = [name for name in references if found.missing[name]]
    for name, reference in references.items():
        missing = ", ".join(found.missing[name])
        words = f"{missing}; `{push_again(lost)}` pushes it again" if missing else f"{reference} is there"
        yield Line(f"image {name}", well=not missing, words=words)


async def _docker(kube: KubeClient, settings: Settings, environment: Mapping[str, str]) -> list[Line]:
    """Whether the Docker daemon reaches the push address, asked as a push asks it, but of the read door."""
    (line,) = await _daemon(environment)
    if not line.well:
        return [line]
    place, said = settings.endpoints.push_address, list[str]()
    async with (
        open_tunnel(kube, settings.push_port, None, seconds=TUNNEL_SECONDS) as tunnel,
        open_registry(tunnel.address, kube.where) as registry,
    ):
        probe = await registry.tagged(REPOSITORY, TAG)
        if probe is None:
            words = f"whether {line.words} reaches {place} is told by the preflight's image, which is not there yet"
            return [Line("docker", well=None, words=words)]
        recovered = partial(tunnel.recovered, TUNNEL_SECONDS)
        async with daemon_reaching(
            environment, place, probe, said.append, tunnel.break_off, recovered=recovered, stack=settings.stack
        ):
            way = ", by way of a relay" if said else ""
            return [Line("docker", well=True, words=f"{line.words} reaches {place}{way}")]


async def _docker_alone(environment: Mapping[str, str], why: str) -> list[Line]:
    """The Docker daemon, while there is nothing to reach."""
    (line,) = await _line(("docker", partial(_daemon, environment)))
    words = f"{line.words} answers; whether it reaches the push address was {why}"
    return [Line("docker", well=None, words=words) if line.well else line]


async def _daemon(environment: Mapping[str, str]) -> list[Line]:
    await prove_daemon(environment)
    return [judge_version("docker", "Docker", await daemon_version(environment))]
