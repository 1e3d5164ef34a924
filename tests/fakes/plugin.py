"""An engine that makes nothing, and the plugin's own servicer, which it calls over gRPC."""

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import (
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from components.__main__ import Servicer, package

TOKEN = "kube-registry:index:ClusterRegistry"  # noqa: S105 - as Pulumi calls a type
SOON = 60


@dataclass
class Recorded(resource_pb2_grpc.ResourceMonitorServicer, engine_pb2_grpc.EngineServicer):
    """An engine that makes nothing: the outputs of a resource are its inputs."""

    requests: list[Any] = field(default_factory=list)
    hooks: list[str] = field(default_factory=list)

    def SupportsFeature(self, *_: object) -> Any:  # noqa: N802, ANN401 - names and messages of gRPC, here and below
        return resource_pb2.SupportsFeatureResponse(hasSupport=True)

    def GetDeploymentInfo(self, *_: object) -> Any:  # noqa: N802, ANN401
        known = resource_pb2.ResourceMonitorFeature.values()
        return resource_pb2.DeploymentInfo(supportedFeatures=known)

    def RegisterResource(self, request: Any, _: object) -> Any:  # noqa: N802, ANN401
        self.requests.append(request)
        outputs = struct_pb2.Struct()
        outputs.CopyFrom(request.object)
        if "input" in outputs.fields:  # of a Stash
            outputs.fields["output"].CopyFrom(outputs.fields["input"])
        urn = f"urn:pulumi:dev::shop::{request.type}::{request.name}"
        return resource_pb2.RegisterResourceResponse(urn=urn, id=request.name, object=outputs)

    def RegisterResourceOutputs(self, *_: object) -> Any:  # noqa: N802, ANN401
        return empty_pb2.Empty()

    def RegisterResourceHook(self, request: Any, _: object) -> Any:  # noqa: N802, ANN401
        self.hooks.append(request.name)
        return empty_pb2.Empty()

    def RegisterErrorHook(self, request: Any, _: object) -> Any:  # noqa: N802, ANN401
        self.hooks.append(request.name)
        return empty_pb2.Empty()

    def Log(self, *_: object) -> Any:  # noqa: N802, ANN401
        return empty_pb2.Empty()

    def inputs(self, kind: str) -> dict[str, dict[str, Any]]:
        """Inputs of the resources of a type, by name."""
        found = [each for each in self.requests if each.type.endswith(kind)]
        return {each.name: MessageToDict(each.object) for each in found}


class RefusedError(Exception):
    """The plugin refused a construct, in these words."""


@dataclass(frozen=True)
class Plugin:
    """The plugin, as an engine calls it.

    Args:
        recorded: what it has asked the engine for.
        engine: the address of that.
    """

    recorded: Recorded
    engine: str

    def construct(self, *inputs: Mapping[str, object], preview: bool = True) -> list[dict[str, Any]]:
        """The outputs of components, which are constructed at once; the first is called `registry`.

        Raises:
            RefusedError: one of them was refused.
        """
        return asyncio.run(self._construct(inputs, preview=preview))

    async def _construct(self, inputs: tuple[Mapping[str, object], ...], *, preview: bool) -> list[dict[str, Any]]:
        server = grpc.aio.server()
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(Servicer(package(), [], self.engine), server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            async with asyncio.timeout(SOON), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
                ask = provider_pb2_grpc.ResourceProviderStub(channel).Construct
                names = ("registry", *(f"registry-{each}" for each in range(1, len(inputs))))
                asked = [
                    ask(self._request(name, given, preview=preview)) for name, given in zip(names, inputs, strict=True)
                ]
                return [MessageToDict(answer.state) for answer in await asyncio.gather(*asked)]
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.INVALID_ARGUMENT:
                raise
            raise RefusedError(error.details()) from error
        finally:
            await server.stop(0)

    def _request(self, name: str, given: Mapping[str, object], *, preview: bool) -> Any:  # noqa: ANN401
        inputs = struct_pb2.Struct()
        inputs.update(given)
        return provider_pb2.ConstructRequest(
            project="shop",
            stack="dev",
            type=TOKEN,
            name=name,
            inputs=inputs,
            monitorEndpoint=self.engine,
            dryRun=preview,
            parallel=4,
            organization="organization",
        )


@contextmanager
def serving(recorded: Recorded) -> Iterator[str]:
    """The address of an engine; its plugin's calls block threads, so it has threads of its own."""
    server = grpc.server(ThreadPoolExecutor(8))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(recorded, server)
    engine_pb2_grpc.add_EngineServicer_to_server(recorded, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
