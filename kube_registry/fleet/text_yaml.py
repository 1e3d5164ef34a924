"""YAML whose scalars keep their text: 1.10 stays 1.10, 010 stays 010, `no` stays `no`. The reader decides their type.

Empty values are None, and merge keys (<<) work; all other plain scalars are strings. Keys must be strings, and unique
within a map: YAML's own loader would silently keep the last of two. A value cannot contain itself.
"""

from typing import Any

import yaml
from yaml.composer import ComposerError

_NULL, _MERGE = "tag:yaml.org,2002:null", "tag:yaml.org,2002:merge"


class _TextLoader(yaml.SafeLoader):
    """A SafeLoader that does not convert plain scalars to numbers, booleans or dates."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - as PyYAML has it
        """Reject a key that is not a string, or that the map already has."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _NULL:
                raise ComposerError(None, None, "found a key that is not text", key.start_mark)
            if key.value in seen and key.tag != _MERGE:
                raise ComposerError(None, None, f"found a second key {key.value}", key.start_mark)
            seen.add(key.value)
        return node

    def construct_document(self, node: yaml.Node) -> Any:  # noqa: ANN401 - any content
        """Construct each part before the part that contains it, so that an anchor within itself is an error."""
        self.deep_construct = True
        return super().construct_document(node)


_TextLoader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag in (_NULL, _MERGE)]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load(text: str) -> Any:  # noqa: ANN401 - any content
    """Return the content of a YAML document.

    Raises:
        yaml.YAMLError: the text is not one.
    """
    return yaml.load(text, _TextLoader)  # noqa: S506 - a SafeLoader
