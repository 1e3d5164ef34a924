"""The components as a Pulumi provider plugin, for programs in every language.

Pulumi runs this folder as a script with the engine's address as its argument. `__package__` is then not set.
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
from pulumi.errors import InputPropertiesError
from pulumi.provider.experimental.analyzer import ComponentDefinition, PropertyDefinition
from pulumi.provider.experimental.component import ComponentProvider
from pulumi.provider.server import ComponentInitError, ProviderServicer
from pulumi.runtime import rpc
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import provider_pb2_grpc

from kube_registry import __version__
from kube_registry.text import add_fix

from .cluster_registry import ClusterRegistry

PACKAGE = "kube-registry"


class Components(ComponentProvider):
    """Create components from the arguments of programs in other languages."""

    def map_inputs(self, inputs: pulumi.Inputs, component_def: ComponentDefinition) -> pulumi.Inputs:
        """Return the arguments by their names in Python.

        The SDK's implementation drops unknown names, accepts text as an empty object, and rejects a number with an
        error in terms of Python. Here the settings validate the arguments.
        """
        return self._renamed(inputs, component_def.inputs, component_def.inputs_mapping)

    def _renamed(self, given: Any, properties: dict[str, PropertyDefinition], names: dict[str, str]) -> dict[str, Any]:  # noqa: ANN401
        return {
            names.get(key, key): self._value(each, properties[key]) if key in properties else each
            for key, each in given.items()
        }

    def _value(self, value: Any, described: PropertyDefinition) -> Any:  # noqa: ANN401
        if isinstance(value, list) and described.items:
            return [self._value(each, described.items) for each in value]
        if not isinstance(value, dict):
            return value
        if described.additional_properties:
            return {key: self._value(each, described.additional_properties) for key, each in value.items()}
        found = self.get_type_definition(described) if described.ref else None
        return self._renamed(value, found.properties, found.properties_mapping) if found else value


class Servicer(ProviderServicer):
    """Serve the engine. Plain arguments stay plain, and errors that a user can correct have no traceback."""

    async def _construct(self, request: Any, context: Any) -> Any:  # noqa: ANN401 - messages of gRPC
        """Construct a component. The SDK would print a traceback or the class of an error.

        Raises:
            InputPropertiesError: instead of a pulumi.RunError. It names no property: the engine would print the
                property's value, and panic if a part of it is unknown (propertyprint of 3.274).
        """
        try:
            return await super()._construct(request, context)
        except (ComponentInitError, pulumi.RunError) as error:
            cause = error.inner if isinstance(error, ComponentInitError) else error
            if not isinstance(cause, pulumi.RunError):
                raise
            raise InputPropertiesError(str(cause), []) from error

    @staticmethod
    async def _construct_inputs(inputs: Any, input_dependencies: Any) -> dict[str, pulumi.Input[Any]]:  # noqa: ANN401
        """Return the inputs, with plain values for plain arguments. Secrets and outputs of resources are outputs first.

        Raises:
            pulumi.RunError: an argument that has to be plain is not known yet.
        """
        given = await super(Servicer, Servicer)._construct_inputs(inputs, input_dependencies)
        found = rpc.deserialize_properties(inputs, keep_unknowns=True)
        for key in given.keys() - {"kubeconfig"}:
            value, is_secret = rpc.unwrap_rpc_secret(found[key]), rpc.is_rpc_secret(found[key])
            given[key], _ = await _plain(value, (key,), is_secret=is_secret)
        return given


async def _plain(value: Any, path: tuple[str, ...], *, is_secret: bool) -> tuple[Any, bool]:  # noqa: ANN401
    """Return a value without outputs, and whether it contains a secret.

    Raises:
        pulumi.RunError: a part of it is not known yet.
    """
    if isinstance(value, pulumi.output.Unknown) or (isinstance(value, pulumi.Output) and not await value.is_known()):
        problem = f"argument {'.'.join(path)} is not known yet, and other resources depend on its value"
        fix = "use a plain value, or an output of a resource that an earlier update created"
        raise pulumi.RunError(add_fix(problem, fix))
    if isinstance(value, pulumi.Output):
        return await _plain(await value.future(), path, is_secret=is_secret or await value.is_secret())
    if isinstance(value, list):
        items = [await _plain(each, (*path, str(at)), is_secret=is_secret) for at, each in enumerate(value)]
        return [each for each, _ in items], is_secret or any(secret for _, secret in items)
    if not isinstance(value, dict):
        return value, is_secret
    parts = {key: await _plain(each, (*path, key), is_secret=is_secret) for key, each in value.items()}
    plain = {key: each for key, (each, _) in parts.items()}
    if path[:-1] == ("images",) and parts.get("buildArgs", (None, False))[1]:
        plain["secretBuildArgs"] = {**plain.pop("buildArgs"), **plain.get("secretBuildArgs", {})}
    return plain, is_secret or any(secret for _, secret in parts.values())


async def serve(engine: str) -> None:
    """Serve the engine, which reads the port from the first line of output."""
    server = grpc.aio.server(options=_GRPC_CHANNEL_OPTIONS)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(package(), [], engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await server.wait_for_termination()


def package() -> Components:
    """Return the package. The descriptions in its schema are docstrings without line breaks and arguments."""
    made = Components([ClusterRegistry], PACKAGE, version=__version__)
    made.schema = json.dumps(json.loads(made.schema or "{}", object_hook=_described))
    return made


def _described(node: dict[str, Any]) -> dict[str, Any]:
    if isinstance(text := node.get("description"), str):
        node["description"] = " ".join(text.partition("\n\n    Args:")[0].split())
    return node


if __name__ == "__main__":
    asyncio.run(serve(next(word for word in sys.argv[1:] if not word.startswith("-"))))
