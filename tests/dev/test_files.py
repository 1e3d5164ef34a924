"""What counts as a change: snapshots of real folders."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kube_registry.build.hash_cache import Hashes
from kube_registry.dev.files import Files, ImageSource, Snapshot, changes, deployed_files, take_snapshot
from kube_registry.spec.sections import ImageSettings

URN = "urn:pulumi:dev::shop::docker:index/image:Image::app"


def source(context: str = "./app", dockerfile: str = "Dockerfile", tag: str | None = None) -> ImageSource:
    settings = ImageSettings(context=context, dockerfile=dockerfile)
    return ImageSource("app", settings, "linux/amd64", URN, "registry", tag)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A program with one image."""
    folder = tmp_path / "program"
    for name, text in {
        "Pulumi.yaml": "name: shop\nruntime: python\n",
        "Pulumi.dev.yaml": "config: {}\n",
        "Pulumi.prod.yaml": "config: {}\n",
        "__main__.py": "",
        "parts/__init__.py": "",
        "notes.md": "",
        ".venv/lib/site.py": "",
        "other-venv/pyvenv.cfg": "",
        "other-venv/lib/site.py": "",
        ".git/index.json": "",
        "__pycache__/main.py": "",
        ".kube-registry/stages/app/x.py": "",
        "app/Dockerfile": "FROM scratch\nCOPY . /\n",
        "app/.dockerignore": "logs\n**/*.log\n**/*.py\n",
        "app/site/index.html": "hello",
        "app/site/tool.py": "",
        "app/logs/today": "",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return folder


def look(folder: Path, *sources: ImageSource) -> Snapshot:
    images = {f"app{number}": each for number, each in enumerate(sources or (source(),))}
    return take_snapshot([folder], "dev", images, Hashes({}))


def write(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text("edited")


def replace_file(folder: Path) -> None:
    """Save a file as many editors do."""
    (folder / "app" / "site" / "new").write_text("edited")
    (folder / "app" / "site" / "new").rename(folder / "app" / "site" / "index.html")


COUNTS = {
    "program": (write("__main__.py"), ["__main__.py"]),
    "module": (write("parts/__init__.py"), ["parts/__init__.py"]),
    "new module": (write("parts/new.py"), ["parts/new.py"]),
    "deleted module": (lambda folder: (folder / "parts" / "__init__.py").unlink(), ["parts/__init__.py"]),
    "project": (write("Pulumi.yaml"), ["Pulumi.yaml"]),
    "config of the stack": (write("Pulumi.dev.yaml"), ["Pulumi.dev.yaml"]),
    "file of an image": (write("app/site/index.html"), ["app/site/index.html"]),
    "new file of an image": (write("app/site/new.html"), ["app/site/new.html"]),
    "saved by a rename": (replace_file, ["app/site/index.html"]),
    "mode": (lambda folder: (folder / "app/site/index.html").chmod(0o755), ["app/site/index.html"]),
    "Dockerfile": (lambda folder: (folder / "app/Dockerfile").write_text("FROM scratch\n"), ["app/Dockerfile"]),
    "two files": (lambda folder: [write(name)(folder) for name in ("a.py", "app/b")], ["a.py", "app/b"]),
    "no Dockerfile": (lambda folder: (folder / "app/Dockerfile").unlink(), ["image app0"]),
}
COUNTS_NOT = {
    "ignored folder": write("app/logs/today"),
    "ignored file": write("app/site/today.log"),
    "ignored Python file": write("app/site/tool.py"),
    "time of a file in a context": lambda folder: os.utime(folder / "app" / "site" / "index.html"),
    "same text of a program's file": lambda folder: (folder / "__main__.py").write_text(
        (folder / "__main__.py").read_text()
    ),
    "config of another stack": write("Pulumi.prod.yaml"),
    "notes": write("notes.md"),
    "log": write("dev.log"),
    "virtualenv": write(".venv/lib/site.py"),
    "virtualenv of any name": write("other-venv/lib/site.py"),
    "git": write(".git/index.json"),
    "byte code": write("__pycache__/main.py"),
    "own folder": write(".kube-registry/stages/app/x.py"),
    "temporary file of vim": write("4913"),
    "swap file of vim": write(".__main__.py.swp"),
    "backup file": write("__main__.py~"),
    "lock of emacs": write(".#__main__.py"),
}


@pytest.mark.parametrize("what", COUNTS)
def test_a_change_counts(folder: Path, what: str) -> None:
    change, expected = COUNTS[what]
    before = look(folder)
    change(folder)
    assert changes(before, look(folder), folder) == expected


@pytest.mark.parametrize("what", COUNTS_NOT)
def test_a_change_does_not_count(folder: Path, what: str) -> None:
    before = look(folder)
    COUNTS_NOT[what](folder)
    assert changes(before, look(folder), folder) == []


def test_a_context_and_a_dockerfile_outside_of_the_program_count(folder: Path) -> None:
    shutil.move(folder / "app", folder.parent / "app")
    (folder.parent / "build").mkdir()
    (folder.parent / "build" / "Dockerfile").write_text("FROM scratch\n")
    outside = source("../app", "../build/Dockerfile")
    before = look(folder, outside)
    write("../app/site/index.html")(folder)
    write("../build/Dockerfile")(folder)
    assert changes(before, look(folder, outside), folder) == ["../app/site/index.html", "../build/Dockerfile"]
    assert {folder.parent / "app" / "site", folder.parent / "build"} <= before.folders
    assert folder.parent / "app" / "logs" not in before.folders


def test_a_context_that_is_the_programs_folder_leaves_the_program_in(folder: Path) -> None:
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / ".dockerignore").write_text("**/*.py\n.*\n__pycache__\n")
    before = look(folder, source("."))
    write("__main__.py")(folder)
    assert changes(before, look(folder, source(".")), folder) == ["__main__.py"]


def test_a_missing_context_is_a_change_and_its_parent_is_watched(folder: Path) -> None:
    before = look(folder)
    shutil.rmtree(folder / "app")
    without = look(folder)
    assert changes(before, without, folder) == ["image app0"]
    assert folder in without.folders
    assert changes(without, look(folder), folder) == []


def test_a_context_whose_path_the_system_refuses_is_a_missing_one(folder: Path) -> None:
    found = look(folder, source("./" + "long" * 100))  # as an unreadable parent does, but for root, too
    assert "long" in found.images["app0"].tag
    assert folder in found.folders


def test_an_ignored_folder_is_watched_if_something_in_it_may_be_sent(folder: Path) -> None:
    (folder / "app" / ".dockerignore").write_text("logs\n!logs/keep\n")
    assert folder / "app" / "logs" in look(folder).folders


def test_a_shared_context_names_a_file_once(folder: Path) -> None:
    both = source(), source()
    before = look(folder, *both)
    write("app/site/index.html")(folder)
    assert changes(before, look(folder, *both), folder) == ["app/site/index.html"]


def test_what_was_deployed_without_being_seen_is_compared_by_its_tag(folder: Path) -> None:
    now = look(folder)
    for tag, expected in ((now.images["app0"].tag, []), ("0" * 16, ["image app0"])):
        deployed = Snapshot(now.program, {"app0": deployed_files(folder, source(tag=tag))})
        assert changes(deployed, now, folder) == expected


def test_an_unknown_tag_is_that_of_the_current_files(folder: Path) -> None:
    assert isinstance(deployed_files(folder, source()), Files)
    assert deployed_files(folder, source()) == look(folder).images["app0"]
