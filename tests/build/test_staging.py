import json
import os
import resource
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import Request, urlopen

import pytest

from kube_registry.build.build import Build, read_build
from kube_registry.build.errors import BuildContextError
from kube_registry.build.staging import stage
from kube_registry.spec.sections import ImageSettings

DAY = 24 * 3600
EDITED = 1_800_000_000_123_456_789
A_WHILE_AGO = 1_700_000_000
UNSENT_DOCKERFILE = ".kube-registry.Dockerfile"
NOBODY = 65534


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def checkout(folder: Path) -> Path:
    (folder / "app" / "site" / "deep").mkdir(parents=True)
    (folder / "app" / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / "app" / ".dockerignore").write_text("*.log\nsite\n!site/deep/page\n")
    (folder / "app" / "site" / "deep" / "page").write_text("hello")
    (folder / "app" / "run.sh").touch(0o777)
    (folder / "app" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "app" / "noise.log").write_text("noise")
    (folder / "app" / "latest").symlink_to("run.sh")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkout(tmp_path)


@contextmanager
def no_room() -> Iterator[None]:
    """Files can be made here, and nothing be written to them, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def app(folder: Path) -> Path:
    return folder / "app"


def read(folder: Path, image: ImageSettings | None = None, name: str = "app") -> Build:
    return read_build(name, image or ImageSettings(context="app"), "linux/amd64", folder)


def staged(folder: Path, image: ImageSettings | None = None, name: str = "app") -> Build:
    return stage(read(folder, image, name), folder)


def modes(folder: Path) -> dict[str, int]:
    """Path -> permission bits of what is in a folder, links aside."""
    paths = [path for path in folder.rglob("*") if not path.is_symlink()]
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in paths}


def times(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def contents(folder: Path) -> dict[str, str]:
    """Path -> text of a file, target of a link."""
    paths = [path for path in folder.rglob("*") if path.is_symlink() or path.is_file()]
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_text() for path in paths
    }


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a static server that answers If-Modified-Since."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


class TestStage:
    def test_it_holds_names_bytes_and_links_of_what_docker_build_would_send(self, folder: Path, app: Path) -> None:
        assert contents(folder / staged(folder).staged_context) == {
            ".dockerignore": (app / ".dockerignore").read_text(),
            "Dockerfile": "FROM scratch\nCOPY . /\n",
            "latest": "run.sh",
            "run.sh": "#!/bin/sh\n",
            "site/deep/page": "hello",
        }

    def test_its_paths_are_relative_and_hold_the_tag(self, folder: Path) -> None:
        made = staged(folder, name="team/app")
        assert made.staged_context == f".kube-registry/stages/team+app/{made.tag}/context"
        assert made.staged_dockerfile == f".kube-registry/stages/team+app/{made.tag}/Dockerfile"

    def test_the_provider_applies_no_ignore_rule_again(self, folder: Path) -> None:
        """It takes the ignore file beside the Dockerfile first, and takes the Dockerfile for the one in the context."""
        made = staged(folder)
        assert (folder / f"{made.staged_dockerfile}.dockerignore").read_text() == ""
        assert (folder / made.staged_dockerfile).resolve() == (folder / made.staged_context / "Dockerfile").resolve()

    def test_the_programs_folder_can_be_the_context(self, folder: Path) -> None:
        (folder / "Dockerfile").write_text("FROM scratch\n")
        first = staged(folder, ImageSettings())
        assert staged(folder, ImageSettings()) == first
        assert not (folder / first.staged_context / ".kube-registry").exists()
        assert (folder / ".kube-registry" / ".gitignore").read_text() == "*\n"

    def test_what_another_program_keeps_is_no_part_of_it(self, folder: Path) -> None:
        (folder / "Dockerfile").write_text("FROM scratch\n")
        programs = [folder / "one", folder / "other"]
        for program in programs:
            program.mkdir()
        image = ImageSettings(context="..")
        tags = {stage(read_build("app", image, "linux/amd64", each), each).tag for _ in range(4) for each in programs}
        assert len(tags) == 1


class TestDockerfile:
    @pytest.mark.parametrize("ignored", [True, False], ids=["ignored", "outside"])
    def test_one_that_is_not_sent_has_a_name_that_never_changes(
        self, folder: Path, app: Path, *, ignored: bool
    ) -> None:
        (folder / "Containerfile").write_text("FROM scratch\n")
        (app / ".dockerignore").write_text("Dockerfile\n")
        made = staged(folder, ImageSettings(context="app", dockerfile="Dockerfile" if ignored else "../Containerfile"))
        assert (folder / made.staged_dockerfile).resolve().name == UNSENT_DOCKERFILE
        assert not (folder / made.staged_context / "Dockerfile").exists()
        assert (folder / f"{made.staged_dockerfile}.dockerignore").read_text() == ""

    def test_the_ignore_file_of_one_from_outside_counts_and_is_not_sent(self, folder: Path) -> None:
        (folder / "Containerfile").write_text("FROM scratch\n")
        (folder / "Containerfile.dockerignore").write_text("site\n")
        made = staged(folder, ImageSettings(context="app", dockerfile="../Containerfile"))
        assert {file.name for file in (folder / made.staged_context).iterdir()} == {
            ".dockerignore",
            UNSENT_DOCKERFILE,
            "Dockerfile",
            "latest",
            "noise.log",
            "run.sh",
        }

    def test_both_are_read_through_links(self, folder: Path, app: Path) -> None:
        for name in ("Dockerfile", ".dockerignore"):
            (app / name).replace(folder / f"shared-{name}")
            (app / name).symlink_to(f"../shared-{name}")
        made = staged(folder)
        assert made.left_out == ()
        assert contents(folder / made.staged_context)["Dockerfile"] == "FROM scratch\nCOPY . /\n"
        assert "noise.log" not in contents(folder / made.staged_context)


class TestTimes:
    def test_everything_keeps_its_own(self, folder: Path, app: Path) -> None:
        os.utime(app / "run.sh", ns=(EDITED, EDITED))
        os.utime(app / "latest", ns=(EDITED + 1, EDITED + 1), follow_symlinks=False)
        os.utime(app / "site", ns=(EDITED + 2, EDITED + 2))
        before = times(app)
        after = times(folder / staged(folder).staged_context)
        assert after == {path: before[path] for path in after}
        assert after["run.sh"] == EDITED

    def test_one_before_1970_is_1970_as_the_daemon_has_it(self, folder: Path, app: Path) -> None:
        os.utime(app / ".dockerignore", ns=(0, -1_000_000_007))
        assert times(folder / staged(folder).staged_context)[".dockerignore"] == 0

    def test_they_are_no_part_of_the_tag(self, folder: Path, app: Path) -> None:
        before = staged(folder).tag
        os.utime(app / "run.sh", ns=(EDITED, EDITED))
        assert staged(folder).tag == before

    def test_edit_back_and_forth_the_third_is_newer_than_the_second(self, folder: Path, app: Path) -> None:
        """Or make and cargo, whose objects stay in a cache mount, ship the second program again."""
        tags = []
        for number, text in enumerate("ABA"):
            (app / "run.sh").write_text(text)
            os.utime(app / "run.sh", ns=(EDITED, EDITED + number))
            made = staged(folder)
            tags.append(made.tag)
            assert (folder / made.staged_context / "run.sh").read_text() == text
            assert times(folder / made.staged_context)["run.sh"] == EDITED + number
        assert tags[0] == tags[2] != tags[1]

    def test_a_stage_does_not_change_the_times_of_another(self, folder: Path, app: Path) -> None:
        first = staged(folder)
        (app / "run.sh").write_text("edited")
        second = staged(folder)
        before = times(folder / first.staged_context)
        os.utime(app / "site" / "deep" / "page", ns=(EDITED, EDITED))
        assert staged(folder).stage == second.stage
        assert times(folder / second.staged_context)["site/deep/page"] == EDITED
        assert times(folder / first.staged_context) == before

    def test_a_server_that_compares_times_sends_every_edit(self, folder: Path, app: Path) -> None:
        page, seen = app / "site" / "deep" / "page", "Thu, 01 Jan 1970 00:00:00 GMT"
        for number, text in enumerate(["hello", "hallo", "hullo", "hello"]):
            page.write_text(text)
            os.utime(page, (A_WHILE_AGO + number, A_WHILE_AGO + number))
            with served(folder / staged(folder).staged_context) as address:
                asked = Request(f"http://{address}/site/deep/page", headers={"If-Modified-Since": seen})
                with urlopen(asked, timeout=10) as answer:  # noqa: S310 - a server of this test's
                    assert answer.read().decode() == text
                    seen = answer.headers["Last-Modified"]


class TestModes:
    def test_those_that_were_set_stay(self, folder: Path, app: Path) -> None:
        given = {"key": 0o600, "data": 0o777, "run.sh": 0o4755, "log": 0o666, "read": 0o444}
        for name, mode in given.items():
            (app / name).touch()
            (app / name).chmod(mode)
        (app / "tmp").mkdir()
        (app / "tmp").chmod(0o1777)
        with umask(0o022):
            found = modes(folder / staged(folder).staged_context)
        assert {name: found[name] for name in given} == given
        assert found["tmp"] == 0o1777
        assert found["Dockerfile"] == 0o644

    @pytest.mark.parametrize("mask", [0o077, 0o027, 0o007, 0o002, 0o000], ids=oct)
    def test_a_checkout_under_another_umask_is_no_change(self, tmp_path: Path, mask: int) -> None:
        with umask(0o022):
            one = checkout(tmp_path / "one")
            first = staged(one)
        with umask(mask):
            other = checkout(tmp_path / "other")
            second = staged(other)
        assert first.tag == second.tag
        assert modes(one / first.staged_context) == modes(other / second.staged_context)

    def test_each_is_part_of_the_tag(self, folder: Path, app: Path) -> None:
        tags = []
        for mode in (0o644, 0o600, 0o755, 0o777, 0o4755):
            (app / "run.sh").chmod(mode)
            tags.append(staged(folder).tag)
        (app / "site").chmod(0o700)
        tags.append(staged(folder).tag)
        assert len(set(tags)) == len(tags)

    def test_files_that_the_umask_hides_are_counted(self, tmp_path: Path) -> None:
        with umask(0o022):
            assert staged(checkout(tmp_path / "one")).widened == 0
        with umask(0o027):
            other = checkout(tmp_path / "other")
            (other / "app" / "site" / "deep" / "page").chmod(0o600)
            assert staged(other).widened == 3

    def test_a_folder_without_write_permission_can_be_staged_and_removed_by_its_owner(self, folder: Path) -> None:
        (folder / "app" / "site" / "deep").chmod(0o555)
        subprocess.run(["chown", "-R", str(NOBODY), folder], check=True)
        for each in (folder, *folder.parents):
            each.chmod(each.stat().st_mode | 0o055)
        program = (
            "import os, pathlib, shutil; from kube_registry.build.build import read_build\n"
            "from kube_registry.build.staging import stage\n"
            "from kube_registry.spec.settings import ImageSettings; here = pathlib.Path.cwd(); os.setuid(65534)\n"
            "made = stage(read_build('app', ImageSettings(context='app'), 'linux/amd64', here), here)\n"
            "sent = here / made.staged_context\n"
            "shutil.rmtree(sent / 'site', ignore_errors=True); (sent / 'run.sh').unlink()\n"
            "again = stage(read_build('app', ImageSettings(context='app'), 'linux/amd64', here), here)\n"
            "assert again == made; print(sorted(os.listdir('.kube-registry/stages/app')) == [made.tag])"
        )
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert (done.stdout, done.stderr) == ("True\n", "")


class TestLinks:
    @pytest.mark.parametrize(
        "target",
        [
            "me@host.4711:1700000000",
            "noise.log",
            "../beside",
            "loop",
            "/dev/null",
            "../app/run.sh",
            "nowhere/../run.sh",
            "run.sh/",
            "../" * 40 + "dev/null",
        ],
    )
    def test_one_that_leads_out_of_what_is_sent_stops_nothing_and_changes_nothing(
        self, folder: Path, app: Path, target: str
    ) -> None:
        before = staged(folder)
        (folder / "beside").write_text("")
        (app / "loop").symlink_to(target)
        after = staged(folder)
        assert after.tag == before.tag
        assert not (folder / after.staged_context / "loop").is_symlink()
        assert after.left_out == (app.resolve() / "loop",)

    @pytest.mark.parametrize("target", ["run.sh", "latest", "site/deep", "./site/../run.sh", "site/deep/..", "."])
    def test_one_that_leads_to_what_is_sent_is_sent(self, folder: Path, app: Path, target: str) -> None:
        (app / "link").symlink_to(target)
        made = staged(folder)
        assert os.readlink(folder / made.staged_context / "link") == target  # noqa: PTH115 - a Path changes "./"
        assert (folder / made.staged_context / "link").exists()
        assert made.left_out == ()

    def test_the_way_through_a_folder_that_is_a_link_is_followed_as_the_system_does(
        self, folder: Path, app: Path
    ) -> None:
        (app / "here").symlink_to("site/deep")
        (app / "good").symlink_to("here/../deep/page")
        (app / "bad").symlink_to("here/../run.sh")
        made = staged(folder)
        assert (folder / made.staged_context / "good").exists()
        assert made.left_out == (app.resolve() / "bad",)

    def test_one_that_leads_to_one_that_is_left_out_is_left_out_as_well(self, folder: Path, app: Path) -> None:
        (app / "a").symlink_to("b")
        (app / "b").symlink_to("/usr")
        assert set(staged(folder).left_out) == {app.resolve() / "a", app.resolve() / "b"}


class TestHardLinks:
    def test_equal_files_are_files_of_their_own_in_every_stage(self, folder: Path, app: Path) -> None:
        """An archive makes hard links of two names of one file, and so other layers of the same files."""
        (app / "one").write_text("the same")
        shutil.copy2(app / "one", app / "two")
        (app / "three").hardlink_to(app / "one")
        for number in range(3):
            (app / "run.sh").write_text(f"{number}")
            context = folder / staged(folder).staged_context
            assert len({(context / name).stat().st_ino for name in ("one", "two", "three")}) == 3


class TestReuse:
    def test_a_whole_one_is_used_as_it_is(self, folder: Path) -> None:
        page = folder / staged(folder).staged_context / "site" / "deep" / "page"
        before = page.stat().st_ino
        staged(folder)
        assert page.stat().st_ino == before

    @pytest.mark.parametrize("lost", ["context/run.sh", "context/site", "Dockerfile", "Dockerfile.dockerignore"])
    def test_one_that_lost_something_is_made_again(self, folder: Path, lost: str) -> None:
        made = (folder / staged(folder).staged_context).parent
        before = contents(made), times(made / "context")
        shutil.rmtree(made / lost) if (made / lost).is_dir() else (made / lost).unlink()
        staged(folder)
        assert (contents(made), times(made / "context")) == before

    def test_one_that_was_written_to_is_made_again(self, folder: Path) -> None:
        made = folder / staged(folder).staged_context
        before = contents(made), times(made)
        (made / "run.sh").write_text("#!/bin/sx\n")
        (made / "more").write_text("")
        staged(folder)
        assert (contents(made), times(made)) == before

    def test_one_whose_file_was_written_to_is_made_again_when_its_size_stayed(self, folder: Path) -> None:
        made = folder / staged(folder).staged_context
        (made / "run.sh").write_text("#!/bin/sx\n")
        staged(folder)
        assert (made / "run.sh").read_text() == "#!/bin/sh\n"

    def test_what_did_not_change_is_on_the_disk_once(self, folder: Path, app: Path) -> None:
        before = folder / staged(folder).staged_context
        (app / "run.sh").write_text("#!/bin/bash\n")
        after = folder / staged(folder).staged_context
        assert (before / "site/deep/page").stat().st_ino == (after / "site/deep/page").stat().st_ino
        assert (before / "run.sh").read_text() == "#!/bin/sh\n"
        assert (after / "run.sh").read_text() == "#!/bin/bash\n"

    def test_where_nothing_can_be_linked_it_is_copied(
        self, folder: Path, app: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = times(folder / staged(folder).staged_context)
        (app / "run.sh").chmod(0o600)

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        assert times(folder / staged(folder).staged_context) == before

    @pytest.mark.parametrize("text", ["[]", "null", "{", '{"run.sh": 1}', '{"run.sh": null}'])
    def test_where_it_does_not_say_what_it_holds_files_are_copied(self, folder: Path, app: Path, text: str) -> None:
        stage_folder = (folder / staged(folder).staged_dockerfile).parent
        (stage_folder / "hashes.json").write_text(text)
        (app / "more").write_text("more")
        assert (folder / staged(folder).staged_context / "run.sh").stat().st_nlink == 1

    def test_those_that_were_not_used_for_a_day_are_removed(self, folder: Path, app: Path) -> None:
        tags = []
        for text in ("old", "recent", "new"):
            (app / "run.sh").write_text(text)
            made = staged(folder)
            tags.append(made.tag)
            if text == "old":
                home = folder / ".kube-registry" / "stages" / "app"
                long_ago = (home / made.tag).stat().st_mtime - DAY - 1
                (home / "making-x").mkdir()
                for left in (made.tag, "making-x"):
                    os.utime(home / left, (long_ago, long_ago))
        assert sorted(each.name for each in home.iterdir()) == sorted(tags[1:])


class TestErrors:
    def test_a_file_that_changed_since_it_was_hashed(self, folder: Path, app: Path) -> None:
        build = read(folder)
        (app / "run.sh").write_text("#!/bin/sx\n")
        with pytest.raises(BuildContextError) as raised:
            stage(build, folder)
        assert raised.value.path == str(app.resolve() / "run.sh")
        home = folder / ".kube-registry" / "stages" / "app"
        assert list(home.iterdir()) == []
        staged(folder)

    def test_a_file_that_is_gone_since_it_was_hashed(self, folder: Path, app: Path) -> None:
        build = read(folder)
        (app / "run.sh").unlink()
        with pytest.raises(BuildContextError) as raised:
            stage(build, folder)
        assert raised.value.path == str(app.resolve() / "run.sh")

    def test_a_hash_that_was_remembered_wrongly_is_wrong_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("kube_registry.build.hash_cache.SETTLED_NS", 0)
        build = read(folder)
        cache = folder / ".kube-registry" / "cache-app.json"
        value = json.loads(cache.read_text())["run.sh"][-1]
        cache.write_text(cache.read_text().replace(value, "0" * 64))
        with pytest.raises(BuildContextError):
            staged(folder)
        assert staged(folder).tag == build.tag

    def test_a_folder_that_cannot_be_written_to(self, folder: Path) -> None:
        (folder / ".kube-registry").write_text("in the way")
        with pytest.raises(BuildContextError) as raised:
            staged(folder)
        assert ".kube-registry" in raised.value.path

    @pytest.mark.parametrize("in_place", [Path.mkdir, None], ids=["a folder", "a folder above it"])
    def test_a_file_that_became_something_else(
        self, folder: Path, app: Path, in_place: Callable[[Path], None] | None
    ) -> None:
        build = read(folder)
        file = app / "site" / "deep" / "page"
        if in_place:
            file.unlink()
            in_place(file)
        else:
            shutil.rmtree(file.parent)
            file.parent.write_text("a file")
        with pytest.raises(BuildContextError) as raised:
            stage(build, folder)
        assert (raised.value.path, raised.value.problem) == (str(file.resolve()), "changed while it was read")

    def test_a_full_disk_is_named_by_the_folder_and_git_sees_none_of_it_later(self, folder: Path) -> None:
        with no_room(), pytest.raises(BuildContextError) as raised:
            staged(folder)
        assert ".kube-registry" in raised.value.path
        staged(folder)
        assert (folder / ".kube-registry" / ".gitignore").read_text() == "*\n"

    @pytest.mark.parametrize("name", ["(Übersicht).txt", "(" * 100])
    def test_a_first_name_that_an_archive_cannot_begin_with(self, folder: Path, app: Path, name: str) -> None:
        """The provider's build ends in "unknown instruction: PAXHEADERS"; the same name in another place builds."""
        (app / name).write_text("")
        with pytest.raises(BuildContextError) as raised:
            staged(folder)
        assert raised.value.path == str(app.resolve() / name)
        (app / name).rename(app / f"x{name}")
        staged(folder)

    def test_a_name_that_is_not_utf_8_can_be_printed(self, folder: Path, app: Path) -> None:
        (app / os.fsdecode(b"caf\xe9")).write_text("")
        with pytest.raises(BuildContextError) as raised:
            staged(folder)
        assert str(raised.value).isprintable()
        assert r"caf\udce9" in str(raised.value)
