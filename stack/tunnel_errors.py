"""What can go wrong with the port-forward to the write door."""

from dataclasses import dataclass
from typing import ClassVar

from stack.api_errors import ForbiddenError
from stack.errors import HERE, ClusterError, other_port


@dataclass(eq=False)
class TunnelForbiddenError(ForbiddenError):
    """Who pushes may not open the tunnel."""

    push_port: int

    sentence = "no tunnel from port {push_port} of this machine: " + ForbiddenError.sentence
    example: ClassVar[dict[str, object]] = {**ForbiddenError.example, "push_port": 23286}


@dataclass(eq=False)
class TunnelError(ClusterError):
    """The port-forward to the write door cannot be used."""

    push_port: int
    reason: str

    sentence = (
        "the tunnel from port {push_port} of this machine to the registry in {where} failed: {reason}. Fix: "
        "{where.examination}"
    )
    example: ClassVar[dict[str, object]] = {
        "where": HERE,
        "push_port": 23286,
        "reason": "pod registry-1: error forwarding port 5000 to pod: connection refused",
    }


@dataclass(eq=False)
class PushPortBusyError(TunnelError):
    """Another program listens on the push port."""

    sentence = (
        "the tunnel to the registry in {where} cannot listen on port {push_port} of this machine: {reason}; "
        "end the program that holds it, or choose another port with `pulumi config set pushPort {other_port}`, by "
        "hand with `--push-port {other_port}`"
    )
    example: ClassVar[dict[str, object]] = {"where": HERE, "push_port": 23286, "reason": "Address already in use"}

    @property
    def other_port(self) -> int:
        """Another push port."""
        return other_port(self.push_port)


@dataclass(eq=False)
class PodGoneError(TunnelError):
    """The pod at the tunnel's far end was taken away while it was used."""

    pod: str

    sentence = (
        "the tunnel from port {push_port} of this machine to the registry in {where} lost pod {pod}: {reason}; "
        "push again, a new connection goes to the pod that takes its place"
    )
    example: ClassVar[dict[str, object]] = {
        "where": HERE,
        "push_port": 23286,
        "pod": "registry-1",
        "reason": "its pod is on its way out",
    }


@dataclass(eq=False)
class TunnelTimeoutError(TunnelError):
    """No pod was reached in time."""

    seconds: float

    sentence = (
        "the tunnel from port {push_port} of this machine to the registry in {where} reached no pod within "
        "{seconds:.0f} s: {reason}. Fix: {where.examination}; correct that and push again"
    )
    example: ClassVar[dict[str, object]] = {
        "where": HERE,
        "push_port": 23286,
        "seconds": 45,
        "reason": "pod registry-1 is Pending",
    }


@dataclass(eq=False)
class TunnelProtocolError(TunnelError):
    """The node, or something on the way to it, speaks another protocol."""

    sentence = (
        "the tunnel from port {push_port} of this machine to the registry in {where} met another protocol than "
        "v4.channel.k8s.io: {reason}; a proxy on the way to the API server may not pass WebSockets on"
    )
    example: ClassVar[dict[str, object]] = {
        "where": HERE,
        "push_port": 23286,
        "reason": "subprotocol none in place of v4.channel.k8s.io",
    }
