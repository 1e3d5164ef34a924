"""An Image's inputs: what they mean, which are wrong, what changed. Knows files, no engine and no protocol."""

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
"""What stands on the wire for a value that is not known before the update."""

_BUILDERS = {"BuilderV1": "1", "BuilderBuildKit": "2"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_HUB = "docker.io"
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?")
_PATH = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")

_Json = dict[str, Any]


@dataclass(frozen=True)
class Image:
    """What is built and pushed, with the provider's defaults filled in."""

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
        """The image that checked inputs describe."""
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
    """An image's name in its parts, as the Docker engine reads it.

    Attributes:
        repository: host and path; Docker Hub's where the name has no host.
        tag: "latest" where the name has none.
        full: whether the name said all of its repository.
    """

    repository: str
    tag: str
    full: bool

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Split a name.

        Raises:
            ProviderError: it is no image name.
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
    """The inputs with everything that the provider adds: defaults, platform, digest of the build context.

    Args:
        news: the program's inputs; unknown values are `UNKNOWN`.
        announce: gets what a person should know besides.

    Raises:
        ProviderError: an input cannot be used, or is one that the stand-in leaves out.
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
    """Whether the image can go where it is to go, as far as that is known.

    Raises:
        ProviderError: the name does not say which registry, or the registry wants credentials.
    """
    given = inputs.get("registry")
    registry = given if isinstance(given, dict) else {}
    if registry.get("username") or registry.get("password"):
        raise ProviderError(
            "the offline stand-in for the Docker provider does not log in to registries; "
            "leave out registry.username and registry.password or install the real plugin"
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
    """Which inputs differ, and how: ADD, DELETE or UPDATE. None of it ever asks for a replacement."""
    changes = dict.fromkeys(olds.keys() - news.keys(), "DELETE")
    changes |= dict.fromkeys(news.keys() - olds.keys(), "ADD")
    changes |= {key: "UPDATE" for key in olds.keys() & news.keys() if olds[key] != news[key]}
    if changes.get("registry") == "UPDATE" and not _registry_moved(olds["registry"], news["registry"]):
        del changes["registry"]
    return changes


def can_preview(inputs: _Json) -> bool:
    """Whether enough is known to build before the update."""
    build = inputs.get("build")
    needed = [inputs.get("imageName"), *(build.get(key) for key in ("dockerfile", "context", "args"))] if build else []
    return isinstance(build, dict) and UNKNOWN not in json.dumps(needed)


def _check_build(given: _Json) -> _Json:
    _builder(given)
    if "cacheFrom" in given:
        raise ProviderError(
            "the offline stand-in for the Docker provider does not know build.cacheFrom; "
            "leave it out or install the real plugin"
        )
    build = {"context": ".", **given}
    # For want of a better one the real plugin, too, takes the program's folder for an unknown build context.
    context = "." if build["context"] == UNKNOWN else build["context"]
    build.setdefault("dockerfile", posixpath.normpath(posixpath.join(context, "Dockerfile")))
    if build["dockerfile"] != UNKNOWN:
        build["contextDigest"] = _context_digest(context, build["dockerfile"])
    return build


def _context_digest(context: str, dockerfile: str) -> str:
    from lab.docker_provider.context import digest  # noqa: PLC0415 - the plugin is to listen at once

    try:
        os.stat(dockerfile)  # noqa: PTH116 - its error names the path as it was given
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
    """Credentials change often and build nothing anew: only another server counts."""
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
