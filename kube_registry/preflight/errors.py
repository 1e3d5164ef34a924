"""Errors of the preflight."""

from kube_registry.errors import HERE, ClusterError
from kube_registry.text import counted, table


class PreflightError(
    ClusterError,
    sentence="{failing} of {nodes} nodes cannot pull from {pull_host} in {where}, so nothing was built",
    fix="{fix}{table}",
    example={
        "where": HERE,
        "pull_host": "localhost:30100",
        "rows": (("node-2", "containerd://1.7.27", "nftables", "connection refused on loopback"),),
        "failing": 1,
        "nodes": 2,
        "fix": "`pulumi config set exposure nodeProxy`",
    },
):
    """Nodes cannot pull from the registry.

    Args:
        pull_host: host and port that nodes pull from.
        rows: name, runtime, kube-proxy's mode and cause, for the first ten failing nodes.
        failing: number of failing nodes.
        nodes: number of all nodes.
        fix: the fix for most of the failing nodes.
    """

    pull_host: str
    rows: tuple[tuple[str, str, str, str], ...]
    failing: int
    nodes: int
    fix: str

    @property
    def table(self) -> str:
        """The rows as a table, with the number of nodes that it omits."""
        return table(("node", "runtime", "kube-proxy", "cause"), self.rows, self.failing)


class NodeProxyNeededError(
    ClusterError,
    sentence=(
        "{failing} of {nodes} nodes in {where} can pull only by the node proxy, because kube-proxy does not serve node "
        "ports on their loopback, so the node proxy was not deleted: {names}"
    ),
    fix="`pulumi config set exposure nodeProxy`",
    example={"where": HERE, "failing": 1, "nodes": 2, "names": "node-2"},
):
    """The node proxy is about to be deleted, but nodes need it.

    Args:
        failing: number of those nodes.
        nodes: number of all nodes.
        names: the names of the first ten of those nodes.
    """

    failing: int
    nodes: int
    names: str


class PreflightReportedError(
    ClusterError,
    sentence="{nodes} cannot pull from the registry in {where}, so nothing was built",
    fix="see the error of the update's first image, which lists the nodes and the causes",
    example={"where": HERE, "failing": 2},
):
    """Nodes cannot pull from the registry, and the error of another image lists them."""

    failing: int

    @property
    def nodes(self) -> str:
        """The number of failing nodes."""
        return counted(self.failing, "node")
