"""Errors of the port-forward to the write door."""

from kube_registry.errors import HERE, ClusterError, other_port
from kube_registry.kube.errors import ForbiddenError


class TunnelForbiddenError(
    ForbiddenError,
    sentence="cannot open a tunnel from port {push_port} of this machine: " + ForbiddenError.sentence,
    fix=ForbiddenError.correction,
    example={**ForbiddenError.example, "push_port": 23286},
):
    """The user who pushes lacks the permission to open the tunnel."""

    push_port: int


class TunnelError(
    ClusterError,
    sentence="the tunnel from port {push_port} of this machine to the registry in {where} failed: {reason}",
    fix="{where.examination}",
    example={
        "where": HERE,
        "push_port": 23286,
        "reason": "pod registry-1: error forwarding port 5000 to pod: connection refused",
    },
):
    """The port-forward to the write door failed."""

    push_port: int
    reason: str


class PushPortBusyError(
    TunnelError,
    sentence="the tunnel to the registry in {where} cannot listen on port {push_port} of this machine: {reason}",
    fix=(
        "stop the program that uses the port, or choose another port with `pulumi config set pushPort {other_port}`, "
        "or with `--push-port {other_port}` on the command line"
    ),
    example={"where": HERE, "push_port": 23286, "reason": "Address already in use"},
):
    """Another program listens on the push port."""

    @property
    def other_port(self) -> int:
        """A push port to use instead."""
        return other_port(self.push_port)


class PodGoneError(
    TunnelError,
    sentence="the tunnel from port {push_port} of this machine to the registry in {where} lost pod {pod}: {reason}",
    fix="push again; the tunnel connects to the pod that replaces it",
    example={
        "where": HERE,
        "push_port": 23286,
        "pod": "registry-1",
        "reason": "its pod is terminating",
    },
):
    """The pod at the end of the tunnel was lost during a connection."""

    pod: str


class TunnelTimeoutError(
    TunnelError,
    sentence=(
        "the tunnel from port {push_port} of this machine to the registry in {where} reached no pod within "
        "{seconds:.0f} s: {reason}"
    ),
    fix="{where.examination}; correct that, then push again",
    example={
        "where": HERE,
        "push_port": 23286,
        "seconds": 45,
        "reason": "pod registry-1 is Pending",
    },
):
    """The tunnel reached no pod in time."""

    seconds: float


class TunnelProtocolError(
    TunnelError,
    sentence=(
        "the tunnel from port {push_port} of this machine to the registry in {where} requires the protocol "
        "v4.channel.k8s.io: {reason}"
    ),
    fix="let every proxy between this machine and the API server pass WebSockets",
    example={
        "where": HERE,
        "push_port": 23286,
        "reason": "the answer has subprotocol none instead of v4.channel.k8s.io",
    },
):
    """The node, or a proxy in between, uses another protocol."""
