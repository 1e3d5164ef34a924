"""Nothing that a stack or a person sees changes by accident: resources, verbs, generated documents."""

import subprocess
from difflib import unified_diff

import pytest

from kube_registry.generate import ROOT
from tests.golden.frozen import FOLDER, TEXTS


@pytest.mark.parametrize("file", TEXTS)
def test_it_is_what_it_was(file: str) -> None:
    before, now = (FOLDER / file).read_text(), TEXTS[file]()
    if before != now:
        changed = unified_diff(before.splitlines(), now.splitlines(), f"tests/golden/{file}", "now", n=12, lineterm="")
        pytest.fail("\n".join(["if this is meant: `make golden`, a line in CHANGELOG.md", *changed]), pytrace=False)


def test_there_is_no_other_file() -> None:
    assert {file.name for file in FOLDER.iterdir() if file.suffix not in ("", ".py")} == TEXTS.keys()


def test_make_golden_writes_what_is_compared() -> None:
    before = {file: (FOLDER / file).read_text() for file in TEXTS}
    try:
        subprocess.run(["make", "golden"], cwd=ROOT, capture_output=True, check=True, timeout=200)
        assert {file: (FOLDER / file).read_text() for file in TEXTS} == before
    finally:
        for file, text in before.items():  # a test accepts no change
            (FOLDER / file).write_text(text)
