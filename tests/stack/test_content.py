import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stack.content import IgnoreRules, content_tag, context_paths
from stack.errors import BuildContextError
from stack.settings import ImageSettings

PLATFORM = "linux/amd64"


def checkout(folder: Path, *, umask: int = 0o022) -> Path:
    before = os.umask(umask)
    try:
        (folder / "app" / "site").mkdir(parents=True)
        (folder / "app" / "Dockerfile").write_text("FROM scratch\nCOPY site /site\n")
        (folder / "app" / "site" / "index.html").write_text("hello")
        (folder / "app" / "run.sh").write_text("#!/bin/sh\n")
        (folder / "app" / "run.sh").chmod(0o777 & ~umask)
        (folder / "app" / "latest").symlink_to("site")
    finally:
        os.umask(before)
    return folder


def tag(folder: Path, image: ImageSettings | None = None, platform: str = PLATFORM) -> str:
    return content_tag("app", image or ImageSettings(context="app"), platform, folder)


class TestContentTag:
    def test_another_checkout_gives_the_same_tag(self, tmp_path: Path) -> None:
        one = checkout(tmp_path / "one")
        other = checkout(tmp_path / "other", umask=0o077)
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

    @pytest.mark.parametrize(
        ("image", "problem"),
        [
            (ImageSettings(context="nowhere"), "nowhere is not a folder"),
            (ImageSettings(context="app", dockerfile="Containerfile"), "Containerfile is not a file"),
        ],
    )
    def test_missing_files_are_one_sentence(self, tmp_path: Path, image: ImageSettings, problem: str) -> None:
        with pytest.raises(BuildContextError, match=problem):
            tag(checkout(tmp_path), image)


class TestIgnoreRules:
    @pytest.mark.parametrize(
        ("text", "path", "excluded"),
        [
            ("# a comment\n\n", "# a comment", False),
            ("node_modules", "node_modules/x/y", True),
            ("node_modules", "web/node_modules", False),
            ("**/node_modules", "node_modules", True),
            ("**/node_modules", "web/node_modules/x", True),
            ("*.md", "README.md", True),
            ("*.md", "docs/README.md", False),
            ("*/*.md", "docs/README.md", True),
            ("**/*.md", "README.md", True),
            ("docs/**", "docs", False),
            ("docs/**", "docs/a/b", True),
            ("/docs/", "docs/a", True),
            ("./docs/../src", "src/a", True),
            ("temp?", "temp1", True),
            ("temp?", "temp", False),
            ("[ab].txt", "a.txt", True),
            ("[^ab].txt", "a.txt", False),
            ("[a-c].txt", "b.txt", True),
            ("a+b(c).txt", "a+b(c).txt", True),
            (r"\*.txt", "*.txt", True),
            (r"\*.txt", "a.txt", False),
            ("*\n!README.md", "README.md", False),
            ("*.md\n!README.md\nREADME.md", "README.md", True),
            ("docs\n!docs/keep", "docs/keep/a", False),
            ("docs\n!docs/keep", "docs/lose", True),
            ("**.pyc", "b.pyc", True),
            ("**.pyc", "a/b.pyc", True),
            ("**/*.log\n!keep", "keep/x.log", True),
            ("*.log\n!keep.log", "keep.log", False),
            (".", "a", False),
        ],
    )
    def test_they_are_dockers(self, text: str, path: str, excluded: bool) -> None:  # noqa: FBT001
        assert IgnoreRules.parse(text).exclude(path) is excluded

    def test_a_file_in_an_excluded_folder_can_come_back(self, tmp_path: Path) -> None:
        folder = checkout(tmp_path) / "app"
        (folder / ".dockerignore").write_text("*\n!site/index.html\n")
        assert context_paths(folder) == ["site/index.html"]
