"""The methods of the resource provider protocol, which Pulumi's engine calls.

As in the real plugin, Handshake is not implemented (the engine then uses the older configuration), secrets are not
requested, and Read and Delete have no effect.
"""
# ruff: noqa: N802, D102 - the protocol defines the names of the methods, and documents them

import json
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import engine_pb2, plugin_pb2, provider_pb2
from pulumi.runtime.proto.engine_pb2_grpc import EngineStub
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderServicer

from lab.docker_provider import inputs as image_inputs
from lab.docker_provider.daemon import Daemon, configured_host, find
from lab.docker_provider.errors import ProviderError

IMAGE = "docker:index/image:Image"

_CONFIGURABLE = {"host", "version", "caMaterial", "certMaterial", "certPath", "keyMaterial", "registryAuth", "sshOpts"}
_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the protocol's mark of a secret, not a secret itself


class DockerProvider(ResourceProviderServicer):
    """The provider; its methods are those of the protocol.

    Args:
        engine: the engine's address, for progress lines of resources; without it, none are sent.
    """

    def __init__(self, engine: str | None) -> None:
        self._engine = _engine_at(engine) if engine else None
        self._daemon: Daemon | None = None

    def Handshake(self, _request: provider_pb2.ProviderHandshakeRequest, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "method Handshake not implemented")

    def Attach(self, request: plugin_pb2.PluginAttach, _context: grpc.ServicerContext) -> Empty:
        self._engine = _engine_at(request.address)
        return Empty()

    def GetPluginInfo(self, _request: Empty, _context: grpc.ServicerContext) -> plugin_pb2.PluginInfo:
        return plugin_pb2.PluginInfo(version=_version())

    def GetSchema(
        self, _request: provider_pb2.GetSchemaRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.GetSchemaResponse:
        schema = json.loads(files(__package__).joinpath("schema.json").read_text())
        return provider_pb2.GetSchemaResponse(schema=json.dumps({**schema, "version": _version()}))

    def CheckConfig(
        self, request: provider_pb2.CheckRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.CheckResponse:
        failures = [
            provider_pb2.CheckFailure(
                reason="could not validate provider configuration: Invalid or unknown key. "
                f"Examine values at '{request.urn.rpartition('::')[2]}.{key}'."
            )
            for key in sorted(_plain(request.news).keys() - _CONFIGURABLE)
        ]
        return provider_pb2.CheckResponse(inputs=None if failures else request.news, failures=failures)

    def DiffConfig(
        self, request: provider_pb2.DiffRequest, _context: grpc.ServicerContext
    ) -> provider_pb2.DiffResponse:
        changes = image_inputs.diff(_plain(request.old_inputs), _plain(request.news))
        return _diff_response(changes, of_inputs=True) if changes else provider_pb2.DiffResponse()

    def Configure(
        self, request: provider_pb2.ConfigureRequest, context: grpc.ServicerContext
    ) -> provider_pb2.ConfigureResponse:
        with _answering(context, "docker native provider returned an unexpected error from Configure: "):
            self._daemon = find(configured_host(request.variables))
        return provider_pb2.ConfigureResponse(supportsPreview=True, supports_autonaming_configuration=True)

    def Check(self, request: provider_pb2.CheckRequest, context: grpc.ServicerContext) -> provider_pb2.CheckResponse:
        with _answering(context):
            _refuse_other_resources(request.urn)
            checked = image_inputs.check(_plain(request.news), lambda line: self._log(request.urn, line))
        return provider_pb2.CheckResponse(inputs=_struct(checked))

    def Diff(self, request: provider_pb2.DiffRequest, context: grpc.ServicerContext) -> provider_pb2.DiffResponse:
        with _answering(context):
            _refuse_other_resources(request.urn)
            changes = image_inputs.diff(_plain(request.olds).get("__inputs", {}), _plain(request.news))
        if not changes:
            return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)
        return _diff_response(changes)

    def Create(self, request: provider_pb2.CreateRequest, context: grpc.ServicerContext) -> provider_pb2.CreateResponse:
        with _answering(context):
            state = self._build(request.urn, _plain(request.properties), preview=request.preview)
        if not state:
            return provider_pb2.CreateResponse(properties=request.properties)
        return provider_pb2.CreateResponse(id=state["imageName"], properties=_struct(state))

    def Update(self, request: provider_pb2.UpdateRequest, context: grpc.ServicerContext) -> provider_pb2.UpdateResponse:
        with _answering(context):
            state = self._build(request.urn, _plain(request.news), preview=request.preview)
        return provider_pb2.UpdateResponse(properties=_struct(state) if state else request.news)

    def Read(self, request: provider_pb2.ReadRequest, _context: grpc.ServicerContext) -> provider_pb2.ReadResponse:
        return provider_pb2.ReadResponse(id=request.id, inputs=request.inputs, properties=request.properties)

    def Delete(self, _request: provider_pb2.DeleteRequest, _context: grpc.ServicerContext) -> Empty:
        return Empty()

    def Invoke(self, request: provider_pb2.InvokeRequest, context: grpc.ServicerContext) -> None:
        with _answering(context):
            _refuse(request.tok)

    def Cancel(self, _request: Empty, _context: grpc.ServicerContext) -> Empty:
        if self._daemon:
            self._daemon.cancel()
        return Empty()

    def _build(self, urn: str, inputs: dict[str, Any], *, preview: bool) -> dict[str, Any] | None:
        """Build the image and push it; return None if this is a preview that does not build."""
        from lab.docker_provider.build import build_and_push  # noqa: PLC0415 - lets the plugin listen sooner

        _refuse_other_resources(urn)
        if preview and not self._can_preview(urn, inputs):
            return None
        if not self._daemon:
            raise ProviderError("the provider was not configured")
        image_inputs.check_destination(inputs)
        image = image_inputs.Image.parse(inputs)
        push = not (preview or image.skip_push)
        outputs = build_and_push(
            self._daemon,
            image,
            lambda line: self._log(urn, line, ephemeral=True),
            push=push,
            warn=lambda line: self._log(urn, line, severity=engine_pb2.WARNING),
        )
        return {**outputs, "__inputs": {_SIGNATURE: _SECRET, "value": inputs}}

    def _can_preview(self, urn: str, inputs: dict[str, Any]) -> bool:
        if not inputs.get("buildOnPreview"):
            return False
        known = image_inputs.can_preview(inputs)
        if not known:
            self._log(
                urn,
                "Minimum inputs for build are unresolved. Continuing without preview image build. To avoid this "
                "warning, ensure image name, dockerfile, args, and context are resolved at preview.",
                severity=engine_pb2.WARNING,
            )
        return known

    def _log(
        self,
        urn: str,
        line: str,
        *,
        ephemeral: bool = False,
        severity: "engine_pb2.LogSeverity.ValueType" = engine_pb2.INFO,
    ) -> None:
        if self._engine:
            self._engine.Log(engine_pb2.LogRequest(severity=severity, message=line, urn=urn, ephemeral=ephemeral))


@contextmanager
def _answering(context: grpc.ServicerContext, prefix: str = "") -> Iterator[None]:
    try:
        yield
    except ProviderError as error:
        context.abort(grpc.StatusCode.UNKNOWN, f"{prefix}{error}")


def _refuse_other_resources(urn: str) -> None:
    token = urn.split("::")[2].rpartition("$")[2]
    if token != IMAGE:
        _refuse(token)


def _refuse(token: str) -> None:
    raise ProviderError(
        f"the offline stand-in for the Docker provider supports {IMAGE} only, not {token}. "
        f"Fix: install the real plugin with `pulumi plugin install resource docker {_version()}`"
    )


def _version() -> str:
    """Return the version of the SDK, which the plugin has to match."""
    return version("pulumi-docker")


def _engine_at(address: str) -> EngineStub:
    return EngineStub(grpc.insecure_channel(address))


def _diff_response(changes: dict[str, str], *, of_inputs: bool = False) -> provider_pb2.DiffResponse:
    return provider_pb2.DiffResponse(
        changes=provider_pb2.DiffResponse.DIFF_SOME,
        diffs=changes.keys() if of_inputs else (),
        detailedDiff={
            key: provider_pb2.PropertyDiff(kind=provider_pb2.PropertyDiff.Kind.Value(kind), inputDiff=of_inputs)
            for key, kind in changes.items()
        },
        hasDetailedDiff=not of_inputs,
    )


def _plain(struct: Struct) -> dict[str, Any]:
    """Return a message's properties, without nulls and without the marks of secrets."""
    return {key: _reveal(value) for key, value in MessageToDict(struct).items() if value is not None}


def _reveal(value: Any) -> Any:  # noqa: ANN401 - JSON
    if isinstance(value, list):
        return [_reveal(item) for item in value]
    if isinstance(value, dict):
        if value.get(_SIGNATURE) == _SECRET:
            return _reveal(value["value"])
        return {key: _reveal(item) for key, item in value.items() if item is not None}
    return value


def _struct(properties: dict[str, Any]) -> Struct:
    struct = Struct()
    struct.update(properties)
    return struct
