"""Errors of the files of a build."""

from kube_registry.errors import KubeRegistryError


class BuildContextError(
    KubeRegistryError,
    sentence="image {image}: {path} {problem}",
    fix="{fix}",
    example={"image": "app", "path": "app/Dockerfile", "problem": "is not a file"},
):
    """The files of an image are missing, or cannot be built."""

    image: str
    path: str
    problem: str
    fix: str = "correct `context` or `dockerfile` of this image"
