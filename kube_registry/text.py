"""Words of others, made fit for a sentence of ours."""


def one_line(text: str) -> str:
    """Return a text with its lines and spaces as one line."""
    return " ".join(text.split())
