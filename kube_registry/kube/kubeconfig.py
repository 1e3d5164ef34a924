"""What a kubeconfig says of one kube context: files merged, names followed, relative paths made whole.

kubernetes_asyncio merges files too, but not after an empty one, and it looks for a user's files beside the file
that its cluster stands in. What the fields mean is left to it.
"""

import os
from collections import ChainMap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from kubernetes_asyncio.config import ConfigException

from kube_registry.errors import Where
from kube_registry.foreign_json import read_json
from kube_registry.kube.errors import KubeconfigError, KubeContextError
from kube_registry.kube.translate import LOWER, in_words
from kube_registry.kubeconfig_setting import is_contents, is_encoded, with_home
from kube_registry.spec.settings import ClusterAddress

Fields = dict[str, Any]
"""One entry of a kubeconfig, in its own words (Kubernetes reference, kubeconfig v1)."""

_KINDS = {"clusters": "cluster", "users": "user", "contexts": "context"}
_PATHS = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


class UnusableError(ConfigException):  # type: ignore[misc]
    """A kubeconfig that cannot be used, for a reason that has an error of its own.

    Args:
        kind: that error.
        reason: what is wrong.
    """

    def __init__(self, kind: type[KubeconfigError], reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


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
    """Several files read as one, or the one that is given as text; `read` makes it.

    Args:
        found: whether there is any.
        entries: "clusters", "users" and "contexts", each by name.
        current: name of the current kube context; empty if there is none.
    """

    found: bool
    entries: Mapping[str, Mapping[str, Fields]]
    current: str

    def kube_context(self, name: str) -> KubeContext:
        """The kube context of that name; it need not be the current one.

        Raises:
            ConfigException: there is none, or it names a cluster or user that is not there.
        """
        if not self.found:
            raise ConfigException("there is no such file")
        if not self.entries["contexts"]:
            raise ConfigException("it has no kube contexts")
        if name not in self.entries["contexts"]:
            names = ", ".join(self.entries["contexts"])
            raise UnusableError(KubeContextError, f"it has no such kube context, it has {names}")
        chosen = self.entries["contexts"][name]
        user = self._entry("users", chosen["user"]) if chosen.get("user") else {}
        return KubeContext(self._entry("clusters", chosen.get("cluster")), user)

    def _entry(self, kind: str, name: object) -> Fields:
        if str(name) not in self.entries[kind]:
            raise ConfigException(f"its {_KINDS[kind]} {name!r} is missing")
        return self.entries[kind][str(name)]


AS_TEXT = "given as text"
"""What errors call a kubeconfig that the setting holds itself."""


def named(setting: str | None) -> str:
    """How errors name the kubeconfig that a setting means: its files, as a list in the manner of $KUBECONFIG.

    Args:
        setting: the setting `kubeconfig`; None for where kubectl looks.
    """
    if setting and is_contents(setting):
        return AS_TEXT
    return setting or os.environ.get("KUBECONFIG") or "~/.kube/config"


def read(setting: str | None) -> Kubeconfig:
    """Read what a setting means: a kubeconfig, or a list of files as one.

    Of two entries with one name the first counts, as for kubectl. Files that are not there are passed over. Relative
    paths start in the folder of the file that they stand in; where there is none in the current one, which is the
    program's, as for Pulumi's provider.

    Args:
        setting: the setting `kubeconfig`; None for where kubectl looks.

    Raises:
        ConfigException: one of them is no kubeconfig.
        OSError: one of them cannot be read.
    """
    if setting and is_encoded(setting.strip()):
        raise ConfigException("it is in base64 and has to be decoded")
    if setting and is_contents(setting):
        return _read_one(setting.encode(), "it", Path.cwd())
    parts = filter(None, named(setting).split(os.pathsep))
    files = [file for part in parts if (file := Path(with_home(part))).exists()]
    each = [_read_one(file.read_bytes(), str(file), file.absolute().parent) for file in files]
    entries = {kind: {**ChainMap(*(dict(one.entries[kind]) for one in each))} for kind in _KINDS}
    return Kubeconfig(bool(files), entries, next((one.current for one in each if one.current), ""))


def current_context(address: ClusterAddress) -> str:
    """Return the name of the current kube context of the kubeconfig that an address means.

    Raises:
        KubeconfigError: it names none, or cannot be read.
    """
    with usable(address.where):
        kubeconfig = read(address.kubeconfig)
        if not kubeconfig.found:
            raise ConfigException("there is no such file")
        if kubeconfig.current:
            return kubeconfig.current
        raise ConfigException("it has no current kube context, and none is given")


def _read_one(data: bytes, source: str, folder: Path) -> Kubeconfig:
    """One kubeconfig.

    Args:
        data: the kubeconfig.
        source: where it is from, for errors.
        folder: where its relative paths start.

    Raises:
        ConfigException: it is none, or has two entries of one name, which kubectl refuses, too.
    """
    content = _decoded(data, source) or {}
    if not isinstance(content, dict):
        raise ConfigException(f"{source} is no kubeconfig")
    entries: dict[str, dict[str, Fields]] = {kind: {} for kind in _KINDS}
    for kind, field in _KINDS.items():
        for entry in content.get(kind) or []:
            if not isinstance(entry, dict) or not isinstance(entry.get(field) or {}, dict):
                raise ConfigException(f"{source} is no kubeconfig, see {kind} in it")
            name = str(entry.get("name"))
            if name in entries[kind]:
                raise ConfigException(f"{source} has two {kind} named {name}")
            entries[kind][name] = _with_whole_paths(entry.get(field) or {}, folder)
    return Kubeconfig(found=True, entries=entries, current=str(content.get("current-context") or ""))


def _decoded(data: bytes, source: str) -> object:
    """What a file holds: JSON, which may be indented by tabs, or YAML, with any line ends and byte order mark.

    Raises:
        ConfigException: it is neither. No part of the file is repeated, because it may be a secret.
    """
    try:
        if data.lstrip().startswith(b"{"):
            with suppress(ValueError):  # YAML in braces is fine, too
                return read_json(data)
        return yaml.load(data, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except yaml.reader.ReaderError as error:
        raise ConfigException(f"{source} is no text in UTF-8 or UTF-16, see byte {error.position}") from None
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f", see line {mark.line + 1}" if mark else ""
        raise ConfigException(f"{source} is neither YAML nor JSON{place}") from None


def _with_whole_paths(fields: Fields, folder: Path) -> Fields:
    """An entry's fields less the empty ones, which kubectl does not tell from absent ones, with whole paths.

    Relative ones start in the folder of the file that they stand in; a command without a slash is no path.
    """
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    whole: Fields = {name: str(folder / given[name]) for name in _PATHS if given.get(name)}
    plugin = given.get("exec")
    if isinstance(plugin, dict) and "/" in str(plugin.get("command")):
        whole["exec"] = {**plugin, "command": str(folder / plugin["command"])}
    return {**given, **whole}


@contextmanager
def usable(where: Where) -> Iterator[None]:
    """Whatever is wrong with a kubeconfig or the files that it names becomes ours.

    Raises:
        KubeconfigError: it cannot be used.
    """
    try:
        yield
    except (*LOWER, yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        kind = error.kind if isinstance(error, UnusableError) else KubeconfigError
        raise kind(where=where, kubeconfig=named(where.kubeconfig), reason=in_words(error)) from error
