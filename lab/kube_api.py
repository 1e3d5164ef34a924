"""Simple requests to an API server, as the administrator, over the bridge, without a proxy."""

import http.client
import json
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from lab.spec import ClusterSpec

ANSWER_SECONDS = 5.0
OK, CREATED, NOT_FOUND, CONFLICT = 200, 201, 404, 409


def get(spec: ClusterSpec, path: str) -> dict[str, Any] | None:
    """Return the object at a path, or None if it does not exist or the API server does not respond."""
    status, answer = _request(spec, "GET", path)
    return json.loads(answer) if status == OK else None


def is_ready(spec: ClusterSpec) -> bool:
    """Return whether the API server reports that it is ready."""
    return _request(spec, "GET", "/readyz")[0] == OK


def create(spec: ClusterSpec, path: str, content: dict[str, Any]) -> bool:
    """Create an object unless it exists; return False if the API server did not."""
    return _request(spec, "POST", path, json.dumps(content))[0] in (CREATED, CONFLICT)


def delete(spec: ClusterSpec, path: str) -> bool:
    """Delete an object if it exists; return False if the API server did not."""
    return _request(spec, "DELETE", path)[0] in (OK, NOT_FOUND)


def patch(spec: ClusterSpec, path: str, changes: dict[str, Any]) -> bool:
    """Change an object by a strategic merge patch; return False if the API server did not."""
    return _request(spec, "PATCH", path, json.dumps(changes), "application/strategic-merge-patch+json")[0] == OK


@contextmanager
def watching(spec: ClusterSpec, path: str, *, seconds: float) -> Iterator[Iterator[dict[str, Any]]]:
    """Watch the objects at a path: yield their events, first one for each object that exists.

    Args:
        spec: the cluster.
        path: path of a list of objects.
        seconds: how long there may be no event; the iterator then raises TimeoutError.
    """
    with closing(_connection(spec, seconds)) as connection:
        connection.request("GET", f"{path}{'&' if '?' in path else '?'}watch=true")
        yield map(json.loads, connection.getresponse())


def _request(
    spec: ClusterSpec, method: str, path: str, body: str | None = None, kind: str = "application/json"
) -> tuple[int, bytes]:
    connection = _connection(spec, ANSWER_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": kind})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()


def _connection(spec: ClusterSpec, seconds: float) -> http.client.HTTPSConnection:
    trust = ssl.create_default_context(cafile=str(spec.pki / "ca.crt"))
    trust.load_cert_chain(spec.pki / "admin.pem")
    return http.client.HTTPSConnection(spec.api_address, 6443, timeout=seconds, context=trust)
