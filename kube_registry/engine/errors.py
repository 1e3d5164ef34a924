"""What can go wrong with `pulumi` itself, and how one of its commands fails."""

from dataclasses import dataclass

from kube_registry.errors import KubeRegistryError


class ProgramError(
    KubeRegistryError,
    sentence="`pulumi` cannot be run: {reason}. Fix: install it (https://www.pulumi.com/docs/install/)",
    example={"reason": "No such file or directory"},
):
    """There is no `pulumi` that could run the program."""

    reason: str


class StackLockedError(
    KubeRegistryError,
    sentence="stack {stack} is locked by {holder}. Fix: {fix}",
    example={
        "stack": "prod",
        "holder": "alice@build-7 (pid 4711) since 2026-11-29T09:30:00Z",
        "fix": "wait until that update has ended, then run this again",
    },
):
    """Another update holds the stack."""

    stack: str
    holder: str
    fix: str


@dataclass(eq=False)
class CommandError(Exception):
    """A command of `pulumi` failed; the caller says for whom and what fixes it.

    Args:
        command: the command.
        reason: why, in one line.
    """

    command: str
    reason: str

    def __str__(self) -> str:
        """The reason."""
        return self.reason


class StackMissingError(CommandError):
    """There is no such stack."""
