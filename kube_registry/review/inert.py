"""Text from a branch or a cluster, such as file names and errors, made safe to show in a review; pure."""

import re

_BACKTICKS = re.compile(r"`+")
_BEFORE_PIPE = re.compile(r"(\\*)\|")


def visible(text: str) -> str:
    """Return the text on one line; characters that a terminal would interpret or not show, such as ESC, are escaped."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def code(text: str) -> str:
    """Return the text as a code span, in which Markdown has no links, mentions, images or HTML.

    Source: GitHub Flavored Markdown 6.3 (code spans): the text has no run of backticks as long as those around it.
    """
    shown = visible(text) or " "
    longest = max(map(len, _BACKTICKS.findall(shown)), default=0)
    fence = "`" * (longest + 1)
    ends = {shown[0], shown[-1]}
    if "`" in ends or (ends == {" "} and not shown.isspace()):
        shown = f" {shown} "  # Markdown removes one space at each end
    return f"{fence}{shown}{fence}"


def cell(text: str) -> str:
    r"""Return the text as a code span for a table, with a backslash before each pipe.

    Backslashes before a pipe are doubled: implementations of Markdown differ in whether `\\|` ends the cell.

    Source: GitHub Flavored Markdown 4.10 (tables), example 200.
    """
    return _BEFORE_PIPE.sub(r"\1\1\\|", code(text))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
