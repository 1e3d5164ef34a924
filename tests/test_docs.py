"""README.md and docs/: every link leads somewhere, every page names its reader, and nothing is on two pages."""

import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
READER = "This page is for "
LONGEST = 119
"""Lines of README.md."""

_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    slugs = [re.sub(r"[^\w\- ]", "", re.sub(r"\]\([^)]*\)", "", each).lower()).replace(" ", "-") for each in headings]
    seen = Counter[str]()
    found = set()
    for slug in slugs:
        found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return found


def broken_links(page: Path) -> list[str]:
    """Return the links of a page to a file or an anchor that does not exist."""
    text = _CODE.sub("", _FENCE.sub("", page.read_text()))
    broken = []
    for link in _LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"https?:", link):
            continue
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    return broken


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# One\n\n## Two `words`: a/b\n\n## One\n")
    page = tmp_path / "page.md"
    good = "[a](other.md#two-words-ab) [b](other.md#one-1) [c](#title) [d](https://example.com/x) `[e](none.md)`"
    page.write_text(f"# Title\n\n{good} [f](none.md) [g](other.md#three) [h](#none)\n")
    assert broken_links(page) == ["none.md", "other.md#three", "#none"]


def test_every_page_that_code_names_exists() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    code = [name for name in listed if name.endswith((".py", ".yml", ".toml", "Makefile")) and (ROOT / name).exists()]
    named = {
        (name, path)
        for name in code
        if "ignore" not in name  # their docs/ are folders of a build context
        for path in re.findall(r"\bdocs/[\w./-]*\.(?:md|yaml|json|svg)\b", (ROOT / name).read_text())
    }
    assert {(name, path) for name, path in named if not (ROOT / path).exists()} == set()


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=name_of)
def test_a_page_begins_with_its_reader(page: Path) -> None:
    title, paragraph = page.read_text().split("\n\n")[:2]
    assert re.fullmatch(r"# .*", title)
    assert paragraph.startswith(READER)


def test_the_readme_is_short_and_links_every_page() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= LONGEST
    pages = {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} | {"docs/adr/README.md"}
    assert pages - set(_LINK.findall(text)) == set()


def test_no_paragraph_or_block_is_on_two_pages() -> None:
    blocks = Counter(
        block for page in PAGES for block in {each.strip() for each in re.split(r"\n\n+", page.read_text())}
    )
    assert [block for block, count in blocks.items() if count > 1 and len(block) > len(READER) * 2] == []
