import pytest

from kube_registry.build.dockerignore import IgnoreRules


@pytest.mark.parametrize(
    ("text", "path", "excluded"),
    [
        ("# a comment\n\n", "# a comment", False),
        (" # no comment", "# no comment", True),
        ("\ufeff*.md", "README.md", True),
        ("*.md\r\n*.txt\r\n", "a.txt", True),
        ("a\x0bb", "b", False),
        ("\u2003*.md\u3000\n", "README.md", True),
        ("a\x1c", "a", False),
        ("a|b", "a|b", True),
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
        ("docs**", "docs-old/a", True),
        ("**/docs/**", "a/docs/b", True),
        ("**/docs/**", "docs", False),
        ("**", "a", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b", True),
        ("/docs/", "docs/a", True),
        ("./docs/../src", "src/a", True),
        ("temp?", "temp1", True),
        ("temp?", "temp", False),
        ("[ab].txt", "a.txt", True),
        ("[^ab].txt", "a.txt", False),
        ("[a-c].txt", "b.txt", True),
        ("[[]x", "[x", True),
        ("a^b", "a^b", True),
        ("a+b(c).txt", "a+b(c).txt", True),
        (r"\*.txt", "*.txt", True),
        (r"\*.txt", "a.txt", False),
        ("*\n!README.md", "README.md", False),
        ("*.md\n!README.md\nREADME.md", "README.md", True),
        ("docs\n!docs/keep", "docs/keep/a", False),
        ("docs\n!docs/keep", "docs/lose", True),
        ("a\n! /a/b/", "a/b", False),
        ("**.pyc", "b.pyc", True),
        ("**.pyc", "a/b.pyc", True),
        ("**/*.log\n!keep", "keep/x.log", True),
        ("*.log\n!keep.log", "keep.log", False),
        (".", "a", False),
        ("/", "a", False),
        ("\udcff*", "\udcffx", True),
    ],
)
def test_they_are_dockers(text: str, path: str, excluded: bool) -> None:  # noqa: FBT001
    assert IgnoreRules.parse(text).exclude(path) is excluded


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[", "incomplete bracket"),
        ("[]", "incomplete bracket"),
        ("[a-]", "incomplete bracket"),
        ("a\\", "incomplete bracket expression or escape"),
        (r"\d", "after a backslash"),
        ("[[:alpha:]]", "named character class"),
        ("*.md|*.txt", "regular expression"),
        ("a{2}*", "regular expression"),
        ("[z-a]", "is not a valid pattern"),
        ("!", "re-includes nothing"),
    ],
)
def test_a_pattern_that_docker_does_not_take_is_told(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        IgnoreRules.parse(text)
