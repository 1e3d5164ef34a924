"""Errors of `registryctl dev`."""

from kube_registry.errors import KubeRegistryError


class WatchError(
    KubeRegistryError,
    sentence="{folders} folders of the program and its build contexts cannot be watched: {reason}",
    fix="exclude what the images do not need with a line in .dockerignore, or raise the limit with "
    "`sudo sysctl fs.inotify.max_user_watches=1048576`",
    example={"folders": "9000", "reason": "OS file watch limit reached"},
):
    """The system does not watch so many folders."""

    folders: str
    reason: str
