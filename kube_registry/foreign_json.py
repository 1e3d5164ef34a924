"""Parsing of JSON from other programs, with one exception for everything that is not valid."""

import json
from typing import Any


def read_json(text: str | bytes) -> Any:  # noqa: ANN401 - any JSON value
    """Parse a JSON document.

    Args:
        text: the document; bytes are UTF-8, UTF-16 or UTF-32.

    Raises:
        ValueError: it is not JSON, or nested deeper than Python's parser allows (about a thousand levels).
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("its JSON is nested too deeply") from None
