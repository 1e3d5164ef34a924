"""What can go wrong with the files of a build."""

from kube_registry.errors import KubeRegistryError


class BuildContextError(
    KubeRegistryError,
    sentence="image {image}: {path} {problem}. Fix: {fix}",
    example={"image": "app", "path": "app/Dockerfile", "problem": "is not a file"},
):
    """The files of an image are not as its settings say, or not as a build can use them."""

    image: str
    path: str
    problem: str
    fix: str = "correct `context` or `dockerfile` of this image"
