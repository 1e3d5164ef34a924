"""A BuildKit session, through which a build requests the login of each registry that it pulls from.

The Docker engine turns the connection of `POST /session` into a gRPC connection, in which it is the client. Source:
BuildKit, session/session.go (headers), session/auth/auth.proto, and grpc.health.v1, which the engine calls every few
seconds.
"""

import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from uuid import uuid4

import grpc
from google.protobuf.empty_pb2 import Empty
from google.protobuf.unknown_fields import UnknownFieldSet
from google.protobuf.wrappers_pb2 import StringValue

from lab.docker_provider.daemon import Daemon
from lab.docker_provider.errors import ProviderError
from lab.docker_provider.logins import HUB, Logins

_HUB_HOST = "registry-1.docker.io"
_AUTH, _HEALTH = "moby.filesync.v1.Auth", "grpc.health.v1.Health"
_SERVING = b"\x08\x01"
_PIECE = 65536


@contextmanager
def build_session(daemon: Daemon, logins: Logins) -> Iterator[str]:
    """Run a session that serves logins to a build.

    Args:
        daemon: the engine that builds.
        logins: the logins to serve.

    Yields:
        The session's id, for the build.

    Raises:
        ProviderError: the engine rejected the session.
    """

    def credentials(request: bytes, context: grpc.ServicerContext) -> bytes:
        host = _text(request)
        try:
            login = logins.of(HUB if host == _HUB_HOST else host)
        except ProviderError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return _field(1, login.username) + _field(2, login.secret)

    with ThreadPoolExecutor(4) as threads:
        server = grpc.server(threads)
        server.add_generic_rpc_handlers(
            [
                _service(_AUTH, "Credentials", credentials),
                _service(_HEALTH, "Check", lambda _request, _context: _SERVING),
            ]
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        session = uuid4().hex
        headers = {
            "X-Docker-Expose-Session-Uuid": session,
            "X-Docker-Expose-Session-Name": "",
            "X-Docker-Expose-Session-Sharedkey": "",
            "X-Docker-Expose-Session-Grpc-Method": f"/{_AUTH}/Credentials",
        }
        with (
            daemon.hijacked("/session", "h2c", headers) as (read, engine),
            socket.create_connection(("127.0.0.1", port)) as near,
            ThreadPoolExecutor(2) as pumps,
        ):
            pumps.submit(_pump, read.read1, near)
            pumps.submit(_pump, near.recv, engine)
            try:
                yield session
            finally:
                for end in (engine, near):
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
        server.stop(None).wait()


def _service(name: str, method: str, answer: Callable[[bytes, grpc.ServicerContext], bytes]) -> grpc.GenericRpcHandler:
    return grpc.method_handlers_generic_handler(name, {method: grpc.unary_unary_rpc_method_handler(answer)})


def _field(number: int, text: str) -> bytes:
    """Encode a text as a field of a protobuf message: the field of StringValue with another number."""
    encoded: bytes = StringValue(value=text).SerializeToString()
    return bytes([number << 3 | 2]) + encoded[1:] if text else b""


def _text(message: bytes) -> str:
    """Return the first field of a protobuf message, which has to be a text."""
    text: bytes = next(iter(UnknownFieldSet(Empty.FromString(message)))).data
    return text.decode()


def _pump(read: Callable[[int], bytes], sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := read(_PIECE):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
