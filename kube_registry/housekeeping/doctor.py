"""The health of a stack on one page: the findings of `examine`, and further checks."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial

from kube_registry.concurrency import map_limited
from kube_registry.docker_daemon.daemon import prove_daemon
from kube_registry.docker_daemon.reach import daemon_reaching, daemon_version
from kube_registry.errors import KubeRegistryError
from kube_registry.housekeeping import checks
from kube_registry.housekeeping.checks import judge_version
from kube_registry.housekeeping.health import Findings, examine
from kube_registry.housekeeping.node_checks import Finding
from kube_registry.housekeeping.proxy_checks import kube_proxies
from kube_registry.housekeeping.shared_volumes import shared_volumes
from kube_registry.kube.client import KubeClient, open_client
from kube_registry.names import PROBE_REPOSITORY
from kube_registry.registry.api import open_registry
from kube_registry.registry.probe_image import TAG
from kube_registry.spec.settings import RegistrySettings
from kube_registry.text import add_fix
from kube_registry.tunnel.listener import open_tunnel

CHECK_SECONDS = 60.0
"""How long one check may take."""

Check = Callable[[], Awaitable[list[Finding]]]

NO_CLUSTER = "not checked, as the cluster does not respond"
NO_REGISTRY = "not checked, as the registry is not ready"


async def run_all_checks(
    settings: RegistrySettings,
    references: Mapping[str, str],
    environment: Mapping[str, str],
    push_again: Callable[[list[str]], str],
) -> list[Finding]:
    """Run all checks; one that fails does not prevent the others.

    Args:
        settings: settings of the registry.
        references: name -> pull reference of its images, from its outputs.
        environment: environment of the process, which selects the Docker daemon.
        push_again: returns the command that pushes images again, by their names.
    """
    seen = await examine(settings, references)
    if seen.reach:
        return [Finding("cluster", well=False, words=seen.reach), *await _docker_alone(environment, NO_CLUSTER)]
    async with open_client(settings) as kube:
        all_checks: dict[str, Check] = {
            "cluster": partial(checks.kubernetes, kube),
            "permissions": partial(checks.permissions, kube),
            **_at_the_registry(kube, settings, seen),
            "images": _seen(*_images(seen, references, push_again)),
            "nodes": _seen(*(seen.proofs.findings or [_unseen("nodes", "not checked, as `preflight` is off")])),
            "kube-proxy": partial(kube_proxies, kube, settings),
            "shared volume": partial(shared_volumes, kube, settings),
            "docker": partial(_docker, kube, settings, environment)
            if seen.running
            else partial(_docker_alone, environment, NO_REGISTRY),
            "lease": partial(checks.lease, kube),
            "probe pods": partial(checks.probes, kube),
        }
        found = await map_limited(_findings, all_checks.items(), at_once=len(all_checks))
    return [finding for findings in found for finding in findings]


def _at_the_registry(kube: KubeClient, settings: RegistrySettings, seen: Findings) -> dict[str, Check]:
    """Return the checks of a registry; if it does not run, findings that say why."""
    if not (seen.running and seen.write_door):
        unseen = {subject: _seen(_unseen(subject, NO_REGISTRY)) for subject in ("volume", "read door", "write door")}
        return {"registry": _seen(Finding("registry", well=False, words=str(seen.registry))), **unseen}
    exposure = seen.exposure or [Finding("read door", well=False, words=str(seen.registry))]
    return {
        "registry": partial(checks.distribution, kube),
        "volume": _seen(checks.bucket(settings.s3)) if settings.s3 else partial(checks.volume, kube),
        "read door": partial(checks.read_door, kube, exposure),
        "write door": _seen(seen.write_door),
    }


def _seen(*findings: Finding) -> Check:
    """Return a check with findings that are already known."""

    async def check() -> list[Finding]:
        return list(findings)

    return check


def _unseen(subject: str, why: str) -> Finding:
    return Finding(subject, well=None, words=why)


async def _findings(named: tuple[str, Check]) -> list[Finding]:
    """Return the findings of a check; an error or a timeout becomes a finding, too."""
    subject, check = named
    try:
        async with asyncio.timeout(CHECK_SECONDS):
            return await check()
    except KubeRegistryError as error:
        return [Finding(subject, well=False, words=str(error))]
    except TimeoutError:
        return [Finding(subject, well=False, words=add_fix(f"no answer within {CHECK_SECONDS:.0f} s", "try again"))]


def _images(seen: Findings, references: Mapping[str, str], push_again: Callable[[list[str]], str]) -> Iterator[Finding]:
    """Yield a finding on whether each image is complete; a single one if the images cannot be read back."""
    if seen.registry:
        words = seen.registry if seen.running else NO_REGISTRY
        yield Finding("images", well=False if seen.running else None, words=words)
        return
    lost = [name for name in references if seen.missing[name]]
    for name, reference in references.items():
        missing = ", ".join(seen.missing[name])
        words = add_fix(missing, f"`{push_again(lost)}`") if missing else f"{reference} is complete"
        yield Finding(f"image {name}", well=not missing, words=words)


async def _docker(kube: KubeClient, settings: RegistrySettings, environment: Mapping[str, str]) -> list[Finding]:
    """Check that the Docker daemon reaches the push address, as a push does, but through a tunnel to the read door."""
    (daemon,) = await _daemon(environment)
    if not daemon.well:
        return [daemon]
    place, lines = settings.endpoints.push_address, list[str]()
    async with (
        open_tunnel(kube, settings.push_port, None) as tunnel,
        open_registry(tunnel.address, kube.where) as registry,
    ):
        probe = await registry.tagged(PROBE_REPOSITORY, TAG)
        if probe is None:
            words = f"not checked whether {daemon.words} reaches {place}: the preflight has not pushed its image yet"
            return [Finding("docker", well=None, words=words)]
        async with daemon_reaching(
            environment, place, probe, lines.append, tunnel.break_off, recovered=tunnel.recovered, where=settings.where
        ):
            way = ", through a relay" if lines else ""
            return [Finding("docker", well=True, words=f"{daemon.words} reaches {place}{way}")]


async def _docker_alone(environment: Mapping[str, str], why: str) -> list[Finding]:
    """Check the Docker daemon while there is nothing for it to reach."""
    (daemon,) = await _findings(("docker", partial(_daemon, environment)))
    words = f"{daemon.words} responds; whether it reaches the push address was {why}"
    return [Finding("docker", well=None, words=words) if daemon.well else daemon]


async def _daemon(environment: Mapping[str, str]) -> list[Finding]:
    await prove_daemon(environment)
    return [judge_version("docker", *await daemon_version(environment))]
