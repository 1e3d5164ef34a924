"""Errors of the settings of a stack."""

from kube_registry.errors import KubeRegistryError


class SettingsError(
    KubeRegistryError,
    sentence="setting {key}: {problem}",
    fix="{fix}",
    example={
        "key": "nodePort",
        "problem": "'many' is not allowed; it must be a port number",
        "fix": "`pulumi config set --path nodePort 30100`",
    },
):
    """A setting is missing, unknown or not allowed."""

    key: str
    problem: str
    fix: str
