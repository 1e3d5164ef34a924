"""What Pulumi's users give any component: options, and arguments in the ways that Python allows."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pulumi_docker as docker
import pulumi_kubernetes as kubernetes
import pytest

from components.cluster_registry import ClusterRegistry
from components.registry_image import RegistryImage
from tests.components.test_arguments import output, refusal, registry
from tests.components.test_library import CONTENTS, image_names, inputs, registered
from tests.components.test_program import Monitor, Registered, described
from tests.components.test_volume_guard import cluster


def test_what_a_component_retains_is_all_that_it_has() -> None:
    """An option that is set to False, as by a namespace, is not taken from the parent (source_eval.go of 3.274)."""
    record = registered(lambda: registry(opts=pulumi.ResourceOptions(retain_on_delete=True)))
    chosen = {each.name: each.retainOnDelete for each in record.requests if each.HasField("retainOnDelete")}
    assert chosen == {"registry": True}


@pytest.mark.parametrize(
    ("program", "name"),
    [
        (lambda: ClusterRegistry("registry", kubeContext="prod", kubeconfig="/nowhere"), "kube_context"),  # type: ignore[call-arg]
        (lambda: registry(images={"app": {"secretBuildArgs": {"A": "s3cr3t"}}}), "secret_build_args"),
        (lambda: RegistryImage("app", registry=registry(), secretBuildArgs={"A": "s3cr3t"}), "secret_build_args"),  # type: ignore[call-arg]
    ],
)
def test_names_of_other_languages_are_refused(program: Callable[[], object], name: str) -> None:
    """Passed over, they led to the kubeconfig's current kube context, and to a build argument that was no secret."""
    assert f"its name in Python is {name}. Fix: " in refusal(program)


@pytest.mark.parametrize(
    ("program", "key"),
    [
        (lambda: ClusterRegistry("registry", pulumi.ResourceOptions()), "args"),  # type: ignore[arg-type]
        (lambda: RegistryImage("app", pulumi.ResourceOptions(), registry=registry()), "args"),  # type: ignore[arg-type]
        (lambda: registry(images={"app": "./app"}), "images.app"),
        (lambda: RegistryImage("app", registry=pulumi.ComponentResource("mine:index:Other", "o")), "registry"),  # type: ignore[arg-type]
    ],
)
def test_what_is_of_another_type_is_refused(program: Callable[[], object], key: str) -> None:
    assert f"setting {key}: " in refusal(program)


@pytest.mark.parametrize(
    "empty", [lambda: output(""), lambda: output(None), lambda: output(" "), lambda: output({}), lambda: " ", dict]
)
def test_an_empty_kubeconfig_is_refused(empty: Callable[[], Any]) -> None:
    """Another one would be found where kubectl looks for it, such as production's."""
    assert "a kubeconfig" in refusal(lambda: ClusterRegistry("registry", kubeconfig=empty()))


def test_a_folder_may_be_a_path() -> None:
    def program() -> None:
        made = registry(images={"one": {"context": Path("app")}})
        RegistryImage("two", registry=made, context=Path("app"))  # type: ignore[arg-type]

    assert len(image_names(registered(program))) == 2
    assert set(inputs(registered(program), "docker:index/image:Image")) == {"registry-one", "two"}


class TestAliases:
    """A component that has been renamed takes what it has with it, and what stands beside it."""

    OF_A_URN = "urn:pulumi:old::shop::kube-registry:index:ClusterRegistry::cache"

    @pytest.mark.parametrize(
        ("alias", "prefix", "place"),
        [
            (pulumi.Alias(name="registry"), "", ("", "")),
            (pulumi.Alias(name="cache", stack="old"), "cache-", ("old", "")),
            (pulumi.Alias(project="shop"), "images-", ("", "shop")),
            (OF_A_URN, "cache-", ("old", "shop")),
        ],
    )
    def test_providers_and_memory_follow(self, alias: str | pulumi.Alias, prefix: str, place: tuple[str, str]) -> None:
        opts = pulumi.ResourceOptions(aliases=[alias])
        record = registered(lambda: ClusterRegistry("images", kubeconfig=CONTENTS, opts=opts))
        found = {each.name: [a.spec for a in each.aliases] for each in record.requests}
        for usual in ("cluster", "builder", "cluster-uid"):
            (spec,) = found[f"images-{usual}"]
            assert (spec.name, (spec.stack, spec.project)) == (f"{prefix}{usual}", place)

    def test_an_output_may_name_it(self) -> None:
        def program() -> None:
            opts = pulumi.ResourceOptions(aliases=[output(self.OF_A_URN)])
            ClusterRegistry("images", kube_context="prod", opts=opts)

        record = registered(program)
        (stash,) = (each for each in record.requests if each.name == "images-cluster-uid")
        assert [each.spec.name for each in stash.aliases] == ["cache-cluster-uid"]


class MakingACluster(Monitor):
    """The cluster of a kubeconfig is there once the resource `cluster-made` is."""

    def __init__(self, record: Registered, file: Path) -> None:
        super().__init__(record)
        self.file, self.kubeconfig = file, file.read_text()
        file.unlink()

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, ANN401 - the name and shape of a gRPC method
        if request.name == "cluster-made":
            self.file.write_text(self.kubeconfig)
        return super().RegisterResource(request)


def test_a_cluster_is_asked_once_what_the_registry_depends_on_is_made(tmp_path: Path) -> None:
    """The update ends where this cluster of a few lines has no registry."""
    record, file = Registered(), tmp_path / "kubeconfig"

    def program() -> None:
        mine = pulumi.ComponentResource("mine:index:Cluster", "mine")
        kubernetes.Provider("cluster-made", opts=pulumi.ResourceOptions(parent=mine))
        opts = pulumi.ResourceOptions(depends_on=mine)
        ClusterRegistry("registry", kube_context="nowhere", kubeconfig=str(file), opts=opts)

    def run(monitor: Monitor) -> None:
        with described(monitor, {}, program=program, preview=False):
            pass

    with cluster(file, "uid-a"):
        monitor = MakingACluster(record, file)
        with pytest.raises(pulumi.RunError) as ended:
            run(monitor)
    assert "there is no such file" not in str(ended.value)
    assert inputs(record, "Stash")["cluster-uid"] == {"input": "uid-a"}
    assert "registry-deployment" in inputs(record, "Deployment")


@pytest.mark.parametrize("option", ["provider", "providers"])
def test_a_provider_that_is_brought_warns_of_nothing(option: str) -> None:
    """The SDK warned of our own merging of it: "This will become an error in a future version"."""

    def program() -> None:
        cluster, daemon = kubernetes.Provider("mine", context="prod"), docker.Provider("my-daemon")
        given = {"provider": (cluster, daemon), "providers": ([cluster], [daemon])}[option]
        made = registry(opts=pulumi.ResourceOptions(**{option: given[0]}))
        RegistryImage("app", registry=made, context="./app", opts=pulumi.ResourceOptions(**{option: given[1]}))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ResourceWarning)  # loops that the SDK opened in other tests and never closes
        assert registered(program).requests
