"""What can go wrong with a whole fleet, beside what goes wrong with its stacks: its file, its runs, its review."""

from dataclasses import dataclass
from typing import ClassVar

from stack.errors import KubeRegistryError


@dataclass(eq=False)
class FleetError(KubeRegistryError):
    """fleet.yaml is not there, cannot be read, or says something that is not allowed.

    Args:
        file: its path.
        place: where in it, such as a stack; "" for the whole of it.
        problem: what is wrong there.
        mend: what to do, after "Fix: ".
    """

    file: str
    place: str
    problem: str
    mend: str

    sentence = "{at}: {problem}. Fix: {mend}"
    example: ClassVar[dict[str, object]] = {
        "file": "/home/me/kube-registry/fleet.yaml",
        "place": "stack shop-eu",
        "problem": "it has push port 21000, which stack shop-us has, too",
        "mend": "write `pushPort: 20000` below it, which is free",
    }

    @property
    def at(self) -> str:
        """The file, with the place in it unless the whole of it is meant."""
        return f"{self.file}, {self.place}" if self.place else self.file


@dataclass(eq=False)
class ProgramError(KubeRegistryError):
    """There is no `pulumi` that could run the program."""

    reason: str

    sentence = "`pulumi` cannot be run: {reason}; install it (https://www.pulumi.com/docs/install/)"
    example: ClassVar[dict[str, object]] = {"reason": "No such file or directory"}


@dataclass(eq=False)
class RunCancelledError(KubeRegistryError):
    """A stack's run was ended before it was done."""

    verb: str
    stack: str
    why: str
    doing: str

    sentence = (
        "`{verb}` of stack {stack} was cancelled {why}, while it was at: {doing}; `.venv/bin/python -m "
        "registryctl fleet {verb} --stacks {stack}` goes on where this one ended"
    )
    example: ClassVar[dict[str, object]] = {
        "verb": "up",
        "stack": "shop-eu",
        "why": "after 900 s, its deadline",
        "doing": "build (Step 3/7 : RUN make)",
    }


@dataclass(eq=False)
class StackLockedError(KubeRegistryError):
    """Another update holds the stack."""

    stack: str
    holder: str
    fix: str

    sentence = "stack {stack} is locked by {holder}. Fix: {fix}"
    example: ClassVar[dict[str, object]] = {
        "stack": "prod",
        "holder": "alice@build-7 (pid 4711) since 2026-11-29T09:30:00Z",
        "fix": "wait until that update has ended, then run this again",
    }


@dataclass(eq=False)
class PlanError(KubeRegistryError):
    """Pulumi gives no plan of a stack."""

    stack: str
    reason: str

    sentence = "there is no plan of stack {stack}: {reason}; `pulumi preview --stack {stack}` tells when it is right"
    example: ClassVar[dict[str, object]] = {"stack": "prod", "reason": "no Docker daemon answers"}


@dataclass(eq=False)
class PlanTooLateError(KubeRegistryError):
    """Pulumi did not give the plan of a stack in time."""

    stack: str
    seconds: float

    sentence = "the plan of stack {stack} took longer than {seconds:.0f} s and was given up; try a longer --deadline"
    example: ClassVar[dict[str, object]] = {"stack": "prod", "seconds": 300}
