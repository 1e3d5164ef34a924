import os
import re
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from lab import commands, debian, gobuild, host, parts, pulumi_home, toolchain
from lab import part as part_module
from lab.errors import LabError
from lab.part import Part, Program
from lab.progress import Progress
from lab.versions import NEWEST, OLDEST
from lab.waiting import wait_for
from tests.lab.test_docker_provider import ended

CHECKOUT = Path(__file__).parents[2]
MEGABYTE = 2**20


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, but for what the system keeps in its own folders."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setattr(part_module, "CACHE", folder)
    monkeypatch.setattr(toolchain, "CACHE", folder)
    return folder


def part(*, from_path: bool = True) -> Part:
    programs = (Program("lab-one", ("version",), (3, 244), (4,)), Program("lab-two"))
    return Part("Lab part", "3.250.0", "tests", programs, (), 0, from_path=from_path)


class TestFinding:
    def test_what_serves_on_path_is_preferred(self, path: Path, cache: Path) -> None:
        (cache / part().key).mkdir(parents=True)
        one, two = program(path / "lab-one", "echo v3.244.0"), program(path / "lab-two", "")
        assert part().find() == {"lab-one": one, "lab-two": two}

    @pytest.mark.parametrize(
        "script",
        ["echo v3.243.9", "echo v4.0.0", "echo soon", "echo v3.250.0; exit 1"],
        ids=["too old", "too new", "tells no version", "does not run"],
    )
    def test_what_does_not_serve_on_path_is_passed_over(self, path: Path, cache: Path, script: str) -> None:
        program(path / "lab-one", script)
        program(path / "lab-two", "")
        assert part().find() is None
        (cache / part().key).mkdir(parents=True)
        assert part().find() == {name: cache / part().key / name for name in ("lab-one", "lab-two")}

    def test_half_a_part_on_path_does_not_serve(self, path: Path, cache: Path) -> None:  # noqa: ARG002
        program(path / "lab-one", "echo v3.250.0")
        assert part().find() is None

    def test_what_the_lab_has_built_is_not_asked_for_its_version(
        self, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        built = {name: program(cache / part().key / name, f": >{tmp_path}/asked") for name in ("lab-one", "lab-two")}
        monkeypatch.setenv("PATH", str(cache / part().key))
        assert part().find() == built
        assert not (tmp_path / "asked").exists()

    def test_some_parts_are_never_taken_from_path(self, path: Path, cache: Path) -> None:  # noqa: ARG002
        program(path / "lab-one", "echo v3.250.0")
        program(path / "lab-two", "")
        assert part(from_path=False).find() is None

    def test_a_missing_tool_names_the_command_that_brings_it(self, path: Path, cache: Path) -> None:  # noqa: ARG002
        with pytest.raises(LabError, match=r"registry 3\.1\.2.*make up"):
            toolchain.tool("registry")
        with pytest.raises(LabError, match=r"no-such-program is not on PATH\. Fix: `make up`"):
            toolchain.tool("no-such-program")


class TestMaking:
    def build(self, work: Path, result: Path, log: Path) -> None:
        assert not list(work.iterdir())
        log.parent.mkdir(parents=True, exist_ok=True)
        (result / "program").write_text("whole")

    def test_what_is_there_is_not_made_again(self, tmp_path: Path) -> None:
        def again(*_: Path) -> None:
            raise AssertionError

        made = toolchain.make("part-1", self.build, tmp_path)
        assert (made / "program").read_text() == "whole"
        assert toolchain.make("part-1", again, tmp_path) == made

    def test_a_failed_build_leaves_nothing(self, tmp_path: Path) -> None:
        def fail(_work: Path, result: Path, _log: Path) -> None:
            (result / "program").write_text("ha")
            raise LabError("no")

        with pytest.raises(LabError):
            toolchain.make("part-1", fail, tmp_path)
        assert not [found for found in tmp_path.rglob("*") if "part-1" in found.name and found.parent.name != "locks"]

    def test_what_a_killed_build_left_is_swept(self, tmp_path: Path) -> None:
        script = (
            "import os, pathlib, signal, sys\n"
            "from lab import toolchain\n"
            "def die(work, result, log):\n"
            "    (work / 'half').touch(); (result / 'half').touch(); os.kill(os.getpid(), signal.SIGKILL)\n"
            "toolchain.make('part-1', die, pathlib.Path(sys.argv[1]))\n"
        )
        ended = subprocess.run([sys.executable, "-c", script, tmp_path], cwd=CHECKOUT, check=False)
        assert ended.returncode == -signal.SIGKILL
        assert not (tmp_path / "part-1").exists()
        made = toolchain.make("part-1", self.build, tmp_path)  # the lock died with its holder
        assert [file.name for file in made.iterdir()] == ["program"]

    def test_two_runs_make_it_once(self, tmp_path: Path) -> None:
        begun, finish = threading.Event(), threading.Event()
        builds = []

        def slowly(work: Path, result: Path, log: Path) -> None:
            builds.append(result)
            begun.set()
            assert finish.wait(10)
            self.build(work, result, log)

        runs = [threading.Thread(target=toolchain.make, args=("part-1", slowly, tmp_path)) for _ in range(2)]
        for run in runs:
            run.start()
        assert begun.wait(10)
        finish.set()
        for run in runs:
            run.join(10)
        assert len(builds) == 1

    def test_waiting_for_another_run_has_an_end(self, tmp_path: Path) -> None:
        lock = tmp_path / "locks" / "part-1"
        with (
            toolchain.locked(lock),
            pytest.raises(LabError, match=rf"another run to release {lock}"),
            toolchain.locked(lock, limit=0),
        ):
            pass


class TestCommands:
    def test_a_failure_is_one_sentence_with_the_last_word_and_the_log(self, tmp_path: Path) -> None:
        log = tmp_path / "logs" / "x.log"
        script = program(tmp_path / "apt", "echo 'E: no such package'; echo done >&2; exit 100")
        with pytest.raises(LabError) as raised:
            commands.run_logged([str(script), "install"], log=log, limit=10)
        assert str(raised.value) == f"apt install failed: E: no such package. See its log {log}."

    def test_a_failure_is_told_by_its_own_words_not_by_those_of_an_earlier_one(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        log.write_text("error: of yesterday\n")
        with pytest.raises(LabError, match="it printed nothing"):
            commands.run_logged(["false"], log=log, limit=10)

    def test_the_output_is_returned_and_kept(self, tmp_path: Path) -> None:
        log = tmp_path / "x.log"
        assert commands.run_logged(["echo", "yes"], log=log, limit=10) == "yes\n"
        assert log.read_text() == "$ echo yes\nyes\n"

    def test_what_takes_too_long_is_ended_with_all_that_it_started(self, tmp_path: Path) -> None:
        script = program(tmp_path / "slow", f"sleep 300 & echo $! > {tmp_path}/child; wait")
        with pytest.raises(LabError, match=r"slow timed out after 0\.5 s; see its log"):
            commands.run_logged([str(script)], log=tmp_path / "x.log", limit=0.5)
        child = (tmp_path / "child").read_text().strip()
        wait_for(lambda: ended(child), "the child to end", log=tmp_path / "x.log", seconds=5)


class TestMachine:
    def test_without_root_the_lab_says_what_to_do_instead(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(LabError, match=r"run as root.*`make up KUBE_CONTEXT=NAME`"):
            host.check_machine()

    def test_elsewhere_than_on_linux_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(LabError, match=r"requires Linux.*`make up KUBE_CONTEXT=NAME`"):
            host.check_machine()

    def test_building_needs_go(self, path: Path) -> None:
        with pytest.raises(LabError, match=r"no go on PATH\. Fix: install Go"):
            gobuild.check_go()
        program(path / "go", "echo go1.19.8")
        with pytest.raises(LabError, match=r"cannot build the lab: go1\.19\.8 is too old"):
            gobuild.check_go()
        program(path / "go", "echo go1.26.0")
        gobuild.check_go()

    def test_a_package_is_missing_while_one_of_its_programs_is(self, path: Path) -> None:
        package = debian.Package("lab-package", ("lab-one", f"{path}/cni/lab-two"))
        program(path / "lab-one", "")
        assert debian.missing([package]) == (package,)
        program(path / "cni" / "lab-two", "")
        assert debian.missing([package]) == ()

    def test_a_program_that_loads_libraries_is_no_static_one(self) -> None:
        python = os.path.realpath(sys.executable)
        assert not debian.Package("x", (python,), static=True).present()
        assert debian.Package("x", (python,)).present()

    def test_without_apt_the_missing_programs_are_named(self, path: Path, tmp_path: Path) -> None:  # noqa: ARG002
        with pytest.raises(LabError, match=r"Not found: lab-one, .* Fix: .* lab-package"):
            debian.install([debian.Package("lab-package", ("lab-one",))], tmp_path / "x.log")


class TestPulumiHome:
    @pytest.fixture
    def home(self, path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        for name in ("pulumi-language-python", "pulumi-language-python-exec"):
            program(path / name, "")
        home = cache / "pulumi-home"
        home.mkdir(parents=True)
        monkeypatch.setattr(pulumi_home, "HOME", home)
        monkeypatch.setattr(pulumi_home, "CACHE", cache)
        return home

    def pulumi(self, path: Path, script: str) -> Path:
        """A `pulumi` that counts its installs."""
        program(path / "pulumi", f'case $1 in version) echo v3.250.0;; *) echo "$@" >> {path}/calls; {script};; esac')
        return path / "calls"

    def test_a_download_that_failed_is_not_tried_again(self, path: Path, home: Path) -> None:
        calls = self.pulumi(path, "echo 'error: 403' >&2; exit 255")
        plugin = pulumi_home.Plugin("docker", "5.2.0")
        progress = Progress(Console(quiet=True))
        assert not pulumi_home.download(plugin, progress)
        assert not pulumi_home.download(plugin, progress)
        assert calls.read_text() == "plugin install resource docker 5.2.0\n"
        assert "error: 403" in (home / "no-download-of-docker-5.2.0").read_text()

    def test_another_version_is(self, path: Path, home: Path) -> None:
        (home / "no-download-of-docker-5.2.0").touch()
        self.pulumi(path, "true")
        assert pulumi_home.download(pulumi_home.Plugin("docker", "5.2.1"), Progress(Console(quiet=True)))

    def test_the_environment_selects_what_is_the_labs_own(
        self, path: Path, home: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("KUBECONFIG", raising=False)
        self.pulumi(path, "true")
        kubernetes = cache / parts.KUBERNETES[NEWEST.kubernetes].key
        kubernetes.mkdir()
        environment = pulumi_home.environment(kubeconfig=Path("/lab/kubeconfig"), docker_host="unix:///lab/docker.sock")
        folders = environment["PATH"].split(os.pathsep)
        assert folders == [f"{sys.prefix}/bin", str(CHECKOUT / "lab" / "bin"), str(path), str(kubernetes)]
        assert environment["PULUMI_HOME"] == str(home)
        assert environment["KUBECONFIG"] == "/lab/kubeconfig"
        assert environment["DOCKER_HOST"] == "unix:///lab/docker.sock"
        assert "KUBECONFIG" not in pulumi_home.environment()

    def test_the_stand_in_starts_only_where_the_lab_says_with_what(self, tmp_path: Path) -> None:
        launcher = tmp_path / "pulumi-resource-docker"
        launcher.write_text(pulumi_home._STAND_IN)
        launcher.chmod(0o755)
        ended = subprocess.run([launcher], capture_output=True, text=True, check=False)
        assert ended.returncode != 0
        assert "is set by the lab only" in ended.stderr


class TestVersions:
    """The same version is written in several files, each in its own language."""

    def test_sdks_and_plugins_agree(self) -> None:
        pins = dict(re.findall(r"^(\S+)==(\S+)$", (CHECKOUT / "lab/constraints.txt").read_text(), re.MULTILINE))
        assert pins["pulumi-docker"] == pulumi_home.DOCKER.version
        assert pins["pulumi-kubernetes"] == pulumi_home.KUBERNETES.version

    @pytest.mark.parametrize(
        ("module", "dependency", "version"),
        [
            ("kube-1.37", "k8s.io/kubernetes", NEWEST.kubernetes),
            ("kube", "k8s.io/kubernetes", OLDEST.kubernetes),
            ("containers", "github.com/containerd/containerd/v2", NEWEST.containerd),
            ("registry", "github.com/distribution/distribution/v3", parts.REGISTRY_VERSION),
            ("pulumi", "github.com/pulumi/pulumi/pkg/v3", parts.PULUMI_VERSION),
            ("pulumi", "github.com/pulumi/pulumi/sdk/v3", parts.PULUMI_VERSION),
            ("pulumi-language-python", "github.com/pulumi/pulumi/sdk/v3", parts.LANGUAGE_HOST_VERSION),
        ],
    )
    def test_table_and_module_files_agree(self, module: str, dependency: str, version: str) -> None:
        text = (gobuild.MODULES / module / "go.mod").read_text()
        assert re.search(rf"^\s*(require )?{re.escape(dependency)} v{re.escape(version)}", text, re.MULTILINE)


def test_pulumi_keeps_few_of_its_logs(tmp_path: Path) -> None:
    toolchain.build(parts.PULUMI)
    (tmp_path / "logs").mkdir()
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y%m%dT%H%M%S}"
    for number in range(4):
        (tmp_path / "logs" / f"pulumi-{yesterday}-{number}.log").write_bytes(bytes(MEGABYTE))
    env = {**pulumi_home.environment(), "PULUMI_HOME": str(tmp_path)}
    subprocess.run(["pulumi", "version"], env=env, check=True, capture_output=True)
    assert len(list((tmp_path / "logs").glob(f"pulumi-{yesterday}-*"))) == 2
