"""A review as text: Markdown for a comment on a pull request, which begins with a mark that identifies it.

Everything from a branch or a cluster is shown as plain text: all of it goes through inert.py.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from kube_registry.review.changes import Changed
from kube_registry.review.inert import cell, code, visible
from kube_registry.review.review import ImageChange, StackReview
from kube_registry.review.stack_preview import Change
from kube_registry.text import counted, first_of

MARK = "<!-- kube-registry preview -->"
"""The first line of the comment; a comment that begins with it is updated in place."""

MOST_FILES = 20
"""How many changed files are listed per image; the rest is counted."""


def headline(reviews: Sequence[StackReview]) -> str:
    """Return the whole review in one sentence."""
    broken = sum(len(each.violations) for each in reviews)
    unreachable = sum(each.unreachable is not None for each in reviews)
    failed = sum(each.failed is not None for each in reviews)
    words = [f"{counted(len(reviews), 'stack')} reviewed"]
    words += [f"{unreachable} unreachable"] if unreachable else []
    words += [f"{failed} without a preview"] if failed else []
    words.append(counted(broken, "policy violation") if broken else "no policy violations")
    return ", ".join(words)


def markdown(reviews: Sequence[StackReview]) -> str:
    """Return the comment."""
    parts = [MARK, "## Preview", f"{headline(reviews)}."]
    for review in reviews:
        mark = "✅" if review.good else "❌"
        parts += [f"### {mark} {code(review.stack)} (kube context {code(review.kube_context)})", *_paragraphs(review)]
    return "\n\n".join(parts) + "\n"


def lines(review: StackReview) -> Iterator[str]:
    """Yield the review of one stack in plain lines, for a terminal."""
    yield visible(f"{review.stack} (kube context {review.kube_context}): {_summary(review, visible)}")
    for violation in review.violations:
        yield visible(f"  policy {violation.rule}: {violation.resource}: {violation.text}")
    for change in review.changes:
        yield f"  {_change(change, visible)}"
    for image in review.images:
        yield visible(f"  image {image.name}: {image.before or 'none yet'} -> {image.after or 'none any more'}")
        yield f"    {_files(image.changed, visible)}"


Show = Callable[[str], str]
"""Makes text from a branch or a cluster safe to show: `visible`, `code` or `cell`."""


def _summary(review: StackReview, show: Show) -> str:
    """Return the review of one stack in one sentence, without a full stop."""
    if review.unreachable:
        return f"its cluster is unreachable, so it was not previewed: {show(review.unreachable)}"
    if review.failed:
        return show(review.failed)
    counts = Counter(change.what for change in review.changes)
    return ", ".join(f"{count} to {what}" for what, count in counts.items()) or "no changes"


def _paragraphs(review: StackReview) -> Iterator[str]:
    sentence = _summary(review, code)
    yield f"{sentence[0].upper()}{sentence[1:]}."
    if review.violations:
        rows = [f"| {cell(each.rule)} | {cell(each.resource)} | {cell(each.text)} |" for each in review.violations]
        yield "\n".join(["| policy | resource | why |", "|---|---|---|", *rows])
    if review.images:
        rows = [_image_row(image) for image in review.images]
        yield "\n".join(["| image | before | after | files |", "|---|---|---|---|", *rows])
    if review.changes:
        listed = "\n".join(f"- {_change(change, code)}" for change in review.changes)
        yield f"<details><summary>resources</summary>\n\n{listed}\n\n</details>"


def _image_row(image: ImageChange) -> str:
    before = cell(image.before) if image.before else "none yet"
    after = cell(image.after) if image.after else "none any more"
    return f"| {cell(image.name)} | {before} | {after} | {_files(image.changed, cell)} |"


def _files(changed: Changed, show: Show) -> str:
    if changed.unknown:
        return show(changed.unknown)
    if changed.since is None:
        return ""
    named = first_of([show(file) for file in changed.files], MOST_FILES) or "no changed files in git"
    return f"{named} since {show(changed.since)}"


def _change(change: Change, show: Show) -> str:
    kind = change.type.rpartition(":")[2]
    fields = f" ({', '.join(change.fields)})" if change.fields else ""
    return f"{change.what} {show(f'{kind} {change.name}{fields}')}"
