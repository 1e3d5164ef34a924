"""A review as text: Markdown for a comment on a pull request, which begins with a mark by which it is found again."""

from collections.abc import Iterator, Sequence

from fleet.changes import Changed
from fleet.plan import Change
from fleet.review import ImageChange, StackReview

MARK = "<!-- kube-registry preview -->"
"""The first line of the comment; a comment that has it is updated in place."""

MOST_FILES = 20
"""Changed files that are named of one image; the rest is counted."""


def verdict(reviews: Sequence[StackReview]) -> str:
    """All of it in one sentence."""
    broken = sum(len(each.findings) for each in reviews)
    unreachable = sum(each.unreachable is not None for each in reviews)
    failed = sum(each.failed is not None for each in reviews)
    words = [f"{len(reviews)} {'stack' if len(reviews) == 1 else 'stacks'} reviewed"]
    words += [f"{unreachable} unreachable"] if unreachable else []
    words += [f"{failed} without a plan"] if failed else []
    words.append(f"{broken} policy {'finding' if broken == 1 else 'findings'}" if broken else "no policy is broken")
    return ", ".join(words)


def markdown(reviews: Sequence[StackReview]) -> str:
    """The comment."""
    parts = [MARK, "## Preview", f"{verdict(reviews)}."]
    for review in reviews:
        parts += [f"### {_mark(review)} {review.stack} (kube context `{review.kube_context}`)", *_paragraphs(review)]
    return "\n\n".join(parts) + "\n"


def lines(review: StackReview) -> Iterator[str]:
    """One stack in plain lines, for a terminal."""
    yield f"{review.stack} (kube context {review.kube_context}): {summary(review)}"
    for finding in review.findings:
        yield f"  policy {finding.rule}: {finding.resource}: {finding.text}"
    for change in review.changes:
        yield f"  {_change(change)}"
    for image in review.images:
        yield f"  image {image.name}: {image.before or 'none yet'} -> {image.after or 'none any more'}"
        yield f"    {_files(image.changed)}"


def summary(review: StackReview) -> str:
    """What is to be said of a stack in one sentence."""
    if review.unreachable:
        return f"its cluster could not be reached, so it was not previewed: {review.unreachable}"
    if review.failed:
        return review.failed
    counts = {change.what: 0 for change in review.changes}
    for change in review.changes:
        counts[change.what] += 1
    return ", ".join(f"{count} to {what}" for what, count in counts.items()) or "nothing would change"


def _mark(review: StackReview) -> str:
    return "✅" if review.good else "❌"


def _paragraphs(review: StackReview) -> Iterator[str]:
    yield f"{summary(review)[0].upper()}{summary(review)[1:]}".rstrip(".") + "."
    if review.findings:
        rows = [f"| `{each.rule}` | {_cell(each.resource)} | {_cell(each.text)} |" for each in review.findings]
        yield "\n".join(["| policy | resource | why |", "|---|---|---|", *rows])
    if review.images:
        rows = [_image_row(image) for image in review.images]
        yield "\n".join(["| image | before | after | files |", "|---|---|---|---|", *rows])
    if review.changes:
        listed = "\n".join(f"- {_change(change)}" for change in review.changes)
        yield f"<details><summary>resources</summary>\n\n{listed}\n\n</details>"


def _image_row(image: ImageChange) -> str:
    before = f"`{image.before}`" if image.before else "none yet"
    after = f"`{image.after}`" if image.after else "none any more"
    return f"| {image.name} | {before} | {after} | {_cell(_files(image.changed))} |"


def _files(changed: Changed) -> str:
    if changed.unknown:
        return changed.unknown
    if changed.since is None:
        return ""
    named = ", ".join(changed.files[:MOST_FILES]) or "no file that git knows of"
    more = len(changed.files) - MOST_FILES
    return f"{named}{f' and {more} more' if more > 0 else ''} since {changed.since}"


def _change(change: Change) -> str:
    kind = change.type.rpartition(":")[2]
    fields = f" ({', '.join(change.fields)})" if change.fields else ""
    return f"{change.what} {kind} {change.name}{fields}"


def _cell(text: str) -> str:
    """Text that does not end a cell of a table."""
    return " ".join(text.replace("|", "\\|").split())
