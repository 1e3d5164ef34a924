"""The two addresses of one registry, and every reference made of them.

A registry has one content and two ways in: the Docker daemon pushes to the push address, every node pulls
from the pull host. The host part of a reference is only routing, so the same repository, tag and digest are
right in both. Nobody else writes "localhost:" or takes a reference apart.
"""

import hashlib
import re
from dataclasses import dataclass

PUSH_PORTS = range(20_000, 30_000)
"""Where push ports are derived: below the node ports (30000-32767) and Linux's ephemeral ports (32768-60999)."""

_REFERENCE = re.compile(
    r"(?P<host>[^/]+:\d+)/(?P<repository>[^:@]+)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?",
)


@dataclass(frozen=True)
class Reference:
    """An image reference taken apart; its parts are named as in the OCI distribution specification."""

    host: str
    repository: str
    tag: str | None
    digest: str | None


@dataclass(frozen=True)
class Endpoints:
    """Where one stack's registry is pushed to and pulled from.

    Args:
        node_port: port of the registry's NodePort Service, the same on every node.
        push_port: port on this machine's loopback that the tunnel listens on.
    """

    node_port: int
    push_port: int

    @property
    def pull_host(self) -> str:
        """Host and port that every node pulls from."""
        return f"localhost:{self.node_port}"

    @property
    def push_address(self) -> str:
        """Host and port that the Docker daemon pushes to."""
        return f"localhost:{self.push_port}"

    def push_name(self, repository: str, tag: str) -> str:
        """The name that the Docker daemon builds under and pushes by."""
        return f"{self.push_address}/{repository}:{tag}"

    def pull_reference(self, repository: str, tag: str, digest: str) -> str:
        """What a workload puts into `image:`; the digest pins the bytes, the tag tells people which they are."""
        return f"{self.tagged_reference(repository, tag)}@{digest}"

    def tagged_reference(self, repository: str, tag: str) -> str:
        """The pull reference as far as it is known before a push: a digest comes of that."""
        return f"{self.pull_host}/{repository}:{tag}"


def parse_reference(text: str) -> Reference:
    """Take a reference apart that names its host and port.

    Raises:
        ValueError: it is not of the form host:port/repository[:tag][@sha256:...].
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not host:port/repository[:tag][@sha256:...]")
    return Reference(**found.groupdict())


def is_host(first: str) -> bool:
    """Whether the first part of a path is a host, as Docker decides it.

    Args:
        first: what is before the first slash.
    """
    return "." in first or ":" in first or first == "localhost"


def derive_push_port(project: str, stack: str) -> int:
    """The push port of a stack that sets none: the same for life, and rarely another stack's.

    It is part of the image's name in Pulumi's state, so it must not change from run to run; several stacks
    are pushed to at once from one machine, so it should differ between them.
    """
    number = int.from_bytes(hashlib.sha256(f"{project}/{stack}".encode()).digest()[:4])
    return PUSH_PORTS[number % len(PUSH_PORTS)]
