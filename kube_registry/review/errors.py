"""What can go wrong with a plan of a stack."""

from kube_registry.errors import KubeRegistryError


class PlanError(
    KubeRegistryError,
    sentence="there is no plan of stack {stack}: {reason}; `pulumi preview --stack {stack}` tells when it is right",
    example={"stack": "prod", "reason": "no Docker daemon answers"},
):
    """Pulumi gives no plan of a stack."""

    stack: str
    reason: str


class PlanTooLateError(
    KubeRegistryError,
    sentence="the plan of stack {stack} took longer than {seconds:.0f} s and was given up; try a longer --deadline",
    example={"stack": "prod", "seconds": 300},
):
    """Pulumi did not give the plan of a stack in time."""

    stack: str
    seconds: float
