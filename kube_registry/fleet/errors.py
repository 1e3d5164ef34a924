"""What can go wrong with a fleet: its file, and the run of one of its stacks."""

from kube_registry.errors import KubeRegistryError


class FleetError(
    KubeRegistryError,
    sentence="{at}: {problem}. Fix: {fix}",
    example={
        "file": "/home/me/kube-registry/fleet.yaml",
        "place": "stack shop-eu",
        "problem": "it has push port 21000, which stack shop-us has, too",
        "fix": "write `pushPort: 20000` below it, which is free",
    },
):
    """fleet.yaml is not there, cannot be read, or says something that is not allowed.

    Args:
        file: its path.
        place: where in it, such as a stack; "" for the whole of it.
        problem: what is wrong there.
        fix: what to do, after "Fix: ".
    """

    file: str
    place: str
    problem: str
    fix: str

    @property
    def at(self) -> str:
        """The file, with the place in it unless the whole of it is meant."""
        return f"{self.file}, {self.place}" if self.place else self.file


class RunCancelledError(
    KubeRegistryError,
    sentence=(
        "`{verb}` of stack {stack} was cancelled {why}, while it was at: {doing}. Fix: `.venv/bin/python -m "
        "registryctl fleet {verb} --stacks {stack}` goes on where this one ended"
    ),
    example={
        "verb": "up",
        "stack": "shop-eu",
        "why": "after 900 s, its deadline",
        "doing": "build (Step 3/7 : RUN make)",
    },
):
    """A stack's run was ended before it was done."""

    verb: str
    stack: str
    why: str
    doing: str
