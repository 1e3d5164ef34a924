"""What can go wrong with the Docker daemon: its address, its configuration, its way here."""

from kube_registry.errors import KubeRegistryError, Where, on_stack, other_port


class DaemonError(
    KubeRegistryError,
    sentence=(
        "no Docker daemon answers at {host}: {reason}. Fix: start Docker or name another daemon in DOCKER_HOST, "
        "`docker info` tells when it is right"
    ),
    example={
        "host": "unix:///var/run/docker.sock",
        "reason": "[Errno 2] No such file or directory",
    },
):
    """No Docker daemon answers."""

    host: str
    reason: str


class DaemonAddressError(
    KubeRegistryError,
    sentence=(
        "{source} is {host!r}, which is not of the form unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]. "
        "Fix: `export DOCKER_HOST={meant!r}`"
    ),
    example={
        "source": "DOCKER_HOST",
        "host": "docker",
        "meant": "tcp://docker:2375",
    },
):
    """DOCKER_HOST or the docker context does not name a daemon's address."""

    source: str
    host: str
    meant: str


class DaemonTlsError(
    KubeRegistryError,
    sentence=(
        "docker context {context!r} reaches {host} with TLS certificates, which the docker provider takes from the "
        "environment only. Fix: `export DOCKER_HOST={host!r} DOCKER_TLS_VERIFY={verify} DOCKER_CERT_PATH={folder!r}`"
    ),
    example={
        "context": "build",
        "host": "tcp://build.example:2376",
        "folder": "/home/me/.docker/contexts/tls/94c8d7b2/docker",
        "verify": "1",
    },
):
    """The docker context has TLS certificates, which the docker provider takes from the environment only."""

    context: str
    host: str
    folder: str
    verify: str


class DockerConfigError(
    KubeRegistryError,
    sentence=(
        "Docker's configuration {file} cannot be used: {reason}. "
        "Fix: correct the file until `docker context ls` shows no warning"
    ),
    example={"file": "/home/me/.docker/config.json", "reason": "it is no JSON object"},
):
    """Docker's config.json cannot be used."""

    file: str
    reason: str


class DaemonReachError(
    KubeRegistryError,
    sentence=(
        "the Docker daemon at {host} does not reach {push_address} of this machine: {reason}. A relay in the daemon's "
        "network needs containers with `--network host`, and this port free on its loopback. "
        "Fix: if the port is taken there, `pulumi config set pushPort {other_port}`"
    ),
    example={
        "host": "tcp://docker:2375",
        "push_address": "localhost:21000",
        "reason": "relay: cannot listen on 127.0.0.1:21000: Address in use",
    },
):
    """The Docker daemon does not reach the push address of this machine, and no relay carries it there."""

    host: str
    push_address: str
    reason: str
    where: Where | None = None

    def __str__(self) -> str:
        """The sentence, with a command for the stack that pushes."""
        return on_stack(super().__str__(), self.where.stack, self.where.component) if self.where else super().__str__()

    @property
    def other_port(self) -> int:
        """Another push port."""
        return other_port(int(self.push_address.rpartition(":")[2]))
