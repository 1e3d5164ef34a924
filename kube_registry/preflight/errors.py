"""What can go wrong with the proof that every node can pull."""

from kube_registry.errors import HERE, ClusterError


class PreflightError(
    ClusterError,
    sentence=(
        "{failing} of {nodes} nodes cannot pull from {pull_host} in {where}, so nothing was built. Fix: {fix}{table}"
    ),
    example={
        "where": HERE,
        "pull_host": "localhost:30100",
        "rows": (("node-2", "containerd://1.7.27", "nftables", "refused on loopback"),),
        "failing": 1,
        "nodes": 2,
        "fix": "`pulumi config set exposure nodeProxy`",
    },
):
    """Nodes cannot pull what would be pushed.

    Args:
        pull_host: what they pull from.
        rows: name, runtime, kube-proxy's mode and cause, of the first ten of them.
        failing: how many they are.
        nodes: of how many.
        fix: what mends most of them.
    """

    pull_host: str
    rows: tuple[tuple[str, str, str, str], ...]
    failing: int
    nodes: int
    fix: str

    @property
    def table(self) -> str:
        """The rows below one another, with what there is no room for."""
        rows = [("node", "runtime", "kube-proxy", "cause"), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, [*widths, 0], strict=True)) for row in rows]
        more = self.failing - len(self.rows)
        return "".join(f"\n  {line}" for line in lines) + (f"\n  and {more} more" if more else "")


class PreflightToldError(
    ClusterError,
    sentence=(
        "{failing} nodes cannot pull from the registry in {where}; the first image of the update says which and why"
    ),
    example={"where": HERE, "failing": 1},
):
    """Nodes cannot pull what would be pushed, and another image of the update has said which."""

    failing: int
