"""What can go wrong with the stack that a verb is about."""

from kube_registry.errors import KubeRegistryError


class StackError(
    KubeRegistryError,
    sentence="the settings of {stack} in {folder} cannot be had: {reason}; {fix}",
    example={
        "stack": "stack prod",
        "folder": "/home/me/kube-registry",
        "reason": "no stack named 'prod' found",
        "fix": "`pulumi stack ls` lists the stacks, `pulumi stack init prod` makes this one",
    },
):
    """Pulumi does not tell the settings of a stack."""

    stack: str
    folder: str
    reason: str
    fix: str
