"""Errors of a fleet: of its file, and of the run of one of its stacks."""

from kube_registry.errors import KubeRegistryError


class FleetError(
    KubeRegistryError,
    sentence="{at}: {problem}",
    fix="{fix}",
    example={
        "file": "/home/me/kube-registry/fleet.yaml",
        "place": "stack shop-eu",
        "problem": "push port 21000 is also that of stack shop-us",
        "fix": "write `pushPort: 20000` there, which is free",
    },
):
    """fleet.yaml is missing, cannot be read, or has a value that is not allowed.

    Args:
        file: its path.
        place: where in the file, such as a stack; "" for the whole file.
        problem: what is wrong there.
        fix: what to do, after "Fix: ".
    """

    file: str
    place: str
    problem: str
    fix: str

    @property
    def at(self) -> str:
        """The file, and the place in it if there is one."""
        return f"{self.file}, {self.place}" if self.place else self.file


class RunCancelledError(
    KubeRegistryError,
    sentence="`{verb}` of stack {stack} was cancelled {why}, during {doing}",
    fix="run it again with `{registryctl} fleet {verb} --stacks {stack}`",
    example={
        "verb": "up",
        "stack": "shop-eu",
        "why": "after 900 s, its deadline",
        "doing": "build (Step 3/7 : RUN make)",
    },
):
    """The run of a stack was cancelled before it had finished."""

    verb: str
    stack: str
    why: str
    doing: str
