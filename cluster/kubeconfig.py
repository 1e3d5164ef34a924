"""What a kubeconfig says of one kube context: files merged, names followed, relative paths made whole.

kubernetes_asyncio merges files too, but not after an empty one, and it looks for a user's files beside the file
that its cluster stands in. What the fields mean is left to it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes_asyncio.config import ConfigException

from cluster.translation import LOWER, one_line
from stack.api_errors import KubeconfigError
from stack.errors import Where

Fields = dict[str, Any]
"""One entry of a kubeconfig, in its own words (Kubernetes reference, kubeconfig v1)."""

_KINDS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True)
class KubeContext:
    """A kube context with its names followed.

    Args:
        cluster: where the API server is and how it is trusted.
        user: the credentials; empty for nobody in particular.
    """

    cluster: Fields
    user: Fields


@dataclass(frozen=True)
class Kubeconfig:
    """Several files read as one; `read` makes it.

    Args:
        files: those that are there, in order.
        entries: "clusters", "users" and "contexts", each by name.
    """

    files: tuple[Path, ...]
    entries: Mapping[str, Mapping[str, Fields]]

    def kube_context(self, name: str) -> KubeContext:
        """The kube context of that name; it need not be the current one.

        Raises:
            ConfigException: there is none, or it names a cluster or user that is not there.
        """
        if not self.files:
            raise ConfigException("there is no such file")
        if name not in self.entries["contexts"]:
            raise ConfigException(
                f"it has no such kube context, it has {', '.join(self.entries['contexts']) or 'none'}"
            )
        chosen = self.entries["contexts"][name]
        user = self._entry("users", chosen["user"]) if chosen.get("user") else {}
        return KubeContext(self._entry("clusters", chosen.get("cluster")), user)

    def _entry(self, kind: str, name: object) -> Fields:
        if str(name) not in self.entries[kind]:
            raise ConfigException(f"its {_KINDS[kind]} {name!r} is missing")
        return self.entries[kind][str(name)]


def paths(chosen: str | None) -> str:
    """The files to read, as a list in the manner of $KUBECONFIG: the chosen ones, else where kubectl looks."""
    return chosen or os.environ.get("KUBECONFIG") or "~/.kube/config"


def read(listed: str) -> Kubeconfig:
    """Read a list of files as one kubeconfig; of two entries with one name the first counts, as for kubectl.

    Args:
        listed: the files, separated as in $KUBECONFIG; those that are not there are passed over.

    Raises:
        ConfigException: one of them is no kubeconfig.
        OSError: one of them cannot be read.
        YAMLError: one of them is no YAML.
    """
    files = tuple(file for part in listed.split(os.pathsep) if part and (file := Path(part).expanduser()).exists())
    entries: dict[str, dict[str, Fields]] = {kind: {} for kind in _KINDS}
    for file in files:
        content = yaml.safe_load(file.read_text()) or {}
        if not isinstance(content, dict):
            raise ConfigException(f"{file} is no kubeconfig")
        for kind, field in _KINDS.items():
            for entry in content.get(kind) or []:
                if not isinstance(entry, dict) or not isinstance(entry.get(field) or {}, dict):
                    raise ConfigException(f"{file} is no kubeconfig, see {kind} in it")
                whole = _with_whole_paths(entry.get(field) or {}, file.absolute().parent)
                entries[kind].setdefault(str(entry.get("name")), whole)
    return Kubeconfig(files, entries)


def _with_whole_paths(fields: Fields, folder: Path) -> Fields:
    """Relative paths are meant from the folder of the file that they stand in; a command without a slash is none."""
    whole: Fields = {name: str(folder / fields[name]) for name in _PATHS if fields.get(name)}
    plugin = fields.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command")):
        whole["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return {**fields, **whole}


@contextmanager
def usable(where: Where, kubeconfig: str) -> Iterator[None]:
    """Whatever is wrong with a kubeconfig or the files that it names becomes ours.

    Raises:
        KubeconfigError: it cannot be used.
    """
    try:
        yield
    except (*LOWER, yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise KubeconfigError(where=where, kubeconfig=kubeconfig, reason=one_line(error)) from error
