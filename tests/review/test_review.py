"""What a review says, and what it knows of git; tests/e2e/fleet/test_review.py tries the rest on a real cluster."""

import asyncio
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kube_registry.engine.engine_events import EngineEvent
from kube_registry.review.changes import Changed, changed_files
from kube_registry.review.markdown import MARK, MOST_FILES, headline, lines, markdown
from kube_registry.review.review import ImageChange, StackReview
from kube_registry.review.stack_preview import CHANGED, CREATED, DELETED, SAME, Change, change_of
from kube_registry.rules.rules import Violation


def event(op: str, type_: str = "kubernetes:core/v1:Service", **state: Any) -> EngineEvent:  # noqa: ANN401 - JSON
    urn = f"urn:pulumi:s::p::{type_}::web"
    new = {
        "urn": urn,
        "id": "",
        "type": type_,
        "custom": True,
        "parent": "",
        "provider": "",
        "inputs": {},
        "outputs": {},
    }
    metadata = {
        "op": op,
        "urn": urn,
        "type": type_,
        "new": {**new, **state},
        "keys": [],
        "logical": True,
        "provider": "",
    }
    metadata["diffs"] = ["spec"]
    return {"sequence": 1, "timestamp": 1, "resourcePreEvent": {"metadata": metadata, "planning": True}}


class TestPreview:
    @pytest.mark.parametrize(
        ("op", "what"), [("create", CREATED), ("update", CHANGED), ("delete", DELETED), ("same", SAME)]
    )
    def test_a_step_is_a_change(self, op: str, what: str) -> None:
        change = change_of(event(op, inputs={"spec": {"ports": []}}))
        assert change == Change(what, "kubernetes:core/v1:Service", "web", {"spec": {"ports": []}}, ("spec",))

    @pytest.mark.parametrize(
        ("op", "type_"),
        [("create", "pulumi:pulumi:Stack"), ("create", "pulumi:providers:docker"), ("refresh", "a:b:C")],
    )
    def test_what_is_nothing_in_a_cluster_is_none(self, op: str, type_: str) -> None:
        assert change_of(event(op, type_)) is None

    def test_a_replacement_counts_once(self) -> None:
        steps = [change_of(event(op)) for op in ("create-replacement", "replace", "delete-replaced")]
        assert [step.what for step in steps if step] == ["replace"]


def of(checkout: Path, dockerfile: str = "app/Dockerfile") -> tuple[Path, Path]:
    """The build context and the Dockerfile."""
    return checkout / "app", checkout / dockerfile


class TestChangedFiles:
    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        (tmp_path / "app" / "site").mkdir(parents=True)
        for path in ("Dockerfile", "notes.txt", "site/a", "site/b", "site/gone"):
            (tmp_path / "app" / path).write_text("1")
        (tmp_path / "app" / ".dockerignore").write_text("*.txt\nDockerfile\n")
        (tmp_path / "elsewhere").write_text("1")
        self.git(tmp_path, "init", "--initial-branch=main")
        self.git(tmp_path, "add", ".")
        self.git(tmp_path, "commit", "--message", "base")
        self.git(tmp_path, "checkout", "-b", "change")
        return tmp_path

    def git(self, folder: Path, *words: str) -> None:
        who = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
        subprocess.run(["git", *who, *words], cwd=folder, check=True, capture_output=True, timeout=30)

    def test_those_that_the_build_reads_are_named(self, checkout: Path) -> None:
        for path in ("app/Dockerfile", "app/notes.txt", "app/site/a", "elsewhere"):
            (checkout / path).write_text("2")
        (checkout / "app" / "site" / "gone").unlink()
        self.git(checkout, "commit", "--all", "--message", "change")
        (checkout / "app" / "site" / "new").write_text("not yet added")
        changed = asyncio.run(changed_files(*of(checkout), "main"))
        assert changed.files == ("Dockerfile", "site/a", "site/gone", "site/new")
        assert changed.since

    def test_what_the_base_has_got_since_is_no_change_of_ours(self, checkout: Path) -> None:
        self.git(checkout, "checkout", "main")
        (checkout / "app" / "site" / "b").write_text("theirs")
        self.git(checkout, "commit", "--all", "--message", "theirs")
        self.git(checkout, "checkout", "change")
        assert asyncio.run(changed_files(*of(checkout), "main")).files == ()

    def test_a_dockerfile_outside_of_the_build_context_is_named_and_so_is_its_ignore_file(self, checkout: Path) -> None:
        (checkout / "elsewhere").write_text("2")
        (checkout / "elsewhere.dockerignore").write_text("site/b\n")
        (checkout / "app" / "site" / "b").write_text("2")
        (checkout / "app" / "notes.txt").write_text("2")
        changed = asyncio.run(changed_files(*of(checkout, "elsewhere"), "main"))
        assert changed.files == ("elsewhere", "elsewhere.dockerignore", "notes.txt")

    def test_without_a_base_it_says_that_it_does_not_know(self, checkout: Path) -> None:
        changed = asyncio.run(changed_files(*of(checkout), "origin/nowhere"))
        assert "unknown: git finds no common ancestor of origin/nowhere and HEAD" in changed.unknown

    def test_nor_does_it_know_where_there_is_no_git(self, tmp_path: Path) -> None:
        (tmp_path / "app").mkdir()
        assert asyncio.run(changed_files(*of(tmp_path), "main")).unknown


CLEAN = StackReview("clean", "kind")
DEAD = StackReview("dead", "far", unreachable="no answer from the API server of kube context 'far'")
FAILED = StackReview("failed", "kind", failed="stack failed cannot be previewed: no Docker daemon answers")
BROKEN = StackReview(
    "broken",
    "kind",
    changes=(
        Change(CREATED, "kubernetes:core/v1:Pod", "web", {}),
        Change(CHANGED, "kubernetes:core/v1:Service", "web", {}, ("spec",)),
    ),
    images=(ImageChange("app", None, "localhost:30100/app:0123456789abcdef", Changed(("a|b",), "abc")),),
    violations=(Violation("no-latest", "Pod web", "container web runs nginx"),),
)


class TestText:
    def test_it_begins_with_the_mark_and_names_every_stack(self) -> None:
        text = markdown([CLEAN, DEAD, FAILED, BROKEN])
        assert text.splitlines()[0] == MARK
        assert "4 stacks reviewed, 1 unreachable, 1 without a preview, 1 policy violation." in text
        assert "### ✅ `clean` (kube context `kind`)\n\nNo changes." in text
        assert "### ❌ `dead`" in text
        assert "is unreachable, so it was not previewed: `no answer from the API server" in text
        assert "no Docker daemon answers" in text
        assert "| `no-latest` | `Pod web` | `container web runs nginx` |" in text
        assert "| `app` | none yet | `localhost:30100/app:0123456789abcdef` | `a\\|b` since `abc` |" in text
        assert "- change `Service web (spec)`" in text

    def test_plain_lines_say_the_same(self) -> None:
        assert list(lines(BROKEN)) == [
            "broken (kube context kind): 1 to create, 1 to change",
            "  policy no-latest: Pod web: container web runs nginx",
            "  create Pod web",
            "  change Service web (spec)",
            "  image app: none yet -> localhost:30100/app:0123456789abcdef",
            "    a|b since abc",
        ]

    def test_only_one_that_nothing_stands_against_is_good(self) -> None:
        assert [each.good for each in (CLEAN, DEAD, FAILED, BROKEN)] == [True, False, False, False]
        assert headline([CLEAN]) == "1 stack reviewed, no policy violations"

    def test_many_files_are_counted(self) -> None:
        files = tuple(f"f{number:02}" for number in range(MOST_FILES + 3))
        image = ImageChange("app", None, "localhost:30100/app:t", Changed(files, "abc"))
        assert "and 3 more since `abc`" in markdown([StackReview("s", "c", images=(image,))])
