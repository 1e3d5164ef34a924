import subprocess
from pathlib import Path

import pytest

from lab import words

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("# Whoever reads this is told.", ["whoever", "told"]),
        ('"""It comes of that, and is of no use."""', ["comes of", "of no use"]),
        ("retold = bearer = besides", []),
    ],
)
def test_a_refused_word_is_found_whatever_its_case(line: str, found: list[str]) -> None:
    assert [word for _, word, _ in words.words_in("a.py", f"\n{line}\n")] == found


def test_the_message_has_file_line_and_word(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for name in ("a.py", "docs.md", "notes.txt", "tests/a.py", "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("# right\n# beside the point\n")
    assert words.check(tmp_path) == [
        f"{name}:2: 'beside' is refused: # beside the point" for name in ("a.py", "docs.md")
    ]
    assert words.check(tmp_path, ["docs.md"]) == ["docs.md:2: 'beside' is refused: # beside the point"]


@pytest.mark.parametrize(("name", "right"), words.RIGHT.items())
def test_no_word_is_right_in_a_file_that_does_not_have_it(
    name: str, right: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(words, "RIGHT", {})
    assert {word for _, word, _ in words.words_in(name, (ROOT / name).read_text())} == set(right)
