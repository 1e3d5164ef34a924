"""What a program gives the components: taken as Pulumi takes it, or refused in one sentence that names it."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker
import pulumi_kubernetes as kubernetes
import pytest
from pulumi.runtime import rpc

from components.cluster_registry import ClusterRegistry
from components.errors import as_run_error
from components.registry_image import RegistryImage
from components.settings import config_args, settings_of
from kube_registry.kube.errors import KubeconfigError
from kube_registry.kube.kubeconfig import current_context
from kube_registry.registry.errors import NodePortError
from kube_registry.spec.settings import RegistrySettings, Settings
from kube_registry.tunnel.errors import PushPortBusyError
from tests.components.test_library import CONTENTS, KUBECONFIG, inputs, registered
from tests.components.test_program import Monitor, Registered, described
from tests.components.test_volume_guard import Keeping, cluster


class Place(pulumi.ComponentResource):
    """A component of the person's own, which brings providers."""

    def __init__(self, *providers: pulumi.ProviderResource) -> None:
        super().__init__("mine:index:Place", "place", opts=pulumi.ResourceOptions(providers=list(providers)))


def registry(**given: Any) -> ClusterRegistry:  # noqa: ANN401 - what a program without types gives
    return ClusterRegistry("registry", **{"kube_context": "prod", **given})


def refusal(program: Callable[[], object]) -> str:
    with pytest.raises(pulumi.RunError) as refused:
        registered(program)
    text = str(refused.value)
    assert "\n" not in text
    assert "Fix: " in text
    return text


def output(value: object) -> pulumi.Output[Any]:
    return pulumi.Output.from_input(value)


@pytest.mark.parametrize("nothing", [{}, {"kubeconfig": None}, {"kubeconfig": ""}, {"kube_context": None}])
def test_no_cluster_is_refused(nothing: dict[str, Any]) -> None:
    assert "a kubeconfig" in refusal(lambda: ClusterRegistry("registry", **nothing))


def test_arguments_that_are_none_are_not_given() -> None:
    def program() -> None:
        made = registry(node_port=None, pod=None, images={"a": {"context": "./app", "target": None}})
        RegistryImage("b", None, registry=made, context="./app", platform=None, repository=None, build_args=None)  # type: ignore[arg-type]

    assert set(inputs(registered(program), "docker:index/image:Image")) == {"registry-a", "b"}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (lambda: {"namespace": output("x")}, "namespace"),
        (lambda: {"kube_context": output("x")}, "kubeContext"),
        (lambda: {"claim": {"size": output("1Gi")}}, "claim.size"),
        (lambda: {"images": output({"app": {"context": "./app"}})}, "images"),
        (lambda: {"images": {"app": {"build_args": {"VERSION": output("1")}}}}, "images.app.buildArgs.VERSION"),
        (lambda: {"images": {"app": {"secret_build_args": {"TOKEN": output("s")}}}}, "images.app.buildArgs.TOKEN"),
    ],
)
def test_an_output_where_a_plain_value_is_needed_is_refused_by_name(
    given: Callable[[], dict[str, Any]], key: str
) -> None:
    assert f"setting {key}: an output" in refusal(lambda: registry(**given()))


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"platform": "amd64"}, "platform"),
        ({"repository": "Not/Ok"}, "repository"),
        ({"build_arg": {"A": "1"}}, "buildArg"),
        ({"build_args": {"A": ["1"]}}, "buildArgs.A"),
    ],
)
def test_a_wrong_argument_of_an_image_is_named(given: dict[str, Any], key: str) -> None:
    text = refusal(lambda: RegistryImage("app", registry=registry(), **{"context": "./app", **given}))
    assert f"setting {key}: " in text


def test_an_output_in_an_image_is_refused_by_name() -> None:
    text = refusal(lambda: RegistryImage("app", registry=registry(), secret_build_args={"A": output("1")}))  # type: ignore[dict-item]
    assert "setting buildArgs.A: an output" in text


@pytest.mark.parametrize("wrong", [None, "registry"])
def test_an_image_needs_its_registry(wrong: Any) -> None:  # noqa: ANN401 - what a program without types gives
    assert "setting registry: " in refusal(lambda: RegistryImage("app", registry=wrong, context="./app"))


def test_a_secret_build_argument_is_repeated_by_no_error() -> None:
    images = {"app": {"secret_build_args": {"TOKEN": ["s3cr3t"]}}}
    assert "s3cr3t" not in refusal(lambda: registry(images=images))


@pytest.mark.parametrize("how", ["map", "text", "output of a map", "awaitable"])
def test_a_kubeconfig_is_taken_in_every_form(how: str) -> None:
    """Such as eks.Cluster gives it: a map in an output."""

    async def later() -> str:
        await asyncio.sleep(0)
        return CONTENTS

    forms: dict[str, Callable[[], Any]] = {
        "map": lambda: KUBECONFIG,
        "text": lambda: CONTENTS,
        "output of a map": lambda: output(KUBECONFIG),
        "awaitable": later,
    }
    record = registered(lambda: ClusterRegistry("registry", kubeconfig=forms[how]()))
    (given,) = inputs(record, "pulumi:providers:kubernetes").values()
    assert json.loads(rpc.unwrap_rpc_secret(given["kubeconfig"])) == KUBECONFIG


def test_a_push_port_of_0_is_derived_for_each_registry() -> None:
    ports: list[str] = []
    registered(
        lambda: ports.extend(ClusterRegistry(n, kube_context="x", push_port=0).push_address for n in ("east", "west"))
    )
    assert len(set(ports)) == 2


@pytest.mark.parametrize("how", ["provider", "list", "map", "parent"])
def test_providers_of_the_persons_own_are_used(how: str) -> None:
    def options(*providers: pulumi.ProviderResource) -> pulumi.ResourceOptions:
        return {
            "provider": lambda: pulumi.ResourceOptions(provider=providers[0]),
            "list": lambda: pulumi.ResourceOptions(providers=list(providers)),
            "map": lambda: pulumi.ResourceOptions(providers={each.package: each for each in providers}),
            "parent": lambda: pulumi.ResourceOptions(parent=Place(*providers)),
        }[how]()

    def program() -> None:
        mine = kubernetes.Provider("mine", context="prod"), docker.Provider("my-daemon")
        made = ClusterRegistry("registry", kube_context="prod", opts=options(mine[0]))
        RegistryImage("app", registry=made, context="./app", opts=options(mine[1]))

    record = registered(program)
    used = {each.type.partition(":")[0]: each.provider.split("::")[-2] for each in record.requests if each.provider}
    assert used == {"kubernetes": "mine", "docker": "my-daemon"}


def test_another_cluster_is_refused_whoever_brings_the_provider(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    before = Registered()

    def program() -> None:
        mine = kubernetes.Provider("mine", context="nowhere")
        ClusterRegistry("registry", kubeconfig=str(file), opts=pulumi.ResourceOptions(provider=mine))

    def run(monitor: Monitor, uid: str) -> None:
        with cluster(file, uid):
            file.write_text(json.dumps({**json.loads(file.read_text()), "current-context": "nowhere"}))
            with described(monitor, {}, program=program):
                pass

    run(Monitor(before), "uid-a")
    with pytest.raises(pulumi.RunError) as refused:
        run(Keeping(Registered(), before), "uid-b")
    for part in ("uid-a", "uid-b", "kube context 'nowhere'"):
        assert part in str(refused.value)


class TestErrorsOfACluster:
    """A live error names what has to be changed: an argument, or a key of the stack's config."""

    GIVEN: Any = {"kube_context": "prod"}  # noqa: RUF012 - arguments are a map

    @staticmethod
    def sentence(error: Exception) -> str:
        try:
            with as_run_error():
                raise error
        except pulumi.RunError as refused:
            return str(refused)

    def test_an_argument(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
        monkeypatch.setattr(pulumi, "get_project", lambda: "shop")
        where = settings_of("registry", self.GIVEN, in_config=False).where
        for error in (PushPortBusyError(where, 21000, "x"), NodePortError(where, 30100, "x", 30101)):
            text = self.sentence(error)
            assert "pulumi config" not in text
            assert "Port: " in text
            assert "ClusterRegistry 'registry'" in text

    def test_a_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pulumi, "get_stack", lambda: "dev")
        monkeypatch.setattr(pulumi, "get_project", lambda: "kube-registry")
        config = {"kubeContext": "prod", "images": {"app": {"context": "./app"}}}
        args = config_args(Settings.parse(config, project="kube-registry", stack="dev"))
        where = settings_of("registry", args, in_config=True).where
        assert "`pulumi config --stack dev set pushPort 21001`" in self.sentence(PushPortBusyError(where, 21000, "x"))


def test_a_kubeconfig_that_is_missing_is_named(tmp_path: Path) -> None:
    address = RegistrySettings(kube_context="shop-dev-registry", kubeconfig=str(tmp_path / "missing"), push_port=21000)
    with pytest.raises(KubeconfigError) as raised:
        current_context(address)
    assert raised.value.reason == "there is no such file"


def test_a_build_context_that_is_missing_is_reported_before_a_resource_is_registered() -> None:
    record = Registered()
    images = {"app": {"context": "./app"}, "other": {"context": "./nowhere"}}
    with (
        pytest.raises(pulumi.RunError, match="nowhere is not a folder"),
        described(Monitor(record), {}, program=lambda: registry(images=images)),
    ):
        pass
    assert [each.type for each in record.requests] == ["pulumi:pulumi:Stack"]
