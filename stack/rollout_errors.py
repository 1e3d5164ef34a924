"""What can go wrong with the run of a whole fleet, beside what goes wrong with its stacks."""

from dataclasses import dataclass
from typing import ClassVar

from stack.errors import KubeRegistryError


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
        "`{verb}` of stack {stack} was cancelled {why}, while it was at: {doing}; `registryctl fleet {verb}` goes on "
        "where this one ended"
    )
    example: ClassVar[dict[str, object]] = {
        "verb": "up",
        "stack": "shop-eu",
        "why": "after 900 s, its deadline",
        "doing": "build (Step 3/7 : RUN make)",
    }
