import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kube_registry.build.build import read_build
from kube_registry.build.dockerignore import context_paths
from kube_registry.build.errors import BuildContextError
from kube_registry.spec.sections import ImageSettings

PLATFORM = "linux/amd64"
AN_HOUR_AGO = 3600


def checkout(folder: Path) -> Path:
    (folder / "app" / "site").mkdir(parents=True)
    (folder / "app" / "Dockerfile").write_text("FROM scratch\nCOPY site /site\n")
    (folder / "app" / "site" / "index.html").write_text("hello")
    (folder / "app" / "run.sh").write_text("#!/bin/sh\n")
    (folder / "app" / "run.sh").chmod(0o755)
    (folder / "app" / "latest").symlink_to("site")
    return folder


def tag(folder: Path, image: ImageSettings | None = None, platform: str = PLATFORM) -> str:
    return read_build("app", image or ImageSettings(context="app"), platform, folder).tag


def paths(folder: Path, image: ImageSettings) -> list[str]:
    return [entry.path for entry in read_build("app", image, PLATFORM, folder).entries]


class TestTag:
    def test_another_checkout_gives_the_same(self, tmp_path: Path) -> None:
        one = checkout(tmp_path / "one")
        other = checkout(tmp_path / "other")
        os.utime(other / "app" / "site" / "index.html", (1, 1))
        assert tag(one) == tag(other)

    def test_what_the_build_reads_changes_it(self, tmp_path: Path) -> None:
        folder = checkout(tmp_path)
        app = folder / "app"
        tags = [tag(folder)]
        changes: list[Callable[[], object]] = [
            lambda: (app / "site" / "index.html").write_text("hallo"),
            lambda: (app / "site" / "index.html").rename(app / "site" / "start.html"),
            lambda: (app / "run.sh").chmod(0o644),
            (app / "site" / "empty").mkdir,
            lambda: (app / "latest").replace(app / "newest"),
            lambda: (app / "Dockerfile").write_text("FROM scratch\n"),
        ]
        for change in changes:
            change()
            tags.append(tag(folder))
        tags += [
            tag(folder, ImageSettings(context="app", target="base")),
            tag(folder, ImageSettings(context="app", build_args={"A": "1"})),
            tag(folder, platform="linux/arm64"),
        ]
        assert len(set(tags)) == len(tags)

    def test_what_is_ignored_does_not(self, tmp_path: Path) -> None:
        folder = checkout(tmp_path)
        (folder / "app" / ".dockerignore").write_text("*.log\n")
        before = tag(folder)
        (folder / "app" / "today.log").write_text("noise")
        assert tag(folder) == before

    def test_nor_does_what_is_neither_file_nor_folder_nor_link(self, tmp_path: Path) -> None:
        folder = checkout(tmp_path)
        before = tag(folder)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.relpath(folder / "app" / "socket"))
            assert tag(folder) == before

    def test_a_dockerfile_from_outside_counts_and_so_does_its_ignore_file(self, tmp_path: Path) -> None:
        folder, image = checkout(tmp_path), ImageSettings(context="app", dockerfile="../Containerfile")
        (folder / "Containerfile").write_text("FROM scratch\n")
        tags = [tag(folder, image)]
        (folder / "Containerfile").write_text("FROM scratch\nCOPY . /\n")
        tags.append(tag(folder, image))
        (folder / "Containerfile.dockerignore").write_text("run.sh\n")
        tags.append(tag(folder, image))
        assert len(set(tags)) == 3
        assert "run.sh" not in paths(folder, image)


class TestEntries:
    def test_the_programs_own_folder_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "Dockerfile").write_text("FROM scratch\n")
        (tmp_path / ".kube-registry").mkdir()
        (tmp_path / ".kube-registry" / "cache-app.json").write_text("{}")
        assert paths(tmp_path, ImageSettings()) == ["Dockerfile"]

    def test_a_dockerfile_that_is_found_through_a_link_is_one_entry(self, tmp_path: Path) -> None:
        folder = checkout(tmp_path)
        (folder / "app" / "site" / "Dockerfile").write_text("FROM scratch\n")
        image = ImageSettings(context="app", dockerfile="latest/Dockerfile")
        build = read_build("app", image, PLATFORM, folder)
        assert build.sent_dockerfile == "site/Dockerfile"
        assert build.sent_dockerfile in [entry.path for entry in build.entries]


class TestContextPaths:
    def test_a_file_in_an_excluded_folder_can_come_back(self, tmp_path: Path) -> None:
        app = checkout(tmp_path) / "app"
        (app / ".dockerignore").write_text("*\n!site/index.html\n")
        assert context_paths(app, app / "Dockerfile") == ["site", "site/index.html"]

    def test_a_pattern_with_a_wildcard_brings_back_from_any_excluded_folder(self, tmp_path: Path) -> None:
        app = checkout(tmp_path) / "app"
        (app / ".dockerignore").write_text("*\n!*/index.html\n")
        assert context_paths(app, app / "Dockerfile") == ["site", "site/index.html"]
        (app / ".dockerignore").write_text("site\n!**/index.html\n")
        assert "site/index.html" in context_paths(app, app / "Dockerfile")

    def test_the_dockerfiles_own_ignore_file_is_asked_first(self, tmp_path: Path) -> None:
        app = checkout(tmp_path) / "app"
        (app / ".dockerignore").write_text("run.sh\n")
        (app / "Dockerfile.dockerignore").write_text("site\nlatest\n*ignore\n")
        assert context_paths(app, app / "Dockerfile") == ["Dockerfile", "run.sh"]


class TestErrors:
    @pytest.mark.parametrize(
        ("image", "problem"),
        [
            (ImageSettings(context="nowhere"), "nowhere is not a folder"),
            (ImageSettings(context="app", dockerfile="Containerfile"), "Containerfile is not a file"),
            (ImageSettings(context="a" * 300), "cannot be read: File name too long"),
            (ImageSettings(context="app", dockerfile="a" * 300), "cannot be read: File name too long"),
            (ImageSettings(context="a\0b"), "is not a folder"),
            (ImageSettings(context="app/itself"), "itself is not a folder"),
        ],
    )
    def test_missing_files_are_one_sentence(self, tmp_path: Path, image: ImageSettings, problem: str) -> None:
        folder = checkout(tmp_path)
        (folder / "app" / "itself").symlink_to("itself")
        with pytest.raises(BuildContextError, match=problem):
            tag(folder, image)

    def test_a_wrong_pattern_names_its_file(self, tmp_path: Path) -> None:
        folder = checkout(tmp_path)
        (folder / "app" / ".dockerignore").write_text("[a-\n")
        with pytest.raises(BuildContextError, match=r"app/\.dockerignore .*'\[a-' has an incomplete bracket"):
            tag(folder)


class TestCache:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return checkout(tmp_path)

    @pytest.fixture
    def cache(self, folder: Path) -> Path:
        return folder / ".kube-registry" / "cache-app.json"

    @pytest.fixture
    def later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Time goes by: what was made just now has been left alone for an hour."""
        now = time.time_ns
        monkeypatch.setattr("kube_registry.build.hash_cache.time.time_ns", lambda: now() + AN_HOUR_AGO * 1_000_000_000)

    @pytest.mark.usefixtures("later")
    def test_a_file_that_did_not_change_is_not_read_again(self, folder: Path, cache: Path) -> None:
        before = tag(folder)
        known = cache.read_text()
        assert "site/index.html" in known
        value = json.loads(known)["site/index.html"][-1]
        cache.write_text(known.replace(value, "0" * 64))
        assert tag(folder) != before

    @pytest.mark.usefixtures("later")
    def test_those_of_an_image_with_the_longest_name_are_kept(self, folder: Path) -> None:
        read_build("a" * 239, ImageSettings(context="app"), PLATFORM, folder)
        assert [file for file in (folder / ".kube-registry").iterdir() if "aaaa" in file.name]

    @pytest.mark.usefixtures("later")
    def test_a_change_that_keeps_size_and_time_is_noticed(self, folder: Path) -> None:
        page = folder / "app" / "site" / "index.html"
        before, times = tag(folder), page.stat()
        page.write_text("hallo")
        os.utime(page, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert tag(folder) != before

    def test_a_file_that_changed_just_now_is_not_believed(self, folder: Path, cache: Path) -> None:
        tag(folder)
        assert not cache.exists() or "index.html" not in cache.read_text()

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"run.sh": 1}', '{"run.sh": []}', "\x00\xff"])
    @pytest.mark.usefixtures("later")
    def test_a_broken_one_is_an_empty_one(self, folder: Path, cache: Path, text: str) -> None:
        before = tag(folder)
        cache.write_text(text)
        assert tag(folder) == before
        assert "index.html" in cache.read_text()

    def test_where_none_can_be_kept_there_is_none(self, folder: Path) -> None:
        (folder / ".kube-registry").write_text("in the way")
        assert tag(folder) == tag(folder)

    @pytest.mark.usefixtures("later")
    def test_git_does_not_see_it(self, folder: Path, cache: Path) -> None:
        tag(folder)
        assert (cache.parent / ".gitignore").read_text() == "*\n"
        assert [file.name for file in cache.parent.glob("cache*")] == [cache.name]
