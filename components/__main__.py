"""The components as a Pulumi package: a provider plugin, by which programs in every language use them.

Pulumi starts the folder as a script, with the engine's address as its argument; then its folder has no package.
"""

import json
import sys
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "components"

import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyError
from pulumi.provider import ConstructResult, main
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError

from kube_registry import __version__
from kube_registry.spec.errors import SettingsError

from .cluster_registry import ClusterRegistry

PACKAGE = "kube-registry"


class Components(ComponentProvider):
    """Makes components, and passes what a user can do about their errors on in one sentence."""

    def construct(
        self, name: str, resource_type: str, inputs: pulumi.Inputs, options: pulumi.ResourceOptions | None = None
    ) -> ConstructResult:
        """As ComponentProvider's, which shows each error of a component with its traceback.

        Raises:
            InputPropertyError, InputPropertiesError: in place of the component's pulumi.RunError.
        """
        try:
            return super().construct(name, resource_type, inputs, options)
        except ComponentInitError as error:
            if not isinstance(error.inner, pulumi.RunError):
                raise
            cause = error.inner.__cause__
            if isinstance(cause, SettingsError):
                raise InputPropertyError(cause.key, f"{cause.problem}. Fix: {cause.mend}") from error
            raise InputPropertiesError(str(error.inner), []) from error


def package() -> Components:
    """The package, with a schema whose descriptions are plain text: docstrings have line breaks and arguments."""
    made = Components([ClusterRegistry], PACKAGE, version=__version__)
    made.schema = json.dumps(json.loads(made.schema or "{}", object_hook=_described))
    return made


def _described(node: dict[str, Any]) -> dict[str, Any]:
    if isinstance(text := node.get("description"), str):
        node["description"] = " ".join(text.partition("\n\n    Args:")[0].split())
    return node


if __name__ == "__main__":
    main(package(), sys.argv[1:])
