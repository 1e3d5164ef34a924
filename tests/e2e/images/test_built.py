"""What goes in is what comes out: an image of the program's beside `docker build` of the same folder."""

import os
import stat
import tarfile
from pathlib import Path
from uuid import uuid4

import pytest

from kube_registry.spec.endpoints import parse_reference
from lab.images import BUSYBOX
from tests.conftest import Lab
from tests.e2e.conftest import Program, settings_of
from tests.e2e.docker_build import content_of, docker_build, files_of

pytestmark = pytest.mark.lab

UNSENT_DOCKERFILE = ".kube-registry.Dockerfile"
A_WHILE_AGO = 1_700_000_000
MINUTE = 60

REBUILDS_WHAT_IS_NEWER = f"""
FROM {BUSYBOX}
COPY source /source
RUN --mount=type=cache,target=/cache if [ ! -e /cache/object ] || [ /source -nt /cache/object ]; then \\
    cp /source /cache/object; fi; cp /cache/object /program
"""


@pytest.fixture(scope="module")
def app(program: Program) -> Path:
    return program.folder / "app"


def built(lab: Lab, program: Program) -> str:
    """The name that the engine keeps the image under that an update has just pushed."""
    tag = parse_reference(program.output("images")["app"]).tag
    assert tag
    return settings_of(lab).endpoints.push_name("app", tag)


def facts(members: dict[str, tarfile.TarInfo]) -> dict[str, tuple[bytes, str, int, str, int]]:
    """Kind, mode, size, time and target of each file; the lab's engine gives copied folders the time of the build."""
    return {
        name: (each.type, f"{each.mode:o}", each.size, each.linkname, 0 if each.isdir() else int(each.mtime))
        for name, each in members.items()
    }


def fill(app: Path) -> None:
    """A folder of all that a build context can hold."""
    for number, (name, mode) in enumerate(
        {
            "key": 0o600,
            "data": 0o777,
            "tool": 0o4755,
            "packages/one/package.json": 0o644,
            "packages/one/index.js": 0o644,
            "src/deep/Über.txt": 0o664,
            "noise.log": 0o644,
        }.items()
    ):
        (app / name).parent.mkdir(parents=True, exist_ok=True)
        (app / name).write_text(name)
        (app / name).chmod(mode)
        os.utime(app / name, (A_WHILE_AGO + number * MINUTE,) * 2)
    (app / "run").write_text(uuid4().hex)  # the engine's cache may have layers of an earlier run, with its times
    (app / "same").write_text("key")
    (app / "empty").mkdir(exist_ok=True)
    (app / "empty").chmod(0o1777)
    (app / "link").symlink_to("src/deep")
    (app / "src" / "up").symlink_to("../key")


@pytest.mark.usefixtures("deployed", "buildx")
class TestSame:
    @pytest.fixture(autouse=True)
    def _folder(self, app: Path) -> None:
        fill(app) if not (app / "key").exists() else None

    def compare(self, lab: Lab, program: Program, app: Path, extra: set[str]) -> dict[str, tarfile.TarInfo]:
        program.up()
        ours = files_of(lab, built(lab, program), "/srv")
        done = docker_build(lab, "docker-built:1", app, "--no-cache")
        assert done.returncode == 0, done.stderr
        theirs = files_of(lab, "docker-built:1", "/srv")
        assert ours.keys() - theirs.keys() == extra
        assert {name: found for name, found in facts(ours).items() if name not in extra} == facts(theirs)
        return ours

    def test_names_modes_times_and_links(self, lab: Lab, program: Program, app: Path) -> None:
        (app / "Dockerfile").write_text(f"FROM {BUSYBOX}\nCOPY . /srv\nUSER 1000\n")
        (app / ".dockerignore").write_text("*.log\n")
        found = self.compare(lab, program, app, set())
        assert stat.S_IMODE(found["key"].mode) == 0o600
        assert stat.S_IMODE(found["data"].mode) == 0o777
        assert found["same"].type == tarfile.REGTYPE
        assert found["link"].linkname == "src/deep"

    def test_what_comes_back_from_ignored_folders(self, lab: Lab, program: Program, app: Path) -> None:
        (app / ".dockerignore").write_text("*\n!packages/*/package.json\n!**/*.txt\n")
        found = self.compare(lab, program, app, {UNSENT_DOCKERFILE})
        assert "packages/one/package.json" in found
        assert "src/deep/Über.txt" in found
        assert "packages/one/index.js" not in found

    def test_a_dockerfile_from_outside(self, lab: Lab, program: Program, app: Path) -> None:
        (app / ".dockerignore").write_text("*.log\n")
        (app.parent / "Containerfile").write_text((app / "Dockerfile").read_text())
        program.configure(images_app_dockerfile="../Containerfile")
        try:
            found = self.compare(lab, program, app, {UNSENT_DOCKERFILE})
            assert "Dockerfile" in found
            assert set(program.preview()) == {"same"}
        finally:
            program.configure(images_app_dockerfile="Dockerfile")


class TestRemarks:
    def test_links_that_are_left_out_are_named_in_one_warning_and_change_no_tag(
        self, program: Program, app: Path
    ) -> None:
        program.up()
        before = program.preview()
        program.configure(images_other_context="./app")
        (app / ".#main.py").symlink_to("me@host.4711")
        (app / "python3").symlink_to("/usr/bin/python3")
        lines: list[str] = []
        after = program.preview(lines.append)
        assert {**after, "create": 0} == {**before, "create": 0}
        named = [line for line in "".join(lines).splitlines() if "app/python3" in line]
        assert len(set(named)) == 1, named
        assert "app/.#main.py" in named[0]


class TestCacheMount:
    def test_the_third_image_holds_the_third_edit(self, lab: Lab, program: Program, app: Path) -> None:
        """A builder that compares times, as make and cargo do, sees every edit as newer than what it built before."""
        (app / "Dockerfile").write_text(REBUILDS_WHAT_IS_NEWER)
        (app / ".dockerignore").unlink(missing_ok=True)
        for text in ("first", "second", "third", "first"):
            (app / "source").write_text(text)
            program.up()
            assert content_of(lab, built(lab, program), "/program") == text
