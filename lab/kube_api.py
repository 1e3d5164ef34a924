"""The few words that the lab has with an API server: as the administrator, over the bridge, by no proxy."""

import http.client
import json
import ssl
from typing import Any

from lab.spec import ClusterSpec

ANSWER_SECONDS = 5.0
OK, CREATED, CONFLICT = 200, 201, 409


def get(spec: ClusterSpec, path: str) -> dict[str, Any] | None:
    """What the API server has at that path; None where it has nothing or does not answer."""
    status, answer = _request(spec, "GET", path)
    return json.loads(answer) if status == OK else None


def is_ready(spec: ClusterSpec) -> bool:
    """Whether the API server says that it is ready."""
    return _request(spec, "GET", "/readyz")[0] == OK


def create(spec: ClusterSpec, path: str, content: dict[str, Any]) -> bool:
    """Create an object; False where the API server did not. One that is there already is fine."""
    return _request(spec, "POST", path, json.dumps(content))[0] in (CREATED, CONFLICT)


def _request(spec: ClusterSpec, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
    trust = ssl.create_default_context(cafile=str(spec.pki / "ca.crt"))
    trust.load_cert_chain(spec.pki / "admin.pem")
    connection = http.client.HTTPSConnection(spec.api_address, 6443, timeout=ANSWER_SECONDS, context=trust)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
