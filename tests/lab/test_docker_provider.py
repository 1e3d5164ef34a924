"""Drives the plugin as Pulumi does: a process of its own, its port on standard output, gRPC from then on."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import docker
import grpc
import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.json_format import MessageToDict
from google.protobuf.struct_pb2 import Struct
from pulumi.runtime.proto import engine_pb2, provider_pb2
from pulumi.runtime.proto.engine_pb2_grpc import EngineServicer, add_EngineServicer_to_server
from pulumi.runtime.proto.provider_pb2_grpc import ResourceProviderStub
from rich.console import Console

from kube_registry.registry.api import ANY_MANIFEST
from lab import docker_engine, images
from lab.docker_provider.inputs import UNKNOWN, Name
from lab.docker_provider.service import IMAGE
from lab.docker_site import Site
from lab.parts import REGISTRY
from lab.progress import Progress
from lab.toolchain import provide
from lab.versions import OLDEST, chosen
from lab.waiting import wait_for
from tests.fakes.open_registry import open_registry
from tests.fakes.ports import free_port

CHECKOUT = Path(__file__).parents[2]
URN = f"urn:pulumi:dev::project::{IMAGE}::app"
PROVIDER_URN = "urn:pulumi:dev::project::pulumi:providers:docker::lab"
QUIET = Progress(Console(quiet=True))
CALL_SECONDS = 60

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(CHECKOUT)}

Json = dict[str, Any]


class PulumiEngine(EngineServicer):
    """The part of Pulumi's engine that a plugin talks to; keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[engine_pb2.LogRequest] = []

    def Log(self, request: engine_pb2.LogRequest, context: grpc.ServicerContext) -> Empty:  # noqa: ARG002, N802
        self.said.append(request)
        return Empty()


@dataclass(frozen=True)
class Plugin:
    """A running plugin: what it is asked, in plain dictionaries, and what it said meanwhile."""

    folder: Path
    stub: Any
    said: list[engine_pb2.LogRequest]

    def lines(self, *, ephemeral: bool) -> list[str]:
        return [line.message for line in self.said if line.ephemeral is ephemeral]

    def configure(self, host: str) -> Any:  # noqa: ANN401
        variables = {"docker:config:host": host}
        return self.stub.Configure(provider_pb2.ConfigureRequest(variables=variables), timeout=CALL_SECONDS)

    def check(self, inputs: Json, urn: str = URN) -> Json:
        request = provider_pb2.CheckRequest(urn=urn, news=struct(inputs))
        return plain(self.stub.Check(request, timeout=CALL_SECONDS).inputs)

    def diff(self, state: Json, news: Json) -> Json:
        request = provider_pb2.DiffRequest(id="app", urn=URN, olds=struct(state), news=struct(news))
        return dict(MessageToDict(self.stub.Diff(request, timeout=CALL_SECONDS)))

    def create(self, inputs: Json, *, preview: bool = False) -> Json:
        request = provider_pb2.CreateRequest(urn=URN, properties=struct(inputs), preview=preview)
        return plain(self.stub.Create(request, timeout=CALL_SECONDS).properties)

    def update(self, state: Json, inputs: Json, *, preview: bool = False) -> Json:
        request = provider_pb2.UpdateRequest(
            id="app", urn=URN, olds=struct(state), news=struct(inputs), preview=preview
        )
        return plain(self.stub.Update(request, timeout=CALL_SECONDS).properties)


def plugin_command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "lab.docker_provider", *arguments]


def struct(properties: Json) -> Struct:
    message = Struct()
    message.update(properties)
    return message


def plain(message: Struct) -> Json:
    return dict(MessageToDict(message))


@contextmanager
def refused(*texts: str) -> Iterator[None]:
    """A call that fails the way providers fail, saying all of this."""
    with pytest.raises(grpc.RpcError) as failed:
        yield
    assert failed.value.code() is grpc.StatusCode.UNKNOWN
    for text in texts:
        assert text in failed.value.details()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plugin]:
    """The plugin, in a folder of its own; one process for all tests, because a new one each would take a minute."""
    with started(tmp_path_factory.mktemp("program"), ENVIRONMENT) as plugin:
        yield plugin


@contextmanager
def started(folder: Path, environment: dict[str, str]) -> Iterator[Plugin]:
    """The plugin as a process in a folder."""
    engine = PulumiEngine()
    server = grpc.server(ThreadPoolExecutor(4))
    add_EngineServicer_to_server(engine, server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    with subprocess.Popen(plugin_command(address), cwd=folder, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        with grpc.insecure_channel(f"127.0.0.1:{int(process.stdout.readline())}") as channel:
            yield Plugin(folder, ResourceProviderStub(channel), engine.said)
        process.terminate()
    server.stop(None)


@pytest.fixture
def plugin(running: Plugin) -> Plugin:
    """The plugin, with something to build in ./app and nothing said so far."""
    app = running.folder / "app"
    shutil.rmtree(app, ignore_errors=True)
    app.mkdir()
    (app / "Dockerfile").write_text("FROM scratch\nCOPY page.html /\n")
    (app / "page.html").write_text("hello")
    running.said.clear()
    return running


@pytest.fixture
def app(plugin: Plugin) -> Path:
    """The folder of what is built."""
    return plugin.folder / "app"


@pytest.fixture(scope="module")
def docker_host() -> Iterator[str]:
    """A Docker engine of these tests' own."""
    provide(QUIET, [REGISTRY])
    folder = Path(tempfile.mkdtemp(prefix="docker-", dir="/run"))
    site = Site(folder / "state", folder / "run", bridge="lab-docker-prov", address="10.118.0.1/24")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DOCKER_HOST", raising=False)
        patch.setattr(docker_engine, "USUAL_HOST", "")
        yield docker_engine.up(QUIET, site).host
    docker_engine.down(QUIET, site)
    shutil.rmtree(folder)


@pytest.fixture
def builder(plugin: Plugin, docker_host: str) -> Plugin:
    """The plugin with an engine to build on."""
    plugin.configure(docker_host)
    return plugin


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """An empty registry, as host:port."""
    with open_registry(tmp_path) as port:
        yield f"localhost:{port}"


def served_digest(registry: str, repository: str, tag: str) -> str:
    request = Request(f"http://{registry}/v2/{repository}/manifests/{tag}", headers={"Accept": ANY_MANIFEST})
    with urlopen(request, timeout=5) as response:  # noqa: S310 - http to the loopback
        return str(response.headers["Docker-Content-Digest"])


def inputs_for(name: str, **build: Any) -> Json:  # noqa: ANN401
    return {"imageName": name, "build": {"context": "./app", "platform": "linux/amd64", **build}}


class TestProtocol:
    def test_leaves_the_handshake_out_as_the_real_plugin_does(self, plugin: Plugin) -> None:
        with pytest.raises(grpc.RpcError) as failed:
            plugin.stub.Handshake(provider_pb2.ProviderHandshakeRequest())
        assert failed.value.code() is grpc.StatusCode.UNIMPLEMENTED

    def test_has_the_version_of_the_sdk(self, plugin: Plugin) -> None:
        assert plugin.stub.GetPluginInfo(Empty()).version == version("pulumi-docker")

    def test_its_schema_knows_the_image_and_no_other_resource(self, plugin: Plugin) -> None:
        schema = plugin.stub.GetSchema(provider_pb2.GetSchemaRequest()).schema
        assert IMAGE in schema
        assert "docker:index/container:Container" not in schema

    def test_without_a_docker_engine_it_cannot_be_configured(self, plugin: Plugin) -> None:
        with refused("unexpected error from Configure: failed to connect to any docker daemon"):
            plugin.configure("unix:///nowhere/docker.sock")

    def test_an_unknown_key_of_its_configuration_is_named(self, plugin: Plugin) -> None:
        checked = plugin.stub.CheckConfig(
            provider_pb2.CheckRequest(urn=PROVIDER_URN, news=struct({"hots": "unix:///x"}))
        )
        assert "lab.hots" in checked.failures[0].reason

    def test_another_host_is_a_change_of_the_provider(self, plugin: Plugin) -> None:
        old, new = struct({"host": "unix:///a"}), struct({"host": "unix:///b"})
        same = plugin.stub.DiffConfig(provider_pb2.DiffRequest(urn=PROVIDER_URN, old_inputs=old, news=old))
        assert same.changes == provider_pb2.DiffResponse.DIFF_UNKNOWN
        changed = plugin.stub.DiffConfig(provider_pb2.DiffRequest(urn=PROVIDER_URN, old_inputs=old, news=new))
        assert list(changed.diffs) == ["host"]
        assert not changed.replaces

    @pytest.mark.parametrize("setting", ["certPath", "caMaterial"])
    def test_a_connection_that_it_does_not_speak_is_refused(self, plugin: Plugin, setting: str) -> None:
        variables = {"docker:config:host": "unix:///x", f"docker:config:{setting}": "x"}
        with refused(f"does not support docker:{setting}"):
            plugin.stub.Configure(provider_pb2.ConfigureRequest(variables=variables))

    def test_other_resources_and_functions_are_refused_by_name(self, plugin: Plugin) -> None:
        with refused("not docker:index/container:Container. Fix: install the real plugin"):
            plugin.check({}, urn="urn:pulumi:dev::project::a:b:C$docker:index/container:Container::app")
        with refused("not docker:index/getNetwork:getNetwork"):
            plugin.stub.Invoke(provider_pb2.InvokeRequest(tok="docker:index/getNetwork:getNetwork"))

    def test_read_returns_the_state_and_delete_does_nothing(self, plugin: Plugin) -> None:
        inputs, state = struct({"imageName": "a"}), struct({"repoDigest": "b"})
        read = plugin.stub.Read(provider_pb2.ReadRequest(id="app", urn=URN, inputs=inputs, properties=state))
        assert (read.id, read.inputs, read.properties) == ("app", inputs, state)
        plugin.stub.Delete(provider_pb2.DeleteRequest(id="app", urn=URN, properties=state))

    def test_ends_when_whoever_started_it_was_killed(self) -> None:
        script = f"import subprocess, time; print(subprocess.Popen({plugin_command()}).pid, flush=True); time.sleep(60)"
        command = [sys.executable, "-c", script]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE) as parent:
            assert parent.stdout
            child = parent.stdout.readline().decode().strip()
            assert int(parent.stdout.readline())  # its port: it listens
            parent.kill()
            wait_for(lambda: ended(child), "the plugin to end", log=Path("/dev/null"), seconds=10)


def ended(pid: str) -> bool:
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class TestCheck:
    def test_fills_in_what_the_program_left_out(self, plugin: Plugin) -> None:
        checked = plugin.check({"imageName": "localhost:5000/app:1", "build": {"context": "./app"}})
        assert checked["buildOnPreview"] is False
        assert checked["build"]["context"] == "./app"
        assert checked["build"]["dockerfile"] == "app/Dockerfile"
        assert checked["build"]["platform"].startswith("linux/")
        assert f"for {checked['build']['platform']} architecture" in plugin.lines(ephemeral=False)[0]

    def test_says_nothing_of_a_platform_that_was_chosen(self, plugin: Plugin) -> None:
        assert plugin.check(inputs_for("localhost:5000/app:1"))["build"]["platform"] == "linux/amd64"
        assert not plugin.said

    @pytest.mark.parametrize(
        ("build", "text"),
        [
            ({"context": "nowhere"}, 'relative path "nowhere/Dockerfile": stat nowhere/Dockerfile: no such file'),
            ({"context": "app", "dockerfile": "Dockerfile"}, 'Try setting `dockerfile` to "app/Dockerfile"'),
            ({"context": "app", "dockerfile": "/x"}, 'expected a relative Dockerfile path; got "/x" instead'),
            ({"context": "app", "builderVersion": "3"}, "invalid Docker Builder version"),
            ({"context": "app", "cacheFrom": {"images": ["a"]}}, "does not support build.cacheFrom"),
        ],
    )
    def test_a_build_that_cannot_be_says_why(self, plugin: Plugin, build: Json, text: str) -> None:
        with refused(text):
            plugin.check({"imageName": "localhost:5000/app:1", "build": build})

    @pytest.mark.parametrize(
        "name", ["app:1", "docker.io/app:1", "localhost:5000", "localhost:1/A", "localhost/a:", ""]
    )
    def test_a_name_that_can_not_be_pushed_to_is_refused(self, plugin: Plugin, name: str) -> None:
        with refused("This resource requires all image names to be fully qualified."):
            plugin.check(inputs_for(name))

    def test_a_short_name_is_fine_for_what_is_not_pushed(self, plugin: Plugin) -> None:
        assert plugin.check({**inputs_for("app:1"), "skipPush": True})["imageName"] == "app:1"

    def test_credentials_are_refused(self, plugin: Plugin) -> None:
        with refused("does not log in to registries"):
            plugin.check({**inputs_for("localhost:5000/app:1"), "registry": {"username": "me"}})

    def test_lets_pass_what_is_not_known_yet(self, plugin: Plugin) -> None:
        build = {"context": UNKNOWN, "dockerfile": UNKNOWN, "platform": "linux/amd64", "args": {"A": UNKNOWN}}
        checked = plugin.check({"imageName": UNKNOWN, "build": build, "registry": UNKNOWN})
        assert checked["build"] == build
        assert plugin.check({"imageName": UNKNOWN, "build": UNKNOWN})["build"] == UNKNOWN

    def test_takes_the_programs_folder_for_a_context_that_is_not_known(self, plugin: Plugin) -> None:
        with refused('could not open dockerfile at relative path "Dockerfile"'):
            plugin.check({"imageName": UNKNOWN, "build": {"context": UNKNOWN}})
        build = {"context": UNKNOWN, "dockerfile": "app/Dockerfile"}
        assert "contextDigest" in plugin.check({"imageName": UNKNOWN, "build": build})["build"]


class TestContextDigest:
    @pytest.fixture
    def digest(self, plugin: Plugin) -> Callable[[], str]:
        return lambda: str(plugin.check(inputs_for("localhost:5000/app:1"))["build"]["contextDigest"])

    def test_is_the_released_plugins(self, app: Path, digest: Callable[[], str]) -> None:
        """For the same files both give the same, so that a stack's state fits both."""
        for file in app.iterdir():
            file.chmod(0o644)
        (app / "link").symlink_to("page.html")
        assert digest() == "7e3589cddf94ac36f9e646e746d13ad98cd2f73eefaf9ad8111a01e65f61f84b"

    def test_changes_with_contents_modes_names_and_the_dockerfile(self, app: Path, digest: Callable[[], str]) -> None:
        page = app / "page.html"
        seen = {digest()}
        for change in (
            lambda: page.write_text("changed"),
            lambda: page.chmod(0o700),
            lambda: page.rename(page.with_name("other.html")),
            lambda: page.with_name("Dockerfile").write_text("FROM scratch\n"),
        ):
            change()
            seen.add(digest())
        assert len(seen) == 5

    def test_stays_when_only_ignored_files_or_times_change(self, app: Path, digest: Callable[[], str]) -> None:
        (app / ".dockerignore").write_text("*.log\n!keep.log\n")
        before = digest()
        (app / "noise.log").write_text("x")
        os.utime(app / "page.html", (0, 0))
        assert digest() == before
        (app / "keep.log").write_text("x")
        assert digest() != before

    def test_obeys_the_ignore_file_of_its_dockerfile_first(self, app: Path, digest: Callable[[], str]) -> None:
        (app / ".dockerignore").write_text("noise\n")
        (app / "Dockerfile.dockerignore").write_text("other\n")
        before = digest()
        (app / "noise").write_text("x")
        assert digest() != before


class TestDiff:
    @pytest.mark.parametrize(
        ("change", "kinds"),
        [
            ({}, {}),
            ({"imageName": "localhost:5000/app:2"}, {"imageName": "UPDATE"}),
            ({"imageName": UNKNOWN}, {"imageName": "UPDATE"}),
            ({"build": {"context": "./other"}}, {"build": "UPDATE"}),
            ({"skipPush": True}, {"skipPush": "ADD"}),
            ({"registry": {"server": "s", "password": "2"}}, {}),
            ({"registry": {"server": "t"}}, {"registry": "UPDATE"}),
            ({"registry": None}, {"registry": "DELETE"}),
        ],
    )
    def test_a_change_is_an_update_never_a_replacement(self, plugin: Plugin, change: Json, kinds: Json) -> None:
        old = {**inputs_for("localhost:5000/app:1"), "registry": {"server": "s", "password": "1"}}
        diff = plugin.diff({"repoDigest": "x", "__inputs": old}, {**old, **change})
        assert diff["changes"] == ("DIFF_SOME" if kinds else "DIFF_NONE")
        assert {key: one.get("kind", "ADD") for key, one in diff.get("detailedDiff", {}).items()} == kinds
        assert not diff.get("replaces")

    def test_a_state_without_inputs_gets_all_of_them(self, plugin: Plugin) -> None:
        diff = plugin.diff({}, inputs_for("localhost:5000/app:1"))
        assert diff["detailedDiff"].keys() == {"imageName", "build"}


@pytest.mark.lab
class TestPreview:
    def test_builds_nothing_and_leaves_the_digest_open(self, builder: Plugin, docker_host: str) -> None:
        name = "localhost:5000/preview:1"
        inputs = builder.check(inputs_for(name))
        assert builder.create(inputs, preview=True) == inputs
        assert builder.update({}, inputs, preview=True) == inputs
        assert not builder.said
        assert not docker.DockerClient(base_url=docker_host).images.list(name)

    def test_builds_where_it_is_told_to_and_pushes_nothing(self, builder: Plugin) -> None:
        inputs = builder.check({**inputs_for("localhost:1/app:1"), "buildOnPreview": True})
        assert builder.create(inputs, preview=True)["repoDigest"].startswith("sha256:")

    def test_says_what_it_misses_to_build(self, builder: Plugin) -> None:
        inputs = builder.check({**inputs_for(UNKNOWN), "buildOnPreview": True})
        assert builder.create(inputs, preview=True) == inputs
        assert "Continuing without preview image build" in builder.lines(ephemeral=False)[0]


@pytest.mark.lab
class TestBuildAndPush:
    def test_pushes_what_it_built_and_returns_the_digest_that_the_registry_has(
        self, builder: Plugin, registry: str, app: Path
    ) -> None:
        name = f"{registry}/team/app:1"
        inputs = builder.check(inputs_for(name))
        state = builder.create(inputs)
        secret = state.pop("__inputs")
        assert secret["value"] == inputs
        assert state == {
            "baseImageName": name,
            "context": "./app",
            "dockerfile": "Dockerfile",
            "imageName": name,
            "platform": "linux/amd64",
            "registryServer": "",
            "repoDigest": f"{registry}/team/app@{served_digest(registry, 'team/app', '1')}",
        }
        assert builder.create(inputs)["repoDigest"] == state["repoDigest"]

        (app / "page.html").write_text("changed")
        changed = builder.update(state, builder.check(inputs_for(name)))
        assert changed["repoDigest"] != state["repoDigest"]
        assert changed["repoDigest"].endswith(served_digest(registry, "team/app", "1"))

    def test_says_on_the_row_what_the_engine_says(self, builder: Plugin, registry: str) -> None:
        builder.create(builder.check(inputs_for(f"{registry}/app:1")))
        lines = builder.lines(ephemeral=True)
        assert lines[0] == "Starting Docker build"
        assert any("COPY page.html /" in line for line in lines)
        classic = chosen().docker == OLDEST.docker
        assert re.match(
            r"Pushed image with digest sha256:" if classic else r"1: digest: sha256:\w+ size: \d+", lines[-1]
        )
        warned = ["Push completed without reporting a digest; falling back to local image inspect"]
        assert builder.lines(ephemeral=False) == ([] if classic else warned), "as the real provider does"
        assert {line.urn for line in builder.said} == {URN}

    def test_arguments_target_and_a_dockerfile_from_outside_reach_the_build(
        self, builder: Plugin, docker_host: str
    ) -> None:
        (builder.folder / "outside").write_text(
            f"FROM {images.BUSYBOX} AS wanted\nARG WHO\nENV WHO=$WHO\nCOPY . /srv/\n"
            "RUN [ -e /srv/page.html ] && [ ! -e /srv/outside ]\nFROM scratch AS other\n"
        )
        build = {"dockerfile": "outside", "target": "wanted", "args": {"WHO": "me"}}
        inputs = builder.check({**inputs_for("app:1", **build), "skipPush": True})
        state = builder.create(inputs)
        assert state["dockerfile"] == "../outside"
        made = docker.DockerClient(base_url=docker_host).images.get("app:1")
        assert made.id == state["repoDigest"]
        assert "WHO=me" in made.attrs["Config"]["Env"]

    @pytest.mark.parametrize("builder_version", ["BuilderV1", "BuilderBuildKit"])
    def test_a_failed_build_carries_its_own_last_lines(self, builder: Plugin, app: Path, builder_version: str) -> None:
        dockerfile = f"FROM {images.BUSYBOX}\nRUN echo all is lost; exit 7\n"
        (app / "Dockerfile").write_text(dockerfile)
        inputs = builder.check(inputs_for("localhost:1/app:1", builderVersion=builder_version))
        with refused("error reading build output: ", "\nall is lost"):
            builder.create(inputs)

    def test_a_broken_dockerfile_is_named(self, builder: Plugin, app: Path) -> None:
        (app / "Dockerfile").write_text("FORM scratch\n")
        with refused("unknown instruction: FORM"):
            builder.create(builder.check(inputs_for("localhost:1/app:1")))

    def test_a_build_that_the_engine_does_not_begin_is_told_from_a_failed_one(self, builder: Plugin) -> None:
        with refused("error building image: Error response from daemon: "):
            builder.create(builder.check(inputs_for("localhost:1/app:1", platform="no platform")))

    def test_a_failed_push_is_told_from_a_failed_build(self, builder: Plugin) -> None:
        name = f"localhost:{free_port()}/app:1"
        with refused("error reading push output: ", "connection refused"):
            builder.create(builder.check(inputs_for(name)))

    def test_a_cancelled_build_ends_at_once(self, builder: Plugin, app: Path) -> None:
        (app / "Dockerfile").write_text(f"FROM {images.BUSYBOX}\nRUN echo begun; sleep 300\n")
        inputs = builder.check(inputs_for("localhost:1/app:1"))
        failures: list[str] = []

        def build() -> None:
            try:
                builder.create(inputs)
            except grpc.RpcError as error:
                failures.append(str(error.details()))

        building = threading.Thread(target=build)
        building.start()
        begun = lambda: any("begun" in line for line in builder.lines(ephemeral=True))  # noqa: E731
        wait_for(begun, "the build to begin", log=Path("/dev/null"), seconds=30)
        builder.stub.Cancel(Empty())
        building.join(10)
        assert "error reading build output: " in failures[0]


@pytest.mark.parametrize(
    ("text", "repository", "tag", "full"),
    [
        ("localhost:5000/a/b:1", "localhost:5000/a/b", "1", True),
        ("localhost/a", "localhost/a", "latest", True),
        ("gcr.io/x/y@sha256:0", "gcr.io/x/y", "latest", True),
        ("a", "docker.io/library/a", "latest", False),
        ("a/b:1", "docker.io/a/b", "1", False),
    ],
)
def test_names_are_split_as_docker_splits_them(text: str, repository: str, tag: str, full: bool) -> None:  # noqa: FBT001
    assert Name.parse(text) == Name(repository, tag, full)
