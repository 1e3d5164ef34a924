"""What can go wrong with the port-forward to the write door."""

from kube_registry.errors import HERE, ClusterError, other_port
from kube_registry.kube.errors import ForbiddenError


class TunnelForbiddenError(
    ForbiddenError,
    sentence="no tunnel from port {push_port} of this machine: " + ForbiddenError.sentence,
    example={**ForbiddenError.example, "push_port": 23286},
):
    """Who pushes may not open the tunnel."""

    push_port: int


class TunnelError(
    ClusterError,
    sentence=(
        "the tunnel from port {push_port} of this machine to the registry in {where} failed: {reason}. Fix: "
        "{where.examination}"
    ),
    example={
        "where": HERE,
        "push_port": 23286,
        "reason": "pod registry-1: error forwarding port 5000 to pod: connection refused",
    },
):
    """The port-forward to the write door cannot be used."""

    push_port: int
    reason: str


class PushPortBusyError(
    TunnelError,
    sentence=(
        "the tunnel to the registry in {where} cannot listen on port {push_port} of this machine: {reason}. "
        "Fix: end the program that holds it, or choose another port with `pulumi config set pushPort {other_port}`, by "
        "hand with `--push-port {other_port}`"
    ),
    example={"where": HERE, "push_port": 23286, "reason": "Address already in use"},
):
    """Another program listens on the push port."""

    @property
    def other_port(self) -> int:
        """Another push port."""
        return other_port(self.push_port)


class PodGoneError(
    TunnelError,
    sentence=(
        "the tunnel from port {push_port} of this machine to the registry in {where} lost pod {pod}: {reason}. "
        "Fix: push again, a new connection goes to the pod that takes its place"
    ),
    example={
        "where": HERE,
        "push_port": 23286,
        "pod": "registry-1",
        "reason": "its pod is on its way out",
    },
):
    """The pod at the tunnel's far end was taken away while it was used."""

    pod: str


class TunnelTimeoutError(
    TunnelError,
    sentence=(
        "the tunnel from port {push_port} of this machine to the registry in {where} reached no pod within "
        "{seconds:.0f} s: {reason}. Fix: {where.examination}; correct that and push again"
    ),
    example={
        "where": HERE,
        "push_port": 23286,
        "seconds": 45,
        "reason": "pod registry-1 is Pending",
    },
):
    """No pod was reached in time."""

    seconds: float


class TunnelProtocolError(
    TunnelError,
    sentence=(
        "the tunnel from port {push_port} of this machine to the registry in {where} met another protocol than "
        "v4.channel.k8s.io: {reason}; a proxy on the way to the API server may not pass WebSockets on"
    ),
    example={
        "where": HERE,
        "push_port": 23286,
        "reason": "subprotocol none in place of v4.channel.k8s.io",
    },
):
    """The node, or something on the way to it, speaks another protocol."""
