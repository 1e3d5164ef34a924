"""YAML whose scalars keep their own text: 1.10 is no 1.1, 010 no 8, `no` no false. What is meant decides who reads it.

Empty values are none, and merge keys (<<) work; all other plain scalars are text. Every key of a map is a text, and
there once: of two, YAML's own loader would keep the last without a word. Nothing holds itself.
"""

from typing import Any

import yaml
from yaml.composer import ComposerError

_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


class _TextLoader(yaml.SafeLoader):
    """A SafeLoader that takes no plain scalar for a number, truth value or date."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - as PyYAML has it
        """Refuse a key that is no text, or that the map has already."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _NULL:
                raise ComposerError(None, None, "found a key that is no text", key.start_mark)
            if key.value in seen and key.tag != _MERGE:
                raise ComposerError(None, None, f"found a second key {key.value}", key.start_mark)
            seen.add(key.value)
        return node

    def construct_document(self, node: yaml.Node) -> Any:  # noqa: ANN401 - whatever it holds
        """Construct each part before what holds it, so that an anchor within itself is an error."""
        self.deep_construct = True
        return super().construct_document(node)


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag in (_NULL, _MERGE)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:  # noqa: ANN401 - whatever it holds
    """The content of a YAML document.

    Raises:
        yaml.YAMLError: it is none.
    """
    return yaml.load(text, _TextLoader)  # noqa: S506 - a SafeLoader
