"""What a review says of a stack that it has no plan of."""

from dataclasses import dataclass
from typing import ClassVar

from stack.errors import KubeRegistryError


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
