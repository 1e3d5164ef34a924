"""Parse, check and compare the inputs of an Image. This module reads files, but connects to no engine."""

import json
import os
import platform
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.docker_provider.errors import ProviderError

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The protocol's value for an input that is unknown before the update."""

_BUILDERS = {"BuilderV1": "1", "BuilderBuildKit": "2"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_HUB = "docker.io"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

_Json = dict[str, Any]


@dataclass(frozen=True)
class Image:
    """An image to build and push, with the provider's defaults."""

    name: str
    context: str
    dockerfile: str
    args: Mapping[str, str]
    target: str
    platform: str
    network: str
    add_hosts: tuple[str, ...]
    builder: str
    registry_server: str
    skip_push: bool

    @classmethod
    def parse(cls, inputs: _Json) -> "Image":
        """Create the image from checked inputs."""
        build = inputs["build"]
        return cls(
            name=inputs["imageName"],
            context=build["context"],
            dockerfile=build["dockerfile"],
            args=build.get("args", {}),
            target=build.get("target", ""),
            platform=build.get("platform", ""),
            network=build.get("network", ""),
            add_hosts=tuple(build.get("addHosts", ())),
            builder=_builder(build),
            registry_server=inputs.get("registry", {}).get("server", ""),
            skip_push=inputs.get("skipPush", False),
        )


@dataclass(frozen=True)
class Name:
    """A parsed image name, by the Docker engine's rules.

    Attributes:
        repository: host and path; Docker Hub's host if the name has none.
        tag: "latest" if the name has none.
        full: whether the name contains its complete repository.
    """

    repository: str
    tag: str
    full: bool

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Parse a name.

        Raises:
            ProviderError: it is not a valid image name.
        """
        given, _, _ = text.partition("@")
        repository, colon, tag = given.rpartition(":")
        if not colon or "/" in tag:
            repository, tag = given, "latest"
        host, slash, path = repository.partition("/")
        if not slash or not (set(".:") & set(host) or host == "localhost" or host != host.lower()):
            host, path = _HUB, repository
        if host == _HUB and "/" not in path:
            path = f"library/{path}"
        if path != path.lower():
            raise ProviderError(f"invalid reference format: repository name ({path}) must be lowercase")
        if not _HOST.fullmatch(host) or not _PATH.fullmatch(path) or not _TAG.fullmatch(tag):
            raise ProviderError("invalid reference format")
        return cls(f"{host}/{path}", tag, full=repository == f"{host}/{path}")


def check(news: _Json, announce: Callable[[str], None]) -> _Json:
    """Check the inputs and add the provider's values: defaults, platform, digest of the build context.

    Args:
        news: the program's inputs; unknown values are `UNKNOWN`.
        announce: called with notes for the user.

    Raises:
        ProviderError: an input is not valid, or the stand-in does not support it.
    """
    on_preview = news.get("buildOnPreview")
    inputs = {**news, "buildOnPreview": on_preview is True}
    build = news.get("build", {})
    if isinstance(build, dict):
        inputs["build"] = _check_build(build)
        if "platform" not in inputs["build"]:
            inputs["build"]["platform"] = _host_platform()
            announce(
                f"Building your image for {_host_platform()} architecture.\n"
                "To ensure you are building for the correct platform, consider explicitly setting the `platform` "
                "field on ImageBuildOptions."
            )
    check_destination(news)
    return inputs


def check_destination(inputs: _Json) -> None:
    """Check that the image can be pushed, as far as its inputs are known.

    Raises:
        ProviderError: the name contains no registry, or the inputs contain credentials.
    """
    given = inputs.get("registry")
    registry = given if isinstance(given, dict) else {}
    if registry.get("username") or registry.get("password"):
        raise ProviderError(
            "the offline stand-in for the Docker provider does not log in to registries. "
            "Fix: remove registry.username and registry.password, or install the real plugin"
        )
    name = inputs.get("imageName", UNKNOWN)
    if inputs.get("skipPush") or registry.get("server") or name == UNKNOWN:
        return
    try:
        problem = "" if Name.parse(name).full else "repository name must be canonical"
    except ProviderError as error:
        problem = str(error)
    if problem:
        raise ProviderError(
            f"{json.dumps(name)}: {problem}.\n"
            "This resource requires all image names to be fully qualified.\n"
            "For example, if you are attempting to push to Dockerhub, prefix your image name with `docker.io`:\n\n"
            "`docker.io/repository/image:tag`"
        )


def diff(olds: _Json, news: _Json) -> dict[str, str]:
    """Return the inputs that differ, and how: ADD, DELETE or UPDATE. No difference requires a replacement."""
    changes = dict.fromkeys(olds.keys() - news.keys(), "DELETE")
    changes |= dict.fromkeys(news.keys() - olds.keys(), "ADD")
    changes |= {key: "UPDATE" for key in olds.keys() & news.keys() if olds[key] != news[key]}
    if changes.get("registry") == "UPDATE" and not _registry_moved(olds["registry"], news["registry"]):
        del changes["registry"]
    return changes


def can_preview(inputs: _Json) -> bool:
    """Return whether the inputs that a build needs are known in a preview."""
    build = inputs.get("build")
    needed = [inputs.get("imageName"), *(build.get(key) for key in ("dockerfile", "context", "args"))] if build else []
    return isinstance(build, dict) and UNKNOWN not in json.dumps(needed)


def _check_build(given: _Json) -> _Json:
    _builder(given)
    if "cacheFrom" in given:
        raise ProviderError(
            "the offline stand-in for the Docker provider does not support build.cacheFrom. "
            "Fix: remove it, or install the real plugin"
        )
    build = {"context": ".", **given}
    # Like the real plugin, use the program's folder if the build context is unknown.
    context = "." if build["context"] == UNKNOWN else build["context"]
    build.setdefault("dockerfile", posixpath.normpath(posixpath.join(context, "Dockerfile")))
    if build["dockerfile"] != UNKNOWN:
        build["contextDigest"] = _context_digest(context, build["dockerfile"])
    return build


def _context_digest(context: str, dockerfile: str) -> str:
    from lab.docker_provider.context import digest  # noqa: PLC0415 - lets the plugin listen sooner

    try:
        os.stat(dockerfile)  # noqa: PTH116 - its error contains the path as it was given
    except OSError as error:
        raise ProviderError(_no_dockerfile(context, dockerfile, error)) from error
    return digest(context, dockerfile)


def _no_dockerfile(context: str, dockerfile: str, error: OSError) -> str:
    reason = f"stat {dockerfile}: {(error.strerror or '').lower()}"
    if posixpath.isabs(dockerfile):
        return f"expected a relative Dockerfile path; got {json.dumps(dockerfile)} instead: {reason}"
    sentence = f"could not open dockerfile at relative path {json.dumps(dockerfile)}"
    inside = posixpath.normpath(posixpath.join(context, dockerfile))
    if Path(inside).exists():
        return f"{sentence}. Try setting `dockerfile` to {json.dumps(inside)}"
    return f"{sentence}: {reason}"


def _registry_moved(old: Any, new: Any) -> bool:  # noqa: ANN401 - JSON
    """Return whether the server changed. Credentials change often and do not require a build."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return True
    return "server" in old and "server" in new and old["server"] != new["server"]


def _builder(build: _Json) -> str:
    version = _BUILDERS.get(build.get("builderVersion", "BuilderBuildKit"))
    if not version:
        raise ProviderError("invalid Docker Builder version")
    return version


def _host_platform() -> str:
    machine = platform.machine()
    return f"linux/{_ARCHITECTURES.get(machine, machine)}"
