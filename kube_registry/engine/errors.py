"""Errors of `pulumi` itself and of its commands."""

from dataclasses import dataclass

from kube_registry.errors import KubeRegistryError


class ProgramError(
    KubeRegistryError,
    sentence="`pulumi` cannot be run: {reason}",
    fix="install it (https://www.pulumi.com/docs/install/)",
    example={"reason": "No such file or directory"},
):
    """`pulumi` is not installed, or its version is not supported."""

    reason: str


class StackLockedError(
    KubeRegistryError,
    sentence="stack {stack} is locked by {holder}",
    fix="{fix}",
    example={
        "stack": "prod",
        "holder": "alice@build-7 (pid 4711) since 2026-11-29T09:30:00Z",
        "fix": "wait until that update has finished, then try again",
    },
):
    """Another update has locked the stack."""

    stack: str
    holder: str
    fix: str


@dataclass(eq=False)
class CommandError(Exception):
    """A command of `pulumi` failed; the caller adds the context and the fix.

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
    """The stack does not exist."""


@dataclass(eq=False)
class ColdRunError(Exception):
    """A program cannot be run by a fork server, so its run is a cold one.

    Args:
        reason: why, in one line.
    """

    reason: str
