"""Remove a superseded tag from the Docker daemon that built its image.

The docker provider removes no image: without this, every push would leave a tag, and the layers that only this tag
needs, in the daemon.
"""

import asyncio

import docker
import requests
from docker.errors import APIError, DockerException, ImageNotFound

from kube_registry.docker_daemon.errors import LocalTagError
from kube_registry.text import last_words


async def remove_local_tag(client: docker.DockerClient, host: str, name: str) -> None:
    """Remove a tag as `docker rmi NAME` does, with the layers that nothing else in the daemon uses.

    An image with another tag loses only this one. The daemon refuses to remove the only tag of an image that a
    container uses, running or not (moby, daemon/images/image_delete.go); that tag stays, without an error.

    Args:
        client: the daemon.
        host: address of the daemon, for errors.
        name: name of the image with its tag; the daemon need not have it.

    Raises:
        LocalTagError: the daemon failed to remove the tag.
    """
    try:
        await asyncio.to_thread(client.images.remove, name)
    except ImageNotFound:
        return
    except (DockerException, requests.RequestException) as error:
        if isinstance(error, APIError) and error.status_code == requests.codes.conflict:
            return
        raise LocalTagError(host=host, name=name, reason=last_words(str(error))) from error
