"""Podman in the place of Docker: what its API lacks, and how it is asked instead.

Podman has no `GET /distribution`. Its own API lists the tags of a repository, which takes the same connection as a push
and stores nothing. (It also looks up manifests, but only Docker's and indexes: an image in OCI's format is an error.)

Before 6.0, Podman does not report the digest of what it has pushed. The docker provider then takes the digest of the
image in Podman's store. The registry does not have that one, because Podman compresses layers only for the push.

Sources: Podman 4.3 and 6.0, pkg/api/server/register_distribution.go, pkg/api/handlers/libpod/images.go,
pkg/domain/infra/abi/manifest.go, pkg/api/handlers/compat/images_push.go.
"""

import docker

from kube_registry.docker_daemon.errors import PodmanHttpsError

_ENGINE = "Podman Engine"
_HTTPS_ONLY = "server gave HTTP response to HTTPS client"
"""Part of the message if registries.conf lacks the push address (Go, net/http)."""


def podman_version(client: docker.DockerClient) -> str | None:
    """Return the version of Podman; None if the daemon is another program."""
    components = client.version().get("Components") or ()
    return next((str(each["Version"]) for each in components if each["Name"] == _ENGINE), None)


def podman_refusal(client: docker.DockerClient, host: str, reference: str) -> str | None:
    """Return why Podman cannot find an image's repository in its registry; None if it can.

    Args:
        client: Podman.
        host: its address, for errors.
        reference: the image.

    Raises:
        PodmanHttpsError: it requires HTTPS there.
        RequestException: it did not respond.
    """
    answer = client.api.get(
        f"{client.api.base_url}/v4.0.0/libpod/images/search",
        params={"term": reference.partition("@")[0], "listTags": "true"},
        timeout=client.api.timeout,
    )
    if answer.ok:
        return None
    if _HTTPS_ONLY in answer.text:
        raise PodmanHttpsError(host=host, push_address=reference.partition("/")[0])
    return str(answer.json().get("cause"))
