"""The addresses of one registry, and the image references that use them.

The Docker daemon pushes to the push address, every node pulls from the pull host, and pods read from the cluster host.
All lead to the same registry: an image has the same repository, tag and digest there, only the host differs. No other
module formats or parses these references.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from kube_registry.names import READ_PORT, READ_SERVICE

Exposure = Literal["nodePort", "nodeProxy"]
"""What serves the pull host on every node: a node port, by kube-proxy, or the node proxy."""

PUSH_PORTS = range(20_000, 30_000)
"""The range of derived push ports: below the node ports (30000-32767) and Linux's ephemeral ports (32768-60999)."""

_REFERENCE = re.compile(
    r"(?P<host>[^/]+:\d+)/(?P<repository>[^:@]+)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
)


@dataclass(frozen=True)
class Reference:
    """A parsed image reference; its parts are named as in the OCI distribution specification."""

    host: str
    repository: str
    tag: str | None
    digest: str | None


@dataclass(frozen=True)
class Endpoints:
    """The addresses to push to and to pull from one stack's registry.

    Args:
        node_port: port of the registry on every node.
        push_port: port on this machine's loopback that the tunnel listens on.
        namespace: namespace of the registry.
    """

    node_port: int
    push_port: int
    namespace: str

    @property
    def pull_host(self) -> str:
        """Return the host and port that every node pulls from."""
        return f"localhost:{self.node_port}"

    @property
    def cluster_host(self) -> str:
        """Return the host and port for pods, whose localhost is not the node's. It resolves in every cluster domain."""
        return f"{READ_SERVICE}.{self.namespace}.svc:{READ_PORT}"

    @property
    def push_address(self) -> str:
        """Return the host and port that the Docker daemon pushes to."""
        return f"localhost:{self.push_port}"

    def push_name(self, repository: str, tag: str) -> str:
        """Return the name under which the Docker daemon builds and pushes an image."""
        return f"{self.push_address}/{repository}:{tag}"

    def pull_reference(self, repository: str, tag: str, digest: str) -> str:
        """Return the reference for a workload's `image:`. The digest identifies the image, the tag is for people."""
        return f"{self.tagged_reference(repository, tag)}@{digest}"

    def tagged_reference(self, repository: str, tag: str) -> str:
        """Return the pull reference without its digest, which is known only after the push."""
        return f"{self.pull_host}/{repository}:{tag}"


def parse_reference(text: str) -> Reference:
    """Parse a reference that contains a host and a port.

    Raises:
        ValueError: it is not of the form host:port/repository[:tag][@sha256:...].
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not host:port/repository[:tag][@sha256:...]")
    return Reference(**found.groupdict())


def is_host(first: str) -> bool:
    """Return whether the first part of an image name is a host, by Docker's rule.

    Args:
        first: the text before the first slash.
    """
    return "." in first or ":" in first or first == "localhost"


def derive_push_port(project: str, stack: str) -> int:
    """Derive the default push port of a stack from its name. It never changes, and two stacks rarely share one.

    The port is part of the image's name in Pulumi's state, so it must be the same in every run. One machine may push to
    several stacks at the same time, so it should differ between stacks.
    """
    number = int.from_bytes(hashlib.sha256(f"{project}/{stack}".encode()).digest()[:4])
    return PUSH_PORTS[number % len(PUSH_PORTS)]
