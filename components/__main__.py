"""The components as a Pulumi package: a provider plugin, by which programs in every language use them.

Pulumi starts the folder as a script, with the engine's address as its argument; then its folder has no package.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

if not __package__:
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "components"

import grpc
import pulumi
from pulumi.errors import InputPropertiesError, InputPropertyError
from pulumi.provider import ConstructResult
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError, ProviderServicer
from pulumi.runtime import rpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

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


class Servicer(ProviderServicer):
    """Answers the engine; what fails later than a constructor is one sentence, too."""

    async def _construct(self, request: Any, context: Any) -> Any:  # noqa: ANN401 - messages of gRPC
        try:
            return await super()._construct(request, context)
        except pulumi.RunError as error:  # of an apply: the SDK would show its class before it
            raise InputPropertiesError(str(error), []) from error

    @staticmethod
    async def _construct_inputs(inputs: Any, input_dependencies: Any) -> dict[str, pulumi.Input[Any]]:  # noqa: ANN401
        """As the SDK's, with plain values for plain arguments: one secret in a map makes the whole map an output.

        Raises:
            InputPropertyError: an argument that has to be plain is an output of a resource.
        """
        given = await super(Servicer, Servicer)._construct_inputs(inputs, input_dependencies)
        found = rpc.deserialize_properties(inputs, keep_unknowns=True)
        plain = {key: rpc.unwrap_rpc_secret(found[key]) for key in given if key != "kubeconfig"}
        for key, value in plain.items():
            if _has_output(value):
                raise InputPropertyError(key, "it decides names, and has to be known before anything is made")
        return {**given, **plain}


def _has_output(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(_has_output, value.values()))
    if isinstance(value, list):
        return any(map(_has_output, value))
    return isinstance(value, pulumi.Output | pulumi.output.Unknown)


async def serve(engine: str) -> None:
    """Answer the engine, which reads the port from the first line."""
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(package(), [], engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


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
    asyncio.run(serve(next(word for word in sys.argv[1:] if not word.startswith("-"))))
