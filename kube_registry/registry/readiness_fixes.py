"""What to do if the registry or the node proxy is not ready, chosen by the text of the reason."""

import re

from kube_registry.errors import Where
from kube_registry.names import BUCKET_KEYS, NFS_SERVER, REGISTRY

GONE = "one of its objects was deleted"
"""Start of the reason if an object was deleted."""

NO_CLASS = "the cluster has no default storage class, and none is set"
"""Reason of a claim that no storage class provides a volume for."""

SHARED_SERVER, SHARED_PROXY = "NFS server", "node proxy of the shared volume"
"""What has the settings of a shared volume, not those of the registry."""

_REFRESH = "`pulumi up --refresh`"
"""Reverts manual changes, also in programs that do not refresh on every update."""

_NO_ROOM = (
    "`{kubectl} describe nodes` shows the free resources; add a node, or lower the setting `pod.resources.requests` or "
    "`replicas`, then `pulumi up`"
)
"""For a reason of the scheduler (kubernetes pkg/scheduler, NodeResourcesFit)."""

_FIXES = {
    "is scaled to 0": _REFRESH,
    GONE: _REFRESH,
    "untolerated taint": (
        "allow nodes with any taint by `pulumi config set --path 'pod.tolerations[0].operator' Exists`, then "
        "`pulumi up`"
    ),
    "didn't match Pod's node affinity/selector": (
        "compare the setting `pod.nodeSelector` with `{kubectl} get nodes --show-labels`, correct one of them, then "
        "`pulumi up`"
    ),
    "Insufficient ": _NO_ROOM,
    "Too many pods": _NO_ROOM,
    "invalid region provided": "correct it with `pulumi config set --path s3.region REGION`, then `pulumi up`",
    "Address already in use": (
        "choose a port that is free on every node by `pulumi config set {port} NUMBER`, then `pulumi up`"
    ),
    NO_CLASS: (  # Kubernetes changes no claim, so an update leaves the class of an existing one
        "delete the claim with `{kubectl} --namespace {namespace} delete persistentvolumeclaim {claim}`, choose a "
        "class by `pulumi config set --path {section}.storageClass NAME`, then `pulumi up --refresh`"
    ),
}
"""Part of a reason -> what to do."""

_NO_SECRET = re.compile(r'secret "(?P<secret>[^"]+)" not found')
_NO_KEY = re.compile(r"couldn't find key (?P<key>\S+) in Secret [^/\s]+/(?P<secret>[^\s:]+)")
"""Messages of a kubelet about a Secret in a container's environment (kubernetes pkg/kubelet/kubelet_pods.go)."""


def readiness_fix(reason: str, where: Where, what: str) -> str:
    """Return the commands that correct a reason.

    Args:
        reason: why something is not ready.
        where: its cluster and namespace.
        what: what is not ready.
    """
    kubectl = f"{where.kubectl} --namespace {where.namespace}"
    if missing := _NO_SECRET.search(reason):
        values = " ".join(f"--from-literal={key}=VALUE" for key in BUCKET_KEYS)
        return f"`{kubectl} create secret generic {missing['secret']} {values}`, then `pulumi up`"
    if missing := _NO_KEY.search(reason):
        return f"`{kubectl} {set_key(missing['secret'], missing['key'])}`, then `pulumi up`"
    found = (command for words, command in _FIXES.items() if words in reason)
    shared = what in (SHARED_SERVER, SHARED_PROXY)
    return next(found, "correct that, then `pulumi up`").format(
        kubectl=where.kubectl,
        namespace=where.namespace,
        claim=NFS_SERVER if shared else REGISTRY,
        section="sharedVolume" if shared else "claim",
        port="--path sharedVolume.port" if shared else "nodePort",
    )


def set_key(secret: str, *keys: str) -> str:
    """Return the arguments of the kubectl command that sets keys of an existing Secret."""
    data = ", ".join(f'"{key}": "VALUE"' for key in keys)
    return f"patch secret {secret} --patch '{{\"stringData\": {{{data}}}}}'"
