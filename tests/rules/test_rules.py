"""Each policy rule, broken and kept."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from components import nfs_server_pod
from components.node_proxy import Listener, daemon_set_spec
from components.registry_pod import deployment_spec
from kube_registry.rules.allowed_registries import allowed_names
from kube_registry.rules.resource_inputs import UNKNOWN
from kube_registry.rules.rules import Allowed, violations_of
from kube_registry.spec.settings import Settings
from kube_registry.spec.shared_volume import SharedVolumeSettings
from tests.fakes.pods import APPARMOR, BASELINE, CONTENT_TAG, OURS, PRIVILEGED, pod

SETTINGS = Settings.parse({"kubeContext": "c", "images": {"app": {}}}, project="kube-registry", stack="s")
LIMITS = Allowed.of(SETTINGS)
DIGEST = f"sha256:{'0' * 64}"


def templated(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"template": {"spec": spec}}


def found(type_: str, spec: Mapping[str, Any], namespace: str | None = "default") -> dict[str, str]:
    metadata = {"namespace": namespace} if namespace else {}
    return {each.rule: each.text for each in violations_of(type_, "it", {"metadata": metadata, "spec": spec}, LIMITS)}


def service(namespace: str = "kube-registry", **port: object) -> dict[str, str]:
    return found("kubernetes:core/v1:Service", {"ports": [port]}, namespace)


WORKLOADS: dict[str, Callable[[Mapping[str, Any]], Mapping[str, Any]]] = {
    "kubernetes:core/v1:Pod": dict,
    "kubernetes:apps/v1:Deployment": templated,
    "kubernetes:apps/v1:DeploymentPatch": templated,
    "kubernetes:apps/v1:DaemonSet": templated,
    "kubernetes:apps/v1:StatefulSet": templated,
    "kubernetes:apps/v1:ReplicaSet": templated,
    "kubernetes:core/v1:ReplicationController": templated,
    "kubernetes:batch/v1:Job": templated,
    "kubernetes:batch/v1:CronJob": lambda spec: {"jobTemplate": {"spec": templated(spec)}},
}


class TestImages:
    @pytest.mark.parametrize("type_", WORKLOADS)
    def test_those_of_every_workload_are_looked_at(self, type_: str) -> None:
        assert found(type_, WORKLOADS[type_](pod("nginx:1.27"))).keys() == {"pull-reference"}

    @pytest.mark.parametrize("kind", ["initContainers", "containers", "ephemeralContainers"])
    def test_those_of_every_container_are_looked_at(self, kind: str) -> None:
        spec = {kind: [{"name": "first", "image": "nginx:1.27"}]}
        assert "container first runs nginx:1.27" in found("kubernetes:core/v1:Pod", spec)["pull-reference"]

    def test_those_of_volumes_and_of_templates_are_looked_at(self) -> None:
        spec = pod(volumes=[{"name": "data", "image": {"reference": "docker.io/x:latest"}}])
        assert "volume data mounts docker.io/x:latest" in found("kubernetes:core/v1:Pod", spec)["no-latest"]
        spec = pod(volumes=[{"name": "data", "image": {"reference": "docker.io/x:1"}}])
        assert "volume data mounts docker.io/x:1" in found("kubernetes:core/v1:Pod", spec)["pull-reference"]
        template = {"template": {"spec": pod("nginx")}}
        assert [each.rule for each in violations_of("kubernetes:core/v1:PodTemplate", "it", template, LIMITS)] == [
            "no-latest"
        ]

    @pytest.mark.parametrize(
        "image",
        [
            OURS,
            f"{OURS}@{DIGEST}",
            f"localhost:30100/team/app@{DIGEST}",
            f"localhost:30100/app:v1@{DIGEST}",
            SETTINGS.registry_image,
            SETTINGS.proxy_image,
            UNKNOWN,
        ],
    )
    def test_what_is_pinned_or_not_known_yet_is_good(self, image: str) -> None:
        assert found("kubernetes:core/v1:Pod", pod(image)) == {}

    @pytest.mark.parametrize(
        ("image", "rule"),
        [
            ("nginx", "no-latest"),
            ("nginx:latest", "no-latest"),
            ("registry.example:5000/nginx", "no-latest"),
            (f"localhost:30100/app:latest@{DIGEST}", "no-latest"),
            ("localhost:30100/app:v1", "pull-reference"),
            ("localhost:30100/app:0123456789ABCDEF", "pull-reference"),
            (f"localhost:30101/app:{CONTENT_TAG}", "pull-reference"),
            (f"nginx@{DIGEST}", "pull-reference"),
            ("docker.io/library/registry:3.1.1", "pull-reference"),
        ],
    )
    def test_what_is_not_is_told(self, image: str, rule: str) -> None:
        (text,) = [found("kubernetes:core/v1:Pod", pod(image))[rule]]
        assert image in text
        assert found("kubernetes:core/v1:Pod", pod(image)).keys() == {rule}


class TestAllowedRegistries:
    @pytest.mark.parametrize(
        ("entry", "image"),
        [
            ("postgres", "postgres:16"),
            ("postgres", "docker.io/library/postgres"),
            ("docker.io/library/postgres", "postgres:16"),
            ("docker.io", "team/tool:1"),
            ("docker.io", "index.docker.io/team/tool:1"),
            ("quay.io", "quay.io/team/tool:1"),
            ("quay.io/team", "quay.io/team/tool"),
            ("localhost:5000", "localhost:5000/tool:1"),
            ("registry.example:5000/team/tool", "registry.example:5000/team/tool"),
        ],
    )
    def test_an_image_of_the_list_is_good_by_digest_only(self, entry: str, image: str) -> None:
        assert self.rules(entry, f"{image}@{DIGEST}") == []
        assert self.rules(entry, image) != []

    @pytest.mark.parametrize(
        ("entry", "image"),
        [
            ("postgres", "postgres-evil:16"),
            ("postgres", "evil/postgres:16"),
            ("postgres", "quay.io/postgres:16"),
            ("quay.io", "quay.io:5000/tool:1"),
            ("quay.io", "quay.io.evil.example/tool:1"),
            ("quay.io/team", "quay.io/team2/tool:1"),
            ("team", "team/tool:1"),
        ],
    )
    def test_another_one_is_not(self, entry: str, image: str) -> None:
        assert self.rules(entry, f"{image}@{DIGEST}") == ["pull-reference"]

    @pytest.mark.parametrize("entry", ["", "postgres:16", f"postgres@{DIGEST}", "https://quay.io", "quay.io/", "*"])
    def test_an_entry_that_is_no_registry_is_refused(self, entry: str) -> None:
        with pytest.raises(ValueError, match="Fix: "):
            allowed_names([entry])

    def rules(self, entry: str, image: str) -> list[str]:
        allowed = Allowed.of(SETTINGS, registries=allowed_names([entry]))
        return [each.rule for each in violations_of("kubernetes:core/v1:Pod", "it", {"spec": pod(image)}, allowed)]


class TestWriteDoor:
    @pytest.mark.parametrize(
        "port",
        [
            {"port": 80, "targetPort": 5000},
            {"port": 80, "targetPort": 5000.0},
            {"port": 80, "targetPort": "5000"},
            {"port": 5000},
            {"port": 80, "targetPort": "write"},
        ],
    )
    def test_a_service_that_leads_to_it_is_told(self, port: dict[str, Any]) -> None:
        assert "write door" in service(**port)["write-door"]

    @pytest.mark.parametrize(
        "port", [{"port": 5001, "targetPort": "read"}, {"port": 5000, "targetPort": 5001}, {"port": UNKNOWN}]
    )
    def test_one_that_leads_elsewhere_is_good(self, port: dict[str, Any]) -> None:
        assert service(**port) == {}

    def test_another_namespace_has_no_write_door(self) -> None:
        assert service("shop", port=5000) == {}


class TestNodePort:
    @pytest.mark.parametrize("port", [29999, 32768, 5000.0])
    def test_one_out_of_range_is_told(self, port: float) -> None:
        text = service("shop", port=1, nodePort=port)["node-port"]
        assert f"node port {int(port)} is outside the cluster's range, 30000-32767" in text

    @pytest.mark.parametrize("port", [30000, 32767, UNKNOWN, None])
    def test_one_within_is_good(self, port: object) -> None:
        assert service("shop", port=1, nodePort=port) == {}

    def test_the_range_can_be_another(self) -> None:
        allowed = Allowed.of(SETTINGS, range(20000, 20010))
        inputs = {"spec": {"ports": [{"port": 1, "nodePort": 20009}]}}
        assert violations_of("kubernetes:core/v1:Service", "it", inputs, allowed) == []


class TestPrivileged:
    @pytest.mark.parametrize("words", PRIVILEGED)
    def test_a_pod_outside_of_the_proxys_namespace_is_told(self, words: str) -> None:
        text = found("kubernetes:core/v1:Pod", PRIVILEGED[words], None)["privileged"]
        assert text == f"{words}, which is allowed only in namespace kube-registry-proxy"

    @pytest.mark.parametrize("kind", ["initContainers", "containers", "ephemeralContainers"])
    def test_every_container_is_looked_at(self, kind: str) -> None:
        spec = {kind: [{"name": "first", "image": OURS, "securityContext": {"procMount": "Unmasked"}}]}
        assert "container first has procMount Unmasked" in found("kubernetes:core/v1:Pod", spec)["privileged"]

    def test_the_annotations_of_a_template_are_looked_at(self) -> None:
        template = {"metadata": {"annotations": {f"{APPARMOR}web": "unconfined"}}, "spec": pod()}
        inputs = {"spec": {"template": template}}
        (finding,) = violations_of("kubernetes:apps/v1:Deployment", "it", inputs, LIMITS)
        assert "container web has the AppArmor profile unconfined" in finding.text

    @pytest.mark.parametrize("name", BASELINE)
    def test_what_baseline_allows_is_good(self, name: str) -> None:
        assert found("kubernetes:core/v1:Pod", BASELINE[name], None) == {}

    @pytest.mark.parametrize("words", PRIVILEGED)
    def test_one_within_is_good(self, words: str) -> None:
        assert found("kubernetes:core/v1:Pod", PRIVILEGED[words], "kube-registry-proxy") == {}


def test_a_shared_volume_has_namespaces_of_its_own() -> None:
    shared = SETTINGS.model_copy(update={"shared_volume": SharedVolumeSettings(namespace="shared")})
    spec = nfs_server_pod.deployment_spec(
        image=OURS, folder="f", user=1000, config="", allow_directory=False, pod=SETTINGS.pod
    )
    server = {"spec": spec}
    for settings, broken in ((SETTINGS, {"privileged"}), (shared, set())):
        inputs = {**server, "metadata": {"namespace": "shared"}}
        violations = violations_of("kubernetes:apps/v1:Deployment", "it", inputs, Allowed.of(settings))
        assert {each.rule for each in violations} == broken


def test_the_program_itself_keeps_all_of_them() -> None:
    assert found("kubernetes:apps/v1:Deployment", deployment_spec(SETTINGS), SETTINGS.namespace) == {}
    proxy = daemon_set_spec(SETTINGS, [Listener("registry", 30100, "10.0.0.1", 5000)])
    assert found("kubernetes:apps/v1:DaemonSet", proxy, SETTINGS.node_proxy_namespace) == {}
    assert found("kubernetes:apps/v1:DaemonSet", proxy, SETTINGS.namespace).keys() == {"privileged"}


@pytest.mark.parametrize("inputs", [{}, {"spec": UNKNOWN}, {"spec": {"template": None}}, {"spec": {"containers": "x"}}])
def test_what_is_not_as_kubernetes_has_it_breaks_nothing(inputs: dict[str, object]) -> None:
    for type_ in (*WORKLOADS, "kubernetes:core/v1:Service", "docker:index/image:Image"):
        assert violations_of(type_, "it", inputs, LIMITS) == []


def test_a_finding_names_kind_and_resource() -> None:
    (finding,) = violations_of("kubernetes:core/v1:Pod", "web", {"spec": pod("nginx")}, LIMITS)
    assert (finding.rule, finding.resource) == ("no-latest", "Pod web")
