"""What a branch may name its files, stacks and images: text in the comment on its pull request, and nothing else."""

import re
from html import unescape

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import example, given
from hypothesis import strategies as st

from kube_registry.review.changes import Changed
from kube_registry.review.inert import cell, code, visible
from kube_registry.review.markdown import lines, markdown
from kube_registry.review.review import ImageChange, StackReview
from kube_registry.review.stack_preview import CHANGED, CREATED, Change
from kube_registry.rules.rules import Violation

HOSTILE = "x](https://evil.example) @octo/everyone <img src=https://evil.example/a.png>.txt"
TEXTS = st.lists(
    st.sampled_from(
        [
            *(
                "`",
                "``",
                "|",
                "\\",
                "\n",
                "\r\n",
                "\x1b[31m",
                "\u202e",
                "\udcff",
                " ",
                "*",
                "_",
                "#1",
                "- ",
                "~~~",
                "<!--",
            ),
            *("](https://evil.example)", "![x](https://evil.example/a.png)", "@octo/everyone", "https://evil.example"),
            *(
                "<img src=x>",
                "</details>",
                "| a |",
                "&lt;",
                "www.evil.example",
                "me@evil.example",
                "[x]: https://evil.example",
            ),
        ]
    )
    | st.text(max_size=8),
    max_size=8,
).map("".join)


def rendered(text: str) -> str:
    """HTML as GitHub's reader makes it of a comment."""
    html: str = cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE)
    return html


def outside_of_code(text: str) -> str:
    return re.sub(r"<code>.*?</code>", "<code/>", rendered(text), flags=re.DOTALL)


def shown_as_code(html: str) -> list[str]:
    return [unescape(each) for each in re.findall(r"<code>(.*?)</code>", html, re.DOTALL)]


@given(TEXTS)
@example(HOSTILE)
@example("`")
@example(" `a")
def test_a_code_span_shows_the_text_and_nothing_follows_from_it(text: str) -> None:
    expected = visible(text) or " "
    assert outside_of_code(f"a {code(text)} b") == "<p>a <code/> b</p>\n"
    assert shown_as_code(rendered(f"a {code(text)} b")) == [expected]


@given(TEXTS, TEXTS)
@example("a|b", "a\\|b")
@example("a\\", "\\\\|")
def test_a_cell_of_a_table_ends_where_it_should(first: str, second: str) -> None:
    html = rendered(f"| a | b |\n|---|---|\n| {cell(first)} | {cell(second)} |\n")
    assert html.count("<td>") == html.count("<code>") == 2
    if "\\|" not in first + second:
        assert [each.strip() for each in shown_as_code(html)] == [visible(each).strip() for each in (first, second)]


@pytest.mark.parametrize("text", ["\x1b[2J", "a\nb", "a\r", "\u202ea", "\udcff", "\u2028", "\x00", "\x9b"])
def test_what_a_terminal_would_obey_is_written_out(text: str) -> None:
    assert visible(text).isprintable()
    assert visible(text).encode().decode() == visible(text)


def reviews(text: str) -> list[StackReview]:
    return [
        StackReview(
            text,
            text,
            changes=(Change(CREATED, f"a:{text}", text, {}), Change(CHANGED, "a:b", text, {}, (text, text))),
            images=(
                ImageChange(text, text, text, Changed((text, text), text)),
                ImageChange(text, None, text, Changed(unknown=text)),
            ),
            violations=(Violation(text, text, text),),
        ),
        StackReview(text, text, unreachable=text),
        StackReview(text, text, failed=text),
    ]


@given(TEXTS.filter(lambda text: text != ""))
@example(HOSTILE)
def test_nothing_that_a_branch_or_cluster_says_changes_the_comment_outside_of_its_code_spans(text: str) -> None:
    assert outside_of_code(markdown(reviews(text))) == outside_of_code(markdown(reviews("x")))
    assert all(line.isprintable() for review in reviews(text) for line in lines(review))


def test_the_reader_of_the_tests_does_make_links_and_images() -> None:
    html = rendered(f"{HOSTILE}\n\n![x](https://evil.example/a.png) [{HOSTILE}")
    assert "<a href=" in html
    assert "<img src=" in html
