"""Errors of shared volumes."""

from dataclasses import replace

from kube_registry.errors import HERE, ClusterError
from kube_registry.text import table


class MountError(
    ClusterError,
    sentence="{failing} of {nodes} nodes cannot mount the shared volume from {server} in {where}",
    fix="{fix}{table}",
    example={
        "where": replace(HERE, namespace="kube-registry-shared"),
        "server": "10.96.14.7",
        "rows": (("node-2", "v1.37.2", "it has no NFS client: mount.nfs is missing"),),
        "failing": 1,
        "nodes": 2,
        "fix": "install the NFS client on the node: the package nfs-common (Debian, Ubuntu) or nfs-utils (others)",
    },
):
    """Nodes cannot mount a shared volume. The update ends before it creates a claim.

    Args:
        server: address that nodes mount from.
        rows: name, version of the kubelet and cause, for the first ten failing nodes.
        failing: number of failing nodes.
        nodes: number of all nodes.
        fix: the fix for most of the failing nodes.
    """

    server: str
    rows: tuple[tuple[str, ...], ...]
    failing: int
    nodes: int
    fix: str

    @property
    def table(self) -> str:
        """The rows as a table, with the number of nodes that it omits."""
        return table(("node", "kubelet", "cause"), self.rows, self.failing)


class ClaimInUseError(
    ClusterError,
    sentence=(
        "the shared volume in {where} cannot change while pods use it: the update would replace its claim {claim} in "
        "namespace {its_namespace}, which is mounted by {pods}; so nothing was changed"
    ),
    fix=(
        "end these pods, a Deployment's with `{where.kubectl} --namespace {its_namespace} scale deployment NAME "
        "--replicas=0`, then `pulumi up`, and start them again; or undo the change"
    ),
    example={
        "where": replace(HERE, namespace="kube-registry-shared"),
        "claim": "shared-volume",
        "its_namespace": "default",
        "pods": "web-6f7c9d8b5-x2x7k",
    },
):
    """A change of a shared volume would replace a claim that pods use.

    Args:
        claim: name of the claim.
        its_namespace: its namespace.
        pods: the names of the first ten pods that use it.
    """

    claim: str
    its_namespace: str
    pods: str
