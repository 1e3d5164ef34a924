"""The whole program against a recording monitor: rules that hold for everything it registers, in preview."""

import asyncio
import json
import re
import runpy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pulumi
import pytest
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, rpc, settings
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from kube_registry.names import READ_PORT, WRITE_PORT

PROGRAM = Path(__file__).parents[2] / "__main__.py"
CONFIG = {
    "kube-registry:kubeContext": "nowhere",
    "kube-registry:images": json.dumps({"app": {"context": "./app"}, "team/other": {"context": "./app"}}),
}
SECRET = "s3cr3tOfNpm"  # noqa: S105 - of this test
SECRET_MARK = rpc._special_secret_sig
"""What marks a secret on the wire."""

WITH_SECRETS = {
    **CONFIG,
    "kube-registry:images": json.dumps(
        {"app": {"context": "./app", "buildArgs": {"NPM_TOKEN": SECRET, "NODE": 20}}, "b": {"context": "./app"}}
    ),
}
POD = {
    "nodeSelector": {"pool": "infra"},
    "tolerations": [{"key": "dedicated", "value": "x", "effect": "NoSchedule"}],
    "resources": {"limits": {"memory": "1Gi", "cpu": 2}},
    "priorityClass": "important",
    "user": "platform",
}
WITH_POD = {**CONFIG, "kube-registry:exposure": "nodeProxy", "kube-registry:pod": json.dumps(POD)}
WITH_PROXY = {**CONFIG, "kube-registry:exposure": "nodeProxy"}
S3 = {"bucket": "images", "region": "eu-central-1", "endpoint": "http://s3.example:9000", "rootFolder": "registry"}
WITH_S3 = {
    **CONFIG,
    "kube-registry:s3": json.dumps({**S3, "secret": "keys-of-s3"}),
    "kube-registry:replicas": "2",
}
ROOT_USER = 0


class Engine(Mocks):
    """Gives inputs back as outputs, with what a real provider would add."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program calls no provider function, but it called {args.token}")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        outputs = dict(args.inputs)
        if args.typ == STASH:
            outputs["output"] = outputs["input"]
        if args.typ == "kubernetes:core/v1:PersistentVolumeClaim":
            outputs["metadata"] = {**outputs["metadata"], "uid": "invented by a dry run"}
        return args.name, outputs


@dataclass
class Registered:
    """What the engine was told."""

    resources: dict[str, Any] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)

    def secrets(self) -> dict[str, list[str]]:
        """The inputs that are secret, by the names of their resources."""
        inputs = {each.name: rpc.deserialize_properties(each.object, keep_unknowns=True) for each in self.requests}
        found = {name: [key for key, value in of.items() if rpc.is_rpc_secret(value)] for name, of in inputs.items()}
        return {name: keys for name, keys in found.items() if keys}

    def of_type(self, token: str) -> list[dict[str, Any]]:
        return [resource.state for urn, resource in self.resources.items() if urn.split("::")[2].endswith(token)]

    def containers(self) -> list[dict[str, Any]]:
        owners = self.of_type("Deployment") + self.of_type("DaemonSet")
        pods = [owner["spec"]["template"]["spec"] for owner in owners]
        return [
            {"pod": pod, **container}
            for pod in pods
            for container in (*pod.get("initContainers", ()), *pod["containers"])
        ]


class Monitor(mocks.MockMonitor):
    """Remembers registered outputs and providers too."""

    def __init__(self, record: Registered) -> None:
        super().__init__(Engine())
        self.record = record
        self.resources = record.resources

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802, ANN401 - the name and shape of a gRPC method
        response = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        self.record.providers[response.urn] = request.provider
        self.record.requests.append(request)
        return response

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802, ANN401 - the name and shape of a gRPC method
        self.record.outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


@pytest.fixture
def config() -> dict[str, str]:
    return CONFIG


@pytest.fixture
def secret_keys() -> list[str]:
    return []


def ours() -> None:
    """Run the program, and return none of its names: Pulumi would make outputs of them, which Python 3.14 refuses."""
    runpy.run_path(str(PROGRAM), run_name="__main__")


@contextmanager
def described(
    monitor: Monitor,
    config: dict[str, str],
    secret_keys: Sequence[str] = (),
    program: Callable[[], object] = ours,
    *,
    preview: bool = True,
) -> Iterator[None]:
    """Run a program; what a monitor has recorded can be looked at until the end."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda *_: None)  # of a program that fails, every output has the error that `run` raises
    asyncio.set_event_loop(loop)  # which Pulumi's test decorator expects to find
    before = settings.SETTINGS
    settings.ROOT.set(None)  # the stack that an earlier program of this process registered has another name
    mocks.set_mocks(
        Engine(), project="kube-registry", stack="dev", preview=preview, monitor=monitor, organization="organization"
    )
    pulumi.runtime.set_all_config(config, list(secret_keys))

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def run() -> object:
        return program()

    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(PROGRAM.parent)
            patch.setenv("DOCKER_HOST", "ssh://nowhere")  # not asked whether it is there
            run()
        yield
    finally:
        settings.configure(before)
        loop.close()


@pytest.fixture
def registered(config: dict[str, str], secret_keys: list[str]) -> Iterator[Registered]:
    record = Registered()
    with described(Monitor(record), config, secret_keys):
        yield record


STASH = "pulumi:index:Stash"
COMPONENTS = {f"kube-registry:index:{kind}" for kind in ("ClusterRegistry", "NodeProxy", "RegistryImage")}


def ancestry(urn: str) -> list[str]:
    """Types of a resource's parents below the stack and of itself, outermost first."""
    return urn.split("::")[2].removeprefix("pulumi:pulumi:Stack$").split("$")


@pytest.mark.parametrize("config", [CONFIG, WITH_PROXY, WITH_S3], ids=["plain", "with node proxy", "with a bucket"])
class TestRules:
    def test_every_resource_stands_under_a_component(self, registered: Registered) -> None:
        for urn in registered.resources:
            outermost = ancestry(urn)[0]
            assert outermost in {*COMPONENTS, STASH} or outermost.startswith("pulumi:providers:"), urn

    def test_every_component_registers_its_outputs(self, registered: Registered) -> None:
        components = [urn for urn in registered.resources if ancestry(urn)[-1] in COMPONENTS]
        assert len(components) >= 3
        assert all(registered.outputs[urn] for urn in components)

    def test_every_resource_has_an_explicit_provider(self, registered: Registered) -> None:
        children = [
            urn
            for urn in registered.resources
            if len(ancestry(urn)) > 1 and ancestry(urn)[-1] not in {*COMPONENTS, STASH}
        ]
        assert len(children) >= 8
        for urn in children:
            assert registered.providers[urn].split("::")[-2] in ("cluster", "builder"), urn

    def test_nothing_runs_as_root_or_can_become_it(self, registered: Registered) -> None:
        assert registered.containers()
        for container in registered.containers():
            pod, own = container["pod"]["securityContext"], container["securityContext"]
            assert pod["runAsNonRoot"] is True
            assert pod["runAsUser"] != ROOT_USER
            assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert own["readOnlyRootFilesystem"] is True

    def test_no_pod_holds_a_token_for_the_api(self, registered: Registered) -> None:
        for container in registered.containers():
            assert container["pod"]["automountServiceAccountToken"] is False
            assert container["pod"]["enableServiceLinks"] is False

    def test_every_container_asks_for_something_and_is_limited(self, registered: Registered) -> None:
        for container in registered.containers():
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


class TestDoors:
    def test_the_write_door_is_on_no_service(self, registered: Registered) -> None:
        ports = [port for service in registered.of_type("Service") for port in service["spec"]["ports"]]
        assert {port["port"] for port in ports} == {READ_PORT}
        assert {port["targetPort"] for port in ports} == {"read"}
        declared = [
            port["containerPort"] for container in registered.containers() for port in container.get("ports", [])
        ]
        assert WRITE_PORT not in declared

    def test_the_write_door_listens_on_the_pods_loopback_and_the_read_door_cannot_write(
        self, registered: Registered
    ) -> None:
        (config,) = registered.of_type("ConfigMap")
        write, read = (json.loads(config["data"][name]) for name in ("write.yml", "read.yml"))
        assert write["http"]["addr"] == f"127.0.0.1:{WRITE_PORT}"
        assert read["storage"]["maintenance"]["readonly"] == {"enabled": True}
        assert "delete" not in read["storage"]

    def test_neither_door_remembers_blobs_that_garbage_collection_may_take(self, registered: Registered) -> None:
        (config,) = registered.of_type("ConfigMap")
        assert all("cache" not in json.loads(text)["storage"] for text in config["data"].values())

    def test_a_changed_configuration_changes_the_pod(self, registered: Registered) -> None:
        (deployment,) = registered.of_type("Deployment")
        assert deployment["spec"]["template"]["metadata"]["annotations"]["kube-registry/config"]


class TestFences:
    def test_no_pod_of_the_namespace_may_have_more_rights_than_the_registry(self, registered: Registered) -> None:
        (namespace,) = registered.of_type("core/v1:Namespace")
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
        assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce-version"] == "latest"

    def test_the_policy_lets_everybody_to_the_read_door_and_nowhere_else(self, registered: Registered) -> None:
        (policy,) = registered.of_type("NetworkPolicy")
        (deployment,) = registered.of_type("Deployment")
        assert policy["spec"]["podSelector"] == deployment["spec"]["selector"]
        assert policy["spec"]["policyTypes"] == ["Ingress"]
        assert policy["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": READ_PORT}]}]


@pytest.mark.parametrize("config", [WITH_PROXY], ids=[""])
class TestNodeProxy:
    def test_it_listens_on_loopback_and_leads_to_the_read_door(self, registered: Registered) -> None:
        (config,) = (each["data"] for each in registered.of_type("ConfigMap") if "haproxy.cfg" in each["data"])
        lines = [line.split() for line in config["haproxy.cfg"].splitlines()]
        assert [line[1] for line in lines if line[:1] == ["bind"]] == ["127.0.0.1:30100", "[::1]:30100"]
        assert [line[2] for line in lines if line[:1] == ["server"]] == [f'"${{REGISTRY}}:{READ_PORT}"']

    def test_nothing_is_open_on_the_nodes_addresses(self, registered: Registered) -> None:
        assert {service["spec"]["type"] for service in registered.of_type("Service")} == {"ClusterIP"}

    def test_it_leads_to_the_service_that_no_exposure_changes(self, registered: Registered) -> None:
        sent = {each.name: each for each in registered.requests}
        of_spec = sent["registry-proxy-daemon-set"].propertyDependencies["spec"].urns
        assert [urn.rpartition("::")[2] for urn in of_spec if "Service" in urn] == ["registry-read-service"]

    def test_a_node_port_is_given_up_once_every_node_proxy_is_ready(self, registered: Registered) -> None:
        (service,) = (each for each in registered.requests if each.name == "registry-service")
        assert {"registry-deployment", "registry-proxy-daemon-set"} <= {
            urn.rpartition("::")[2] for urn in service.dependencies
        }
        assert list(service.hooks.before_update) == ["registry:port", "registry:ready-first"]

    def test_it_is_on_every_node_whatever_taints_that_has(self, registered: Registered) -> None:
        (daemon_set,) = registered.of_type("DaemonSet")
        pod = daemon_set["spec"]["template"]["spec"]
        assert pod["hostNetwork"] is True
        assert pod["tolerations"] == [{"operator": "Exists"}]
        assert not any(container.get("ports") for container in pod["containers"])

    def test_an_update_leaves_no_node_without(self, registered: Registered) -> None:
        (daemon_set,) = registered.of_type("DaemonSet")
        assert daemon_set["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"] == 0

    def test_only_its_own_namespace_is_privileged(self, registered: Registered) -> None:
        enforced = {
            each["metadata"]["name"]: each["metadata"]["labels"]["pod-security.kubernetes.io/enforce"]
            for each in registered.of_type("Namespace")
        }
        assert enforced == {"kube-registry": "restricted", "kube-registry-proxy": "privileged"}
        (daemon_set,) = registered.of_type("DaemonSet")
        assert daemon_set["metadata"]["namespace"] == "kube-registry-proxy"


def pods(registered: Registered) -> dict[str, Any]:
    """Kind of each owner -> the spec of its pods."""
    return {
        kind: owner["spec"]["template"]["spec"]
        for kind in ("Deployment", "DaemonSet")
        for owner in registered.of_type(kind)
    }


class TestPod:
    @pytest.mark.parametrize("config", [WITH_PROXY, WITH_POD], ids=["plain", "chosen"])
    def test_no_pod_is_for_windows(self, registered: Registered) -> None:
        for pod in pods(registered).values():
            assert pod["nodeSelector"]["kubernetes.io/os"] == "linux"

    @pytest.mark.parametrize("config", [WITH_POD], ids=[""])
    def test_the_registry_is_placed_and_run_as_chosen(self, registered: Registered) -> None:
        pod = pods(registered)["Deployment"]
        assert pod["nodeSelector"] == {"kubernetes.io/os": "linux", "pool": "infra"}
        assert pod["tolerations"] == POD["tolerations"]
        assert pod["priorityClassName"] == "important"
        for container in pod["containers"]:
            assert container["resources"] == {
                "requests": {"cpu": "50m", "memory": "64Mi"},
                "limits": {"memory": "1Gi", "cpu": "2"},
            }

    @pytest.mark.parametrize("config", [WITH_POD], ids=[""])
    def test_only_priority_and_user_reach_the_node_proxy(self, registered: Registered) -> None:
        pod = pods(registered)["DaemonSet"]
        assert pod["nodeSelector"] == {"kubernetes.io/os": "linux"}
        assert pod["tolerations"] == [{"operator": "Exists"}]
        assert pod["priorityClassName"] == "important"
        assert pod["containers"][0]["resources"]["limits"] == {"memory": "64Mi"}

    @pytest.mark.parametrize("config", [WITH_POD], ids=[""])
    def test_a_user_that_the_platform_gives_is_named_nowhere(self, registered: Registered) -> None:
        for pod in pods(registered).values():
            assert not {"runAsUser", "runAsGroup", "fsGroup"} & pod["securityContext"].keys()
            assert pod["securityContext"]["runAsNonRoot"] is True


def with_s3(**more: object) -> dict[str, str]:
    return {**CONFIG, "kube-registry:s3": json.dumps({**S3, **more})}


class TestBucket:
    @pytest.mark.parametrize("config", [WITH_S3], ids=[""])
    def test_there_is_no_volume(self, registered: Registered) -> None:
        pod = pods(registered)["Deployment"]
        assert not registered.of_type("PersistentVolumeClaim")
        assert [volume["name"] for volume in pod["volumes"]] == ["config"]
        assert [[mount["name"] for mount in each["volumeMounts"]] for each in pod["containers"]] == [["config"]] * 2

    @pytest.mark.parametrize(
        ("config", "redirects"), [(WITH_S3, False), (with_s3(redirect=True), True)], ids=["from the pods", "redirected"]
    )
    def test_both_doors_use_it_and_only_the_read_door_redirects(self, registered: Registered, redirects: bool) -> None:  # noqa: FBT001
        (config,) = registered.of_type("ConfigMap")
        write, read = (json.loads(config["data"][name])["storage"] for name in ("write.yml", "read.yml"))
        assert write["s3"] == read["s3"]
        assert write["s3"] == {
            "bucket": "images",
            "region": "eu-central-1",
            "regionendpoint": "http://s3.example:9000",
            "forcepathstyle": True,
            "rootdirectory": "registry",
        }
        assert write["redirect"] == {"disable": True}
        assert read.get("redirect") == (None if redirects else {"disable": True})
        assert read["maintenance"] == {"uploadpurging": {"enabled": False}, "readonly": {"enabled": True}}
        assert write["maintenance"]["uploadpurging"]["enabled"] is True
        assert not {"cache", "filesystem"} & {*write, *read}

    @pytest.mark.parametrize("config", [WITH_S3], ids=[""])
    def test_keys_are_read_from_secrets_and_one_key_is_the_same_in_all_pods(self, registered: Registered) -> None:
        pod = pods(registered)["Deployment"]
        assert "serviceAccountName" not in pod
        for container in pod["containers"]:
            found = {each["name"]: each.get("valueFrom") for each in container["env"]}
            assert found == {
                "OTEL_TRACES_EXPORTER": None,
                "GOGC": None,
                "REGISTRY_HTTP_SECRET": {"secretKeyRef": {"name": "registry-http", "key": "key"}},
                "AWS_ACCESS_KEY_ID": {"secretKeyRef": {"name": "keys-of-s3", "key": "AWS_ACCESS_KEY_ID"}},
                "AWS_SECRET_ACCESS_KEY": {"secretKeyRef": {"name": "keys-of-s3", "key": "AWS_SECRET_ACCESS_KEY"}},
            }
        (http,) = registered.of_type("core/v1:Secret")
        assert http["metadata"]["name"] == "registry-http"
        assert registered.secrets() == {"registry-http-secret": ["input"], "registry-http": ["stringData"]}
        (stash,) = (each for each in registered.requests if each.name == "registry-http-secret")
        assert list(stash.ignoreChanges) == ["input"]

    @pytest.mark.parametrize("config", [with_s3(serviceAccountAnnotations={"a/role": "r"})], ids=[""])
    def test_without_keys_the_pods_have_a_service_account(self, registered: Registered) -> None:
        pod = pods(registered)["Deployment"]
        assert pod["serviceAccountName"] == "registry"
        assert pod["automountServiceAccountToken"] is False
        (account,) = registered.of_type("ServiceAccount")
        assert account["metadata"]["annotations"]["a/role"] == "r"
        assert {each["name"] for each in pod["containers"][0]["env"]} == {
            "OTEL_TRACES_EXPORTER",
            "GOGC",
            "REGISTRY_HTTP_SECRET",
        }

    @pytest.mark.parametrize(
        ("config", "replicas"), [(WITH_S3, 2), (with_s3(), 1)], ids=["two replicas", "one replica"]
    )
    def test_an_update_and_a_drained_node_leave_a_pod(self, registered: Registered, replicas: int) -> None:
        (deployment,) = registered.of_type("Deployment")
        assert deployment["spec"]["replicas"] == replicas
        assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
        (spread,) = pods(registered)["Deployment"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == deployment["spec"]["selector"]
        budgets = registered.of_type("PodDisruptionBudget")
        assert [each["spec"]["maxUnavailable"] for each in budgets] == [1] * (replicas - 1)
        assert all(each["spec"]["selector"] == deployment["spec"]["selector"] for each in budgets)

    @pytest.mark.parametrize("config", [WITH_S3], ids=[""])
    def test_a_pod_that_ends_has_time_for_its_transfers(self, registered: Registered) -> None:
        (config,) = registered.of_type("ConfigMap")
        pod = pods(registered)["Deployment"]
        pauses = {int(each["lifecycle"]["preStop"]["exec"]["command"][1]) for each in pod["containers"]}
        drains = {int(json.loads(text)["http"]["draintimeout"][:-1]) for text in config["data"].values()}
        assert max(pauses) + max(drains) < pod["terminationGracePeriodSeconds"]

    @pytest.mark.parametrize("config", [WITH_S3], ids=[""])
    def test_the_bucket_restarts_no_pod(self, registered: Registered) -> None:
        read = next(each for each in registered.containers() if each["name"] == "read")
        assert read["livenessProbe"]["tcpSocket"] == {"port": "read"}
        assert read["readinessProbe"]["httpGet"]["path"] == "/"

    @pytest.mark.parametrize("config", [WITH_S3], ids=[""])
    def test_another_bucket_or_folder_has_all_images_pushed_again(self, registered: Registered) -> None:
        images = [each for each in registered.requests if each.type == "docker:index/image:Image"]
        assert {each.replacement_trigger.string_value for each in images} == {"http://s3.example:9000/images/registry"}


class TestImages:
    def test_they_are_named_by_push_address_and_content_and_are_known_in_preview(self, registered: Registered) -> None:
        names = [image["imageName"] for image in registered.of_type("docker:index/image:Image")]
        (one, other) = sorted(names)
        assert one.startswith("localhost:23286/app:")
        assert other.startswith("localhost:23286/team/other:")
        assert one.rpartition(":")[2] == other.rpartition(":")[2]

    def test_the_invented_uid_of_a_preview_is_in_no_output(self, registered: Registered) -> None:
        assert "invented" not in json.dumps(registered.outputs, default=str)


def sent_build_args(registered: Registered) -> dict[str, Any]:
    """The build arguments of the image app, as they are on the wire."""
    inputs = [MessageToDict(each.object) for each in registered.requests if each.type == "docker:index/image:Image"]
    return next(dict(each["build"]["args"]) for each in inputs if each["imageName"].split("/")[1].startswith("app:"))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.get_records("setup") if "history" in record.message]


@pytest.mark.parametrize("config", [WITH_SECRETS], ids=[""])
class TestBuildArguments:
    @pytest.mark.parametrize("secret_keys", [["kube-registry:images"]], ids=[""])
    def test_if_the_images_are_secret_their_values_are_and_nothing_else_is(
        self, registered: Registered, caplog: pytest.LogCaptureFixture
    ) -> None:
        args = sent_build_args(registered)
        assert {name: (SECRET_MARK in value.values(), value["value"]) for name, value in args.items()} == {
            "NPM_TOKEN": (True, SECRET),
            "NODE": (True, "20"),
        }
        assert sum(str(each.object).count(SECRET_MARK) for each in registered.requests) == len(args)
        assert not {SECRET, SECRET_MARK} & set(re.split(r"\W", json.dumps(registered.outputs, default=str)))
        (warning,) = warnings(caplog)
        assert SECRET not in warning

    def test_else_nothing_is_secret_and_nothing_is_warned_of(
        self, registered: Registered, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert sent_build_args(registered) == {"NPM_TOKEN": SECRET, "NODE": "20"}
        assert not any(SECRET_MARK in str(each.object) for each in registered.requests)
        assert not warnings(caplog)


IN_CONFIG = json.dumps({"users": [{"name": "u", "user": {"token": "s3cr3t"}}]}, indent=1)


class TestKubeconfig:
    @pytest.mark.parametrize("config", [{**CONFIG, "kube-registry:kubeconfig": IN_CONFIG}])
    def test_one_in_the_config_is_a_secret_of_the_provider_and_nowhere_else(
        self, registered: Registered, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert registered.secrets() == {"cluster": ["kubeconfig"]}
        others = [value.state for urn, value in registered.resources.items() if not urn.endswith("::cluster")]
        assert "s3cr3t" not in f"{others} {registered.outputs}"
        assert "s3cr3t" not in "".join(capfd.readouterr())

    @pytest.mark.parametrize("config", [{**CONFIG, "kube-registry:kubeconfig": "~/.kube/mine"}])
    def test_a_path_stays_readable(self, registered: Registered) -> None:
        assert not registered.secrets()
        (provider,) = registered.of_type("pulumi:providers:kubernetes")
        assert provider["kubeconfig"] == str(Path.home() / ".kube/mine")
