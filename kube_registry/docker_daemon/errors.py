"""Errors of the Docker daemon: its address, its configuration, its connection to the push address."""

from kube_registry.errors import KubeRegistryError, Where, on_stack, other_port


class DaemonError(
    KubeRegistryError,
    sentence="cannot connect to the Docker daemon at {host}: {reason}",
    fix="start Docker, or set DOCKER_HOST to another daemon; check it with `docker info`",
    example={
        "host": "unix:///var/run/docker.sock",
        "reason": "[Errno 2] No such file or directory",
    },
):
    """The Docker daemon is not responding."""

    host: str
    reason: str


class DaemonAddressError(
    KubeRegistryError,
    sentence="{source} is {host!r}, which is not of the form unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]",
    fix="`export DOCKER_HOST={meant!r}`",
    example={
        "source": "DOCKER_HOST",
        "host": "docker",
        "meant": "tcp://docker:2375",
    },
):
    """DOCKER_HOST or the docker context is not a valid address of a daemon."""

    source: str
    host: str
    meant: str


class DaemonTlsError(
    KubeRegistryError,
    sentence=(
        "docker context {context!r} uses TLS certificates for {host}, but the docker provider reads them from the "
        "environment only"
    ),
    fix="`export DOCKER_HOST={host!r} DOCKER_TLS_VERIFY={verify} DOCKER_CERT_PATH={folder!r}`",
    example={
        "context": "build",
        "host": "tcp://build.example:2376",
        "folder": "/home/me/.docker/contexts/tls/94c8d7b2/docker",
        "verify": "1",
    },
):
    """The docker context uses TLS certificates, but the docker provider reads them from the environment only."""

    context: str
    host: str
    folder: str
    verify: str


class DockerConfigError(
    KubeRegistryError,
    sentence="Docker's configuration {file} cannot be used: {reason}",
    fix="correct the file until `docker context ls` shows no warning",
    example={"file": "/home/me/.docker/config.json", "reason": "it is not a JSON object"},
):
    """Docker's config.json cannot be used."""

    file: str
    reason: str


class LocalTagError(
    KubeRegistryError,
    sentence="the Docker daemon at {host} still has the superseded tag {name}, because its removal failed: {reason}",
    fix="`docker rmi {name}`",
    example={
        "host": "unix:///var/run/docker.sock",
        "name": "localhost:21000/app:0d3f1a526c1e4a6f",
        "reason": "Read timed out",
    },
):
    """The tag of an image's previous build could not be removed from the Docker daemon; the update goes on."""

    host: str
    name: str
    reason: str


class PodmanVersionError(
    KubeRegistryError,
    sentence=(
        "Podman {version} at {host} does not report the digest of an image that it has pushed, so the docker provider "
        "would record one that the registry does not have"
    ),
    fix="install Podman 6.0 or newer, or set DOCKER_HOST to a Docker daemon; check it with `docker version`",
    example={"host": "unix:///run/podman/podman.sock", "version": "4.3.1"},
):
    """Podman is too old to push for the docker provider."""

    host: str
    version: str


class PodmanHttpsError(
    KubeRegistryError,
    sentence="Podman at {host} requires HTTPS at {push_address}, where the registry answers with plain HTTP",
    fix=(
        "as root on Podman's machine, `printf '[[registry]]\\nlocation = \"{push_address}\"\\ninsecure = true\\n' "
        "> /etc/containers/registries.conf.d/kube-registry-{port}.conf`, then restart Podman's service"
    ),
    example={"host": "unix:///run/podman/podman.sock", "push_address": "localhost:21000"},
):
    """Podman requires HTTPS at the push address."""

    host: str
    push_address: str

    @property
    def port(self) -> int:
        """The push port."""
        return int(self.push_address.rpartition(":")[2])


class DaemonReachError(
    KubeRegistryError,
    sentence=(
        "the Docker daemon at {host} cannot connect to {push_address} of this machine: {reason}. A relay in the "
        "daemon's network requires containers with `--network host`, and a free port on its loopback"
    ),
    fix="if the port is in use there, `pulumi config set pushPort {other_port}`",
    example={
        "host": "tcp://docker:2375",
        "push_address": "localhost:21000",
        "reason": "relay: cannot listen on 127.0.0.1:21000: Address in use",
    },
):
    """The Docker daemon cannot connect to the push address of this machine, not even through a relay."""

    host: str
    push_address: str
    reason: str
    where: Where | None = None

    def __str__(self) -> str:
        """Return the message; its commands select the stack."""
        return on_stack(super().__str__(), self.where.stack, self.where.component) if self.where else super().__str__()

    @property
    def other_port(self) -> int:
        """A push port to use instead."""
        return other_port(int(self.push_address.rpartition(":")[2]))
