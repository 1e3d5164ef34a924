"""Errors of the preview of a stack."""

from kube_registry.errors import KubeRegistryError


class PreviewError(
    KubeRegistryError,
    sentence="stack {stack} cannot be previewed: {reason}",
    fix="{check}",
    example={"stack": "prod", "reason": "the Docker daemon does not respond"},
):
    """The preview of a stack failed."""

    stack: str
    reason: str

    @property
    def check(self) -> str:
        """How to check a correction; empty if the reason has a fix."""
        return (
            "" if "Fix: " in self.reason else f"correct that, then check it with `pulumi preview --stack {self.stack}`"
        )


class PreviewTooLateError(
    KubeRegistryError,
    sentence="the preview of stack {stack} was cancelled after {seconds:.0f} s",
    fix="use a longer --deadline",
    example={"stack": "prod", "seconds": 300},
):
    """The preview of a stack took too long."""

    stack: str
    seconds: float
