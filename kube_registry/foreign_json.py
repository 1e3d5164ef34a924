"""JSON that another program has written: one error for all that cannot be read."""

import json
from typing import Any


def read_json(text: str | bytes) -> Any:  # noqa: ANN401 - whatever was written
    """Parse a JSON document.

    Args:
        text: the document; bytes are UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: it is no JSON, or nested too deep for Python's parser, which takes about a thousand levels.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deep") from None
