"""Build an image and push it with the Docker engine, and pass on the engine's progress lines.

Like the real provider, it collects all logins before a build and fails if one cannot be read.
"""

import base64
import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote, urlencode

from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet

from lab.docker_provider.context import archive, relative_dockerfile
from lab.docker_provider.daemon import Daemon
from lab.docker_provider.errors import ProviderError, RefusedError
from lab.docker_provider.inputs import Image, Name
from lab.docker_provider.logins import Logins
from lab.docker_provider.session import build_session

LAST_LINES = 20
"""Number of output lines of a failed build in its error."""

_TRACE = "moby.buildkit.trace"
_BUILDKIT = "2"

_Say = Callable[[str], None]
_Message = dict[str, Any]


def build_and_push(daemon: Daemon, image: Image, say: _Say, *, push: bool, warn: _Say | None = None) -> dict[str, str]:
    """Build an image, push it if `push` is set, and return the resource's outputs.

    Args:
        daemon: the Docker engine.
        image: the image to build.
        say: called with each progress line of the engine.
        push: whether to push; if not, `repoDigest` is the id of the local image.
        warn: called with each warning; `say` by default.

    Raises:
        ProviderError: a login cannot be read, or the build failed (with the build's last lines), or the push failed.
    """
    logins, host = Logins.read(), Name.parse(image.name).repository.partition("/")[0]
    every = {name: login.as_auth(name) for name, login in logins.every().items()}
    own = logins.of(host).as_auth(host) if push else {}
    session = build_session(daemon, logins) if image.builder == _BUILDKIT else nullcontext("")
    with session as session_id:
        image_id = _build(daemon, image, say, _encoded(every), session_id)
    return {
        "dockerfile": relative_dockerfile(image.context, image.dockerfile),
        "context": image.context,
        "baseImageName": image.name,
        "registryServer": image.registry_server,
        "imageName": image.name,
        "platform": image.platform,
        "repoDigest": _pushed(daemon, image.name, image_id, _encoded(own), say=say, warn=warn or say)
        if push
        else image_id,
    }


def _encoded(logins: Mapping[str, object]) -> str:
    """Encode logins for the headers of the Docker engine's API."""
    return base64.urlsafe_b64encode(json.dumps(logins).encode()).decode()


def _build(daemon: Daemon, image: Image, say: _Say, logins: str, session: str) -> str:
    """Build an image and return its id in the engine's store."""
    packed = archive(image.context, image.dockerfile)
    say("Starting Docker build")
    query: dict[str, Any] = {
        "t": image.name,
        "dockerfile": packed.dockerfile,
        "buildargs": json.dumps(dict(image.args)),
        "target": image.target,
        "platform": image.platform,
        "networkmode": image.network,
        "extrahosts": image.add_hosts,
        "version": image.builder,
        "rm": 1,
        **({"session": session} if session else {}),
    }
    headers = {"Content-Type": "application/x-tar", "X-Registry-Config": logins}
    last_lines: deque[str] = deque(maxlen=LAST_LINES)
    image_id = ""
    with packed.file as body:
        try:
            for message in daemon.post(f"/build?{urlencode(query, doseq=True)}", headers, body):
                last_lines.extend(_own_lines(message))
                image_id = _report(message, say, "ID", "Built image with ID {}") or image_id
        except RefusedError as error:
            raise ProviderError(f"error building image: {error}") from error
        except ProviderError as error:
            raise ProviderError("\n".join([f"error reading build output: {error}", *last_lines])) from error
    if not image_id:
        raise ProviderError("no image id found in build output")
    say(f"Image built successfully, local id {json.dumps(image_id)}")
    return image_id


def _pushed(daemon: Daemon, image_name: str, image_id: str, login: str, *, say: _Say, warn: _Say) -> str:
    """Push an image with the engine, and return its repository with its digest in the registry.

    An engine with the containerd image store reports no digest. Like the real provider, the digest is then that of the
    image in the store.
    """
    say("Pushing Image to the registry")
    name = Name.parse(image_name)
    if digest := _push(daemon, name, say, login):
        return f"{name.repository}@{digest}"
    warn("Push completed without reporting a digest; falling back to local image inspect")
    known = daemon.get(f"/images/{image_id}/json").get("RepoDigests") or []
    return next((str(each) for each in known if each.startswith(f"{name.repository}@")), "<none>@<none>")


def _push(daemon: Daemon, name: Name, say: _Say, login: str) -> str:
    """Push an image with the engine, and return the digest that it reports, which may be empty."""
    path = f"/images/{quote(name.repository)}/push?{urlencode({'tag': name.tag})}"
    digest = ""
    try:
        for message in daemon.post(path, {"X-Registry-Auth": login}):
            digest = _report(message, say, "Digest", "Pushed image with digest {}") or digest
    except RefusedError:
        raise
    except ProviderError as error:
        raise ProviderError(f"error reading push output: {error}") from error
    return digest


def _report(message: _Message, say: _Say, result: str, sentence: str) -> str:
    """Print a message of the engine.

    Returns:
        The value of `result`, if the message contains it.

    Raises:
        ProviderError: the message reports an error.
    """
    if message.get("errorDetail") or message.get("error"):
        raise ProviderError((message.get("errorDetail") or {}).get("message") or message["error"])
    line = message.get("from", "")
    line += message.get("stream") or " ".join(filter(None, (message.get("status"), message.get("progress"))))
    aux = message.get("aux")
    value = ""
    if message.get("id") == _TRACE and isinstance(aux, str):
        line += "\n".join(_trace(aux))
    elif isinstance(aux, dict):
        value = aux.get(result, "")
        line += sentence.format(value) if value else json.dumps(aux)
    if line.strip():
        say(line.strip())
    return value


def _own_lines(message: _Message) -> list[str]:
    """Return the output of a build's programs, without most of the engine's own messages."""
    traced = message.get("id") == _TRACE
    texts = _logs(base64.b64decode(message["aux"])) if traced else [message.get("stream", "")]
    return [line for text in texts for line in text.strip().splitlines()]


def _trace(aux: str) -> Iterator[str]:
    """Yield the texts in BuildKit's progress: steps with their errors, their status, output and warnings."""
    status = base64.b64decode(aux)
    for step in _texts(status, 1):
        yield from (f"digest: {digest.decode()}" for digest in _texts(step, 1))
        yield from (name.decode() for name in _texts(step, 3))
        yield from (f"error: {error.decode()}" for error in _texts(step, 7))
    for progress in _texts(status, 2):
        yield from (name.decode() for name in _texts(progress, 1))
    yield from _logs(status)
    for warning in _texts(status, 4):
        yield from (short.decode() for short in _texts(warning, 3))


def _logs(status: bytes) -> list[str]:
    """Return the output of the steps of a BuildKit build."""
    return [text.decode(errors="replace") for log in _texts(status, 3) for text in _texts(log, 4)]


def _texts(message: bytes, number: int) -> list[bytes]:
    """Return the fields with a number in a protobuf message of BuildKit's control API (StatusResponse and nested)."""
    fields = UnknownFieldSet(Empty.FromString(message))
    return [field.data for field in fields if field.field_number == number and isinstance(field.data, bytes)]
