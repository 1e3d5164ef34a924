"""The setting `kubeconfig`: the path of a file, or a kubeconfig itself, of which nothing may ever be printed."""

import base64
from pathlib import Path

_LONGEST_PATH = 512
"""Letters. What is longer is no path but a kubeconfig in base64, say, or a token, which no error may repeat."""

_IN_NO_PATH = '\r\n{"'
"""Letters that a path has as good as never, and a kubeconfig always, even a damaged one."""


_URL_SAFE = str.maketrans("-_", "+/")
"""Letters of base64 for URLs -> those of base64 (RFC 4648)."""


def is_contents(setting: str) -> bool:
    """Whether the setting is a kubeconfig itself.

    Pulumi's provider takes all that is no file for one (provider/pkg/provider/util.go, parseKubeconfigString). Then a
    path with a spelling mistake would be a kubeconfig, and no error could name it.
    """
    text = setting.strip()
    return len(text) > _LONGEST_PATH or any(letter in text for letter in _IN_NO_PATH) or is_encoded(text)


def with_home(setting: str) -> str:
    """The setting with ~ as the home folder, where it is a path."""
    if is_contents(setting):
        return setting
    try:
        return str(Path(setting).expanduser())
    except RuntimeError:  # the home folder of a user that this machine does not know: there is no such file
        return setting


def is_encoded(text: str) -> bool:
    """Whether it is a kubeconfig in base64, as a CI's variables and outputs of some clouds' clusters hold it."""
    try:
        return b"clusters" in base64.b64decode("".join(text.split()).translate(_URL_SAFE), validate=True)
    except ValueError:
        return False
