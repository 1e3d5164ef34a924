"""The plugin's answers: its own servicer over gRPC, with a monitor and an engine that record what it asks for."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import rpc, settings
from pulumi.runtime.proto import (
    engine_pb2_grpc,
    provider_pb2,
    provider_pb2_grpc,
    resource_pb2,
    resource_pb2_grpc,
)

from components.__main__ import Servicer, package
from tests.components.test_library import KUBECONFIG
from tests.components.test_program import PROGRAM

TOKEN = "kube-registry:index:ClusterRegistry"  # noqa: S105 - as Pulumi calls a type
SOON = 60
IMAGE = {"context": "./app"}
IMAGES = {"app": IMAGE}
UNKNOWN = rpc.UNKNOWN


OUTPUT = {rpc._special_sig_key: rpc._special_output_value_sig, "dependencies": ["urn:pulumi:dev::shop::a:b:C::other"]}
"""An output of a resource as it is sent while it is not known."""


def output(value: object) -> dict[str, object]:
    """One that is known."""
    return {**OUTPUT, "value": value}


def secret(value: object) -> dict[str, object]:
    """A secret of the program, as an engine sends it that knows outputs."""
    return {**OUTPUT, "value": value, "secret": True, "dependencies": []}


def old_secret(value: object) -> dict[str, object]:
    """A secret as others send it, and as the inputs of resources have it."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}


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


@pytest.fixture
def plugin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plugin]:
    monkeypatch.chdir(PROGRAM.parent)
    monkeypatch.setenv("DOCKER_HOST", "ssh://nowhere")  # not asked whether it is there
    before, recorded = settings.SETTINGS, Recorded()
    with serving(recorded) as engine:
        yield Plugin(recorded, engine)
    settings.configure(before)


def test_outputs_are_what_the_schema_promises(plugin: Plugin) -> None:
    (made,) = plugin.construct({"kubeContext": "prod", "images": IMAGES})
    assert set(made) == set(json.loads(package().schema or "")["resources"][TOKEN]["properties"])


def test_numbers_arrive_as_floats_and_are_whole(plugin: Plugin) -> None:
    (made,) = plugin.construct({"kubeContext": "prod", "nodePort": 30111.0, "pushPort": 5005.0})
    assert (made["pullHost"], made["pushAddress"]) == ("localhost:30111", "localhost:5005")
    (service,) = plugin.recorded.inputs("Service").values()
    assert service["spec"]["ports"][0]["nodePort"] == 30111


def one_sentence(refused: RefusedError) -> str:
    """What the plugin said, which has no names of Python, and no lines of a traceback."""
    text = str(refused)
    assert "\n" not in text
    assert re.search(r"<class|Traceback|\w+Error\b", text) is None
    return text


class TestPlainArguments:
    """What decides names has to be known before anything is made."""

    @pytest.mark.parametrize(
        "claim",
        [
            secret({"size": "99Gi"}),
            {"size": secret("99Gi")},
            old_secret({"size": "99Gi"}),
            {"size": old_secret("99Gi")},
            {"size": output("99Gi")},
        ],
    )
    def test_one_that_is_known_has_its_value(self, plugin: Plugin, claim: object) -> None:
        plugin.construct({"kubeContext": "prod", "claim": claim})
        (made,) = plugin.recorded.inputs("PersistentVolumeClaim").values()
        assert made["spec"]["resources"] == {"requests": {"storage": "99Gi"}}

    @pytest.mark.parametrize(
        "images",
        [
            {"app": {**IMAGE, "secretBuildArgs": {"TOKEN": "s3cr3t"}}},
            {"app": {**IMAGE, "secretBuildArgs": {"TOKEN": secret("s3cr3t")}}},
            {"app": {**IMAGE, "buildArgs": {"TOKEN": secret("s3cr3t")}}},
            {"app": {**IMAGE, "buildArgs": {"TOKEN": old_secret("s3cr3t")}}},
            {"app": {**IMAGE, "buildArgs": secret({"TOKEN": "s3cr3t"})}},
            secret({"app": {**IMAGE, "buildArgs": {"TOKEN": "s3cr3t"}}}),
        ],
    )
    def test_a_build_argument_that_is_secret_stays_so(self, plugin: Plugin, images: object) -> None:
        plugin.construct({"kubeContext": "prod", "images": images})
        (image,) = plugin.recorded.inputs("docker:index/image:Image").values()
        assert image["build"]["args"]["TOKEN"]["value"] == "s3cr3t"
        assert image["build"]["args"]["TOKEN"].get("secret", True)

    def test_one_that_is_not_secret_is_plain(self, plugin: Plugin) -> None:
        args = {"buildArgs": {"A": "1"}, "secretBuildArgs": {"B": secret("2")}}
        plugin.construct(
            {"kubeContext": "prod", "claim": secret({"size": "1Gi"}), "images": {"app": {**IMAGE, **args}}}
        )
        (made,) = plugin.recorded.inputs("docker:index/image:Image").values()
        assert made["build"]["args"]["A"] == "1"

    @pytest.mark.parametrize(
        ("given", "key"),
        [
            ({"namespace": UNKNOWN}, "namespace"),
            ({"namespace": OUTPUT}, "namespace"),
            ({"namespace": secret(UNKNOWN)}, "namespace"),
            ({"claim": {"size": OUTPUT}}, "claim.size"),
            ({"images": {"app": {**IMAGE, "buildArgs": {"VERSION": OUTPUT}}}}, "images.app.buildArgs.VERSION"),
            ({"pod": {"tolerations": [{"key": OUTPUT}]}}, "pod.tolerations.0.key"),
        ],
    )
    def test_one_that_is_not_known_is_refused_by_name(
        self, plugin: Plugin, given: Mapping[str, object], key: str
    ) -> None:
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeContext": "prod", **given})
        assert one_sentence(refused.value).startswith(f"argument {key} is not known yet")
        assert "Fix: " in str(refused.value)
        assert plugin.recorded.requests == []

    def test_the_kubeconfig_may_be_unknown(self, plugin: Plugin) -> None:
        (made,) = plugin.construct({"kubeconfig": OUTPUT})
        assert made["pullHost"] == "localhost:30100"


class TestErrors:
    """What a user can correct is a sentence."""

    @pytest.mark.parametrize(
        ("given", "key"),
        [
            ({"nodePort": 80000}, "nodePort"),
            ({"nodePort": 30100.5}, "nodePort"),
            ({"nodePort": "many"}, "nodePort"),
            ({"preflight": "sometimes"}, "preflight"),
            ({"namespace": "Not Ok"}, "namespace"),
            ({"claim": {"size": "big"}}, "claim.size"),
            ({"claim": "5Gi"}, "claim"),
            ({"claim": {"storageClas": "fast"}}, "claim.storageClas"),
            ({"nodeProt": 30100}, "nodeProt"),
        ],
    )
    def test_an_argument_that_is_not_allowed_is_named(
        self, plugin: Plugin, given: Mapping[str, object], key: str
    ) -> None:
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeContext": "prod", **given})
        assert f" {key}: " in one_sentence(refused.value)
        assert "Fix: " in str(refused.value)
        assert plugin.recorded.requests == []

    def test_what_goes_wrong_in_an_image(self, plugin: Plugin) -> None:
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeContext": "prod", "images": {"app": {"context": "./nowhere"}}})
        assert one_sentence(refused.value).startswith("image app: ")

    def test_what_goes_wrong_after_the_constructor(self, plugin: Plugin) -> None:
        """The cluster, whose kubeconfig is known late, does not answer."""
        with pytest.raises(RefusedError) as refused:
            plugin.construct({"kubeconfig": secret(json.dumps(KUBECONFIG))}, preview=False)
        assert "does not answer" in one_sentence(refused.value)
        assert plugin.recorded.inputs("Namespace") == {}


def test_two_at_once_share_nothing(plugin: Plugin) -> None:
    one, two = plugin.construct(
        {"kubeContext": "east", "images": IMAGES}, {"kubeContext": "west", "images": IMAGES, "nodePort": 30101}
    )
    assert (one["pullHost"], two["pullHost"]) == ("localhost:30100", "localhost:30101")
    assert one["pushAddress"] != two["pushAddress"]
    names = [(each.type, each.name) for each in plugin.recorded.requests]
    assert len(set(names)) == len(names)
    assert len(set(plugin.recorded.hooks)) == len(plugin.recorded.hooks)
    providers = plugin.recorded.inputs("pulumi:providers:kubernetes")
    assert {name: given["context"] for name, given in providers.items()} == {
        "cluster": "east",
        "registry-1-cluster": "west",
    }
