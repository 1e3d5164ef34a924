"""What can go wrong with the preview of a stack."""

from kube_registry.errors import KubeRegistryError


class PreviewError(
    KubeRegistryError,
    sentence="there is no preview of stack {stack}: {reason}; `pulumi preview --stack {stack}` tells when it is right",
    example={"stack": "prod", "reason": "no Docker daemon answers"},
):
    """Pulumi gives no preview of a stack."""

    stack: str
    reason: str


class PreviewTooLateError(
    KubeRegistryError,
    sentence=(
        "the preview of stack {stack} took longer than {seconds:.0f} s and was given up. Fix: try a longer --deadline"
    ),
    example={"stack": "prod", "seconds": 300},
):
    """Pulumi did not give the preview of a stack in time."""

    stack: str
    seconds: float
