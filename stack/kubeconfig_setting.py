"""The setting `kubeconfig`: the path of a file, or a kubeconfig itself, of which nothing may ever be printed."""

from pathlib import Path

_LONGEST_PATH = 512
"""Letters. What is longer is no path but a kubeconfig in base64, say, or a token, which no error may repeat."""

_IN_NO_PATH = '\n{"'
"""Letters that a path has as good as never, and a kubeconfig always, even a damaged one."""


def is_contents(setting: str) -> bool:
    """Whether the setting is a kubeconfig itself.

    Pulumi's provider takes all that is no file for one (provider/pkg/provider/util.go, parseKubeconfigString). Then a
    path with a spelling mistake would be a kubeconfig, and no error could name it.
    """
    text = setting.strip()
    return len(text) > _LONGEST_PATH or any(letter in text for letter in _IN_NO_PATH)


def with_home(setting: str) -> str:
    """The setting with ~ as the home folder, where it is a path."""
    return setting if is_contents(setting) else str(Path(setting).expanduser())
