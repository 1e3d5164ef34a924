"""The checks of `registryctl doctor` in a cluster; none writes anything."""

import asyncio
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from kube_registry.errors import Where, on_stack
from kube_registry.housekeeping.node_checks import Finding, age
from kube_registry.housekeeping.volume_listing import Room, read_room
from kube_registry.kube.client import KubeClient
from kube_registry.kube.permissions import Permission, lacking, user_of
from kube_registry.kube.proxy_mode import NAMESPACE as KUBE_PROXY_NAMESPACE
from kube_registry.lease.holders import DURATION_SECONDS, Holder, Holders
from kube_registry.lease.lease import RENEW_SECONDS, lease_holders
from kube_registry.limits import REGISTRY_SECONDS
from kube_registry.names import REGISTRYCTL, rbac_name
from kube_registry.preflight.node_tests import left_probes
from kube_registry.registry.pod_exec import run_in_pod
from kube_registry.spec.sections import S3Settings
from kube_registry.spec.versions import unsupported
from kube_registry.text import add_fix
from kube_registry.tunnel.listener import open_tunnel

PERMISSIONS = (
    *(Permission("list", resource, everywhere=True) for resource in ("nodes", "pods", "replicationcontrollers")),
    *(
        Permission("list", f"{kind}s", "apps", everywhere=True)
        for kind in ("deployment", "replicaset", "daemonset", "statefulset", "controllerrevision")
    ),
    *(Permission("list", resource, "batch", everywhere=True) for resource in ("jobs", "cronjobs")),
    *(Permission(verb, f"pods/{way}") for way in ("portforward", "exec") for verb in ("get", "create")),
    *(Permission(verb, "leases", "coordination.k8s.io") for verb in ("get", "create", "update")),
    *(Permission("get", resource) for resource in ("services", "configmaps", "persistentvolumeclaims", "namespaces")),
    Permission("list", "events"),
    Permission("get", "deployments", "apps"),
)
"""What docs/rbac/housekeeper.yaml grants."""

MANIFESTS_NAMESPACE = "kube-registry"
"""The namespace in docs/rbac/housekeeper.yaml."""

FULL = 0.9
"""The used part of a volume from which the volume counts as nearly full."""


def judge_version(subject: str, program: str, version: str) -> Finding:
    """Return a finding on whether the version of a program is supported."""
    problem = unsupported(program, version)
    return Finding(subject, problem is None, problem or f"{program} {version}")


async def kubernetes(kube: KubeClient) -> list[Finding]:
    """Check the version of the API server."""
    version = str((await kube.get("/version"))["gitVersion"])
    found = judge_version("cluster", "Kubernetes", version)
    return [replace(found, words=f"{kube.where.cluster} responds, {found.words}") if found.well else found]


async def permissions(kube: KubeClient) -> list[Finding]:
    """Check the permissions of a housekeeper."""
    missing = await lacking(kube, PERMISSIONS)
    if not missing:
        return [Finding("permissions", well=True, words="you have all permissions of a housekeeper")]
    listed, namespace = ", ".join(map(str, missing)), kube.where.namespace
    commands = " and ".join(f"`{command}`" for command in grants(namespace, await user_of(kube)))
    return [
        Finding("permissions", well=False, words=add_fix(f"you may not {listed}", f"an administrator runs {commands}"))
    ]


def grants(namespace: str, user: str) -> tuple[str, ...]:
    """Return the commands that grant a user the permissions of a housekeeper.

    Args:
        namespace: namespace of the registry.
        user: name of the user at the API server.
    """
    apply = "kubectl apply --filename docs/rbac/housekeeper.yaml"
    if namespace != MANIFESTS_NAMESPACE:
        renamed = f"sed 's/: {MANIFESTS_NAMESPACE}/: {namespace}/' docs/rbac/housekeeper.yaml"
        apply = f"{renamed} | kubectl apply --filename -"
    role, binding = f"{namespace}-housekeeper", rbac_name(f"{namespace}-housekeeper-{user}")
    who = f"--user={shlex.quote(user)}"
    return (
        apply,
        f"kubectl create rolebinding {binding} --role={role} {who} --namespace={namespace}",
        f"kubectl create rolebinding {binding} --role={role} {who} --namespace={KUBE_PROXY_NAMESPACE}",
        f"kubectl create clusterrolebinding {binding} --clusterrole={role} {who}",
    )


async def volume(kube: KubeClient) -> list[Finding]:
    """Check how full the registry's volume is."""
    return [judge_room(await read_room(kube), kube.where)]


def bucket(s3: S3Settings) -> Finding:
    """Return a finding on the storage of a registry without a volume; whether it can be written is another check."""
    server = s3.endpoint or f"AWS in {s3.region}"
    return Finding("volume", well=True, words=f"none: the images are in bucket {s3.bucket} of {server}")


def judge_room(room: Room, where: Where) -> Finding:
    """Return a finding on whether the file system of a registry has enough free space."""
    size = room.used + room.free
    words = f"{room.used / size:.0%} of {size / 1e9:.1f} GB are used"
    if room.used < FULL * size:
        return Finding("volume", well=True, words=words)
    fix = (
        f"remove unused images with `{REGISTRYCTL} gc{where.stack_option}`, or, if the storage class can expand "
        "volumes, `pulumi config set --path claim.size SIZE`, then `pulumi up`"
    )
    return Finding("volume", well=False, words=on_stack(add_fix(words, fix), where.stack, where.component))


async def distribution(kube: KubeClient) -> list[Finding]:
    """Check the version of the registry's program."""
    printed = await run_in_pod(kube, "reading its version", ["registry", "--version"], seconds=REGISTRY_SECONDS)
    return [judge_version("registry", "distribution", " ".join(printed).rpartition(" ")[2])]


async def read_door(kube: KubeClient, exposure: Sequence[Finding]) -> list[Finding]:
    """Check that nodes find the registry under its pull references, and that it responds.

    Args:
        kube: client of the registry's cluster.
        exposure: the findings of `exposed`.
    """
    if not all(each.well for each in exposure):
        return list(exposure)
    async with open_tunnel(kube, 0, None):
        return [Finding("read door", well=True, words=f"responds, on {exposure[-1].words}")]


async def lease(kube: KubeClient) -> list[Finding]:
    """Check who holds the registry's lease, and whether they are alive."""
    before = await lease_holders(kube)
    if all(_seconds_since(holder) <= DURATION_SECONDS for holder in before.values()):
        return list(_holders(before, set()))
    await asyncio.sleep(RENEW_SECONDS + 2)  # clocks of two machines may differ: a live holder renews in this time
    holders = await lease_holders(kube)
    return list(_holders(holders, {key for key in holders if holders[key] == before.get(key)}))


async def probes(kube: KubeClient) -> list[Finding]:
    """Check for pods that a preflight has left."""
    left = [pod["metadata"]["name"] for pod in await left_probes(kube)]
    if not left:
        return [Finding("probe pods", well=True, words="none left")]
    command = f"{kube.where.kubectl} delete pod --namespace {kube.where.namespace} {' '.join(left)}"
    return [Finding("probe pods", well=False, words=add_fix(f"{len(left)} left by a preflight", f"`{command}`"))]


def _holders(holders: Holders, dead: set[str]) -> Iterator[Finding]:
    """Yield a finding for each holder. No fix deletes the Lease: that would stop the holders that are alive."""
    for key, holder in holders.items():
        words = f"held by {holder.who}"
        if key in dead:
            since = age(timedelta(seconds=_seconds_since(holder)))
            words = (
                f"{holder.who} stopped {since} ago; the next one that waits for the lease takes it over after "
                f"{DURATION_SECONDS:.0f} s"
            )
        yield Finding("lease", well=True, words=words)
    if not holders:
        yield Finding("lease", well=True, words="no holders")


def _seconds_since(holder: Holder) -> float:
    return (datetime.now(UTC) - holder.renewed_at).total_seconds()
