"""Errors of the stack that a command works on."""

from kube_registry.errors import KubeRegistryError


class StackError(
    KubeRegistryError,
    sentence="the settings of {stack} in {folder} cannot be read: {reason}",
    fix="{fix}",
    example={
        "stack": "stack prod",
        "folder": "/home/me/kube-registry",
        "reason": "no stack named 'prod' found",
        "fix": "choose a stack from `pulumi stack ls`, or create this one with `pulumi stack init prod`",
    },
):
    """Pulumi does not return the settings of a stack, or the stack has no such registry."""

    stack: str
    folder: str
    reason: str
    fix: str
