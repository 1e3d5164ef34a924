"""Read one kube context from a kubeconfig: merge files, resolve names, make relative paths absolute.

The rules are those of client-go (tools/clientcmd). connection.py interprets the fields.
"""

import os
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kube_registry.errors import Where
from kube_registry.foreign_json import read_json
from kube_registry.kube.errors import KubeconfigError, KubeContextError
from kube_registry.kube.translate import LOWER, in_words
from kube_registry.kubeconfig_setting import is_contents, is_encoded, with_home
from kube_registry.spec.cluster_address import ClusterAddress

Fields = dict[str, Any]
"""The fields of one kubeconfig entry (Kubernetes reference, kubeconfig v1)."""

_KINDS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class UnusableError(Exception):
    """A kubeconfig cannot be used; `usable` adds which one it is.

    Args:
        reason: what is wrong.
        kind: the error class that `usable` raises.
    """

    def __init__(self, reason: str, kind: type[KubeconfigError] = KubeconfigError) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True)
class KubeContext:
    """A kube context with its cluster and user resolved.

    Args:
        cluster: the API server's URL and how to verify its certificate.
        user: the credentials; empty for anonymous requests.
    """

    cluster: Fields
    user: Fields


@dataclass(frozen=True)
class Kubeconfig:
    """Merged kubeconfig files, or one kubeconfig given as text; `read` creates it.

    Args:
        found: whether any of the files exists.
        entries: "clusters", "users" and "contexts", each by name.
        current: name of the current kube context; empty if there is none.
    """

    found: bool
    entries: Mapping[str, Mapping[str, Fields]]
    current: str

    def kube_context(self, name: str) -> KubeContext:
        """Return the kube context with a name; it need not be the current one.

        Raises:
            UnusableError: there is no such kube context, or its cluster or user is missing.
        """
        if not self.found:
            raise UnusableError("there is no such file")
        if not self.entries["contexts"]:
            raise UnusableError("it has no kube contexts")
        if name not in self.entries["contexts"]:
            names = ", ".join(self.entries["contexts"])
            raise UnusableError(f"it has no such kube context, only {names}", KubeContextError)
        chosen = self.entries["contexts"][name]
        user = self._entry("users", chosen["user"]) if chosen.get("user") else {}
        return KubeContext(self._entry("clusters", chosen.get("cluster")), user)

    def _entry(self, kind: str, name: object) -> Fields:
        if str(name) not in self.entries[kind]:
            raise UnusableError(f"its {_KINDS[kind]} {name!r} is missing")
        return self.entries[kind][str(name)]


AS_TEXT = "given as text"
"""Name in errors of a kubeconfig whose text is the setting's value."""


def named(setting: str | None) -> str:
    """Return the name of a kubeconfig in errors: its files, as a list like $KUBECONFIG.

    Args:
        setting: the setting `kubeconfig`; None for kubectl's default.
    """
    if setting and is_contents(setting):
        return AS_TEXT
    return setting or os.environ.get("KUBECONFIG") or "~/.kube/config"


def read(setting: str | None) -> Kubeconfig:
    """Read the kubeconfig of a setting: its text, or a list of files to merge.

    As for kubectl, the first of two entries with the same name wins, and missing files are skipped. Relative paths are
    relative to the folder of their file. In a kubeconfig given as text they are relative to the current folder, which
    is the program's, as for Pulumi's provider.

    Args:
        setting: the setting `kubeconfig`; None for kubectl's default.

    Raises:
        UnusableError: a file is not a kubeconfig.
        OSError: a file cannot be read.
    """
    if setting and is_encoded(setting.strip()):
        raise UnusableError("it is in base64 and has to be decoded")
    if setting and is_contents(setting):
        return _read_one(setting.encode(), "it", Path.cwd())
    parts = filter(None, named(setting).split(os.pathsep))
    files = [file for part in parts if (file := Path(with_home(part))).exists()]
    each = [_read_one(file.read_bytes(), str(file), file.absolute().parent) for file in files]
    entries = {kind: {**ChainMap(*(dict(one.entries[kind]) for one in each))} for kind in _KINDS}
    return Kubeconfig(bool(files), entries, next((one.current for one in each if one.current), ""))


def current_context(address: ClusterAddress) -> str:
    """Return the name of the current kube context in an address's kubeconfig.

    Raises:
        KubeconfigError: the kubeconfig has no current kube context, or cannot be read.
    """
    with usable(address.where):
        kubeconfig = read(address.kubeconfig)
        if not kubeconfig.found:
            raise UnusableError("there is no such file")
        if kubeconfig.current:
            return kubeconfig.current
        raise UnusableError("it has no current kube context, and no other one is given")


def _read_one(data: bytes, source: str, folder: Path) -> Kubeconfig:
    """Read one kubeconfig.

    Args:
        data: the content.
        source: its name in errors.
        folder: the folder that its relative paths are relative to.

    Raises:
        UnusableError: it is not a kubeconfig, or has two entries with the same name, which kubectl refuses too.
    """
    content = _decoded(data, source) or {}
    if not isinstance(content, dict):
        raise UnusableError(f"{source} is not a kubeconfig")
    entries: dict[str, dict[str, Fields]] = {kind: {} for kind in _KINDS}
    for kind, field in _KINDS.items():
        for entry in content.get(kind) or []:
            if not isinstance(entry, dict) or not isinstance(entry.get(field) or {}, dict):
                raise UnusableError(f"{source} is not a kubeconfig: {kind} is invalid")
            name = str(entry.get("name"))
            if name in entries[kind]:
                raise UnusableError(f"{source} has two {kind} named {name}")
            entries[kind][name] = _with_absolute_paths(entry.get(field) or {}, folder)
    return Kubeconfig(found=True, entries=entries, current=str(content.get("current-context") or ""))


def _decoded(data: bytes, source: str) -> object:
    """Parse JSON, which may be indented by tabs, or YAML, with any line endings and byte order mark.

    Raises:
        UnusableError: it is neither. The message does not quote the file, because it may contain secrets.
    """
    try:
        if data.lstrip().startswith(b"{"):
            with suppress(ValueError):  # YAML in braces is valid too
                return read_json(data)
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.reader.ReaderError as error:
        raise UnusableError(f"{source} is not UTF-8 or UTF-16 text, see byte {error.position}") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", see line {mark.line + 1}" if mark else ""
        raise UnusableError(f"{source} is neither YAML nor JSON{place}") from None


def _with_absolute_paths(fields: Fields, folder: Path) -> Fields:
    """Return an entry's fields with absolute paths, and without empty fields, which kubectl treats as absent.

    Relative paths are relative to the folder. A command without a slash is not a path.
    """
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    absolute: Fields = {name: str(folder / given[name]) for name in _PATHS if given.get(name)}
    plugin = given.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command")):
        absolute["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return {**given, **absolute}


@contextmanager
def usable(where: Where) -> Iterator[None]:
    """Convert every error about a kubeconfig, or a file that it names, to a KubeconfigError.

    Raises:
        KubeconfigError: the kubeconfig cannot be used.
    """
    try:
        yield
    except (UnusableError, *LOWER, yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        kind = error.kind if isinstance(error, UnusableError) else KubeconfigError
        raise kind(where=where, kubeconfig=named(where.kubeconfig), reason=in_words(error)) from error
