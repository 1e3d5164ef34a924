"""YAML whose scalars keep their own text: 1.10 is no 1.1, 010 no 8, `no` no false. What is meant decides who reads it.

Empty values are none, and merge keys (<<) work; all other plain scalars are text.
"""

from typing import Any

import yaml

_KEPT = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:merge")


class _TextLoader(yaml.SafeLoader):
    """A SafeLoader that takes no plain scalar for a number, truth value or date."""


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag in _KEPT]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:  # noqa: ANN401 - whatever it holds
    """The content of a YAML document.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, _TextLoader)  # noqa: S506 - a SafeLoader
