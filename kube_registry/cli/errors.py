"""What can go wrong with the stack that a verb is about."""

from kube_registry.errors import KubeRegistryError


class StackError(
    KubeRegistryError,
    sentence="the settings of {stack} in {folder} are not known: {reason}",
    fix="{fix}",
    example={
        "stack": "stack prod",
        "folder": "/home/me/kube-registry",
        "reason": "no stack named 'prod' found",
        "fix": "`pulumi stack ls` lists the stacks, `pulumi stack init prod` makes this one",
    },
):
    """Pulumi does not return the settings of a stack, or the stack has no such registry."""

    stack: str
    folder: str
    reason: str
    fix: str
