import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from stack.content import Content, read_content
from stack.errors import BuildContextError
from stack.settings import ImageSettings
from stack.staging import Staged, stage

DAY = 24 * 3600


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
    (folder / "app" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "app" / "run.sh").chmod(0o700)
    (folder / "app" / "noise.log").write_text("noise")
    (folder / "app" / "latest").symlink_to("run.sh")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return checkout(tmp_path)


def read(folder: Path, image: ImageSettings | None = None, name: str = "app") -> Content:
    return read_content(name, image or ImageSettings(context="app"), "linux/amd64", folder)


def staged(folder: Path, image: ImageSettings | None = None, name: str = "app") -> Staged:
    return stage(read(folder, image, name), folder)


def seen(folder: Path) -> dict[str, tuple[int, float, str]]:
    """What the provider and the layers see of a folder: path -> mode, time, content or target."""
    paths = [folder, *folder.rglob("*")]
    return {str(path.relative_to(folder)): _facts(path) for path in paths}


def _facts(path: Path) -> tuple[int, float, str]:
    content = str(path.readlink()) if path.is_symlink() else path.read_text() if path.is_file() else ""
    return path.lstat().st_mode, path.lstat().st_mtime, content


class TestStage:
    def test_two_checkouts_give_the_same_under_any_umask(self, tmp_path: Path) -> None:
        with umask(0o022):
            one = checkout(tmp_path / "one")
            first = staged(one)
        with umask(0o077):
            other = checkout(tmp_path / "other")
            second = staged(other)
        assert first == second
        assert seen(one / first.context) == seen(other / second.context)

    def test_it_holds_what_docker_would_send_with_fixed_modes_and_times_of_long_ago(self, folder: Path) -> None:
        found = seen(folder / staged(folder).context)
        modes = {path: mode & 0o7777 for path, (mode, _, _) in found.items()}
        assert modes == {
            ".": 0o755,
            ".dockerignore": 0o644,
            "Dockerfile": 0o644,
            "latest": 0o777,
            "run.sh": 0o755,
            "site": 0o755,
            "site/deep": 0o755,
            "site/deep/page": 0o644,
        }
        assert all(946_684_800 <= time < 1_577_836_800 for _, time, _ in found.values())
        assert found["latest"][2] == "run.sh"

    def test_its_paths_are_relative_and_hold_the_tag(self, folder: Path) -> None:
        made = staged(folder, name="team/app")
        assert made.context == f".kube-registry/stages/team+app/{made.tag}/context"
        assert made.dockerfile == f"{made.context}/Dockerfile"

    def test_an_edit_of_the_same_length_gets_another_time(self, folder: Path) -> None:
        before = seen(folder / staged(folder).context)["site/deep/page"]
        (folder / "app" / "site" / "deep" / "page").write_text("hallo")
        after = seen(folder / staged(folder).context)["site/deep/page"]
        assert before[1] != after[1]

    def test_a_dockerfile_from_outside_lies_beside_the_context_with_its_ignore_file(self, folder: Path) -> None:
        (folder / "Containerfile").write_text("FROM scratch\n")
        (folder / "Containerfile.dockerignore").write_text("site\n")
        made = staged(folder, ImageSettings(context="app", dockerfile="../Containerfile"))
        assert made.dockerfile == f".kube-registry/stages/app/{made.tag}/Dockerfile"
        assert (folder / made.dockerfile).read_text() == "FROM scratch\n"
        assert (folder / f"{made.dockerfile}.dockerignore").read_text() == "site\n"
        assert "noise.log" in seen(folder / made.context)

    def test_the_programs_folder_can_be_the_context(self, folder: Path) -> None:
        (folder / "Dockerfile").write_text("FROM scratch\n")
        first = staged(folder, ImageSettings())
        assert staged(folder, ImageSettings()) == first
        assert not (folder / first.context / ".kube-registry").exists()
        assert (folder / ".kube-registry" / ".gitignore").read_text() == "*\n"


class TestReuse:
    def test_a_whole_one_is_used_as_it_is(self, folder: Path) -> None:
        page = folder / staged(folder).context / "site" / "deep" / "page"
        before = page.stat().st_ino
        staged(folder)
        assert page.stat().st_ino == before

    @pytest.mark.parametrize("lost", ["run.sh", "site"])
    def test_one_that_lost_something_is_made_again(self, folder: Path, lost: str) -> None:
        made = folder / staged(folder).context
        before = seen(made)
        shutil.rmtree(made / lost) if (made / lost).is_dir() else (made / lost).unlink()
        staged(folder)
        assert seen(made) == before

    def test_one_that_was_written_to_is_made_again(self, folder: Path) -> None:
        made = folder / staged(folder).context
        before = seen(made)
        (made / "run.sh").write_text("#!/bin/sx\n")
        (made / "more").write_text("")
        staged(folder)
        assert seen(made) == before

    def test_what_did_not_change_is_a_link_to_the_earlier_one(self, folder: Path) -> None:
        before = folder / staged(folder).context
        (folder / "app" / "run.sh").write_text("#!/bin/bash\n")
        after = folder / staged(folder).context
        assert (before / "site/deep/page").stat().st_ino == (after / "site/deep/page").stat().st_ino
        assert (before / "run.sh").read_text() == "#!/bin/sh\n"
        assert (after / "run.sh").read_text() == "#!/bin/bash\n"

    def test_where_nothing_can_be_linked_it_is_copied(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = seen(folder / staged(folder).context)
        (folder / "app" / "run.sh").chmod(0o600)

        def refuse(*_: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
        after = seen(folder / staged(folder).context)
        assert after["site/deep/page"] == before["site/deep/page"]
        assert after["run.sh"][0] != before["run.sh"][0]

    def test_those_that_were_not_used_for_a_day_are_removed(self, folder: Path) -> None:
        tags = []
        for text in ("old", "recent", "new"):
            (folder / "app" / "run.sh").write_text(text)
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
    def test_a_file_that_changed_since_it_was_hashed(self, folder: Path) -> None:
        content = read(folder)
        (folder / "app" / "run.sh").write_text("#!/bin/sx\n")
        with pytest.raises(BuildContextError, match=r"run\.sh changed while it was read"):
            stage(content, folder)
        home = folder / ".kube-registry" / "stages" / "app"
        assert list(home.iterdir()) == []
        staged(folder)

    def test_a_hash_that_was_remembered_wrongly_is_wrong_once(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("stack.hashes.SETTLED_NS", 0)
        content = read(folder)
        cache = folder / ".kube-registry" / "cache-app.json"
        value = next(entry.value for entry in content.entries if entry.path == "context/run.sh")
        cache.write_text(cache.read_text().replace(value, "0" * 64))
        with pytest.raises(BuildContextError, match="changed while it was read"):
            staged(folder)
        assert staged(folder).tag == content.tag

    @pytest.mark.parametrize("target", ["nowhere", "noise.log", "../beside", "loop"])
    def test_a_link_that_leads_nowhere_in_the_build(self, folder: Path, target: str) -> None:
        (folder / "beside").write_text("")
        (folder / "app" / "loop").symlink_to(target)
        with pytest.raises(BuildContextError, match=rf"app/loop is a link to {target}, which is not there"):
            staged(folder)

    def test_a_link_to_a_place_of_this_machine_is_kept(self, folder: Path) -> None:
        (folder / "app" / "null").symlink_to("/dev/null")
        assert (folder / staged(folder).context / "null").readlink() == Path("/dev/null")

    def test_a_folder_that_cannot_be_written_to(self, folder: Path) -> None:
        (folder / ".kube-registry").write_text("in the way")
        with pytest.raises(BuildContextError, match=r"\.kube-registry.* cannot be staged: "):
            staged(folder)
