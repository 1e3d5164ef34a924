"""RegistryImage: one image, built by the local Docker daemon and pushed into the cluster's registry.

The docker provider builds, the daemon pushes to the push address, and the registry's hooks see to it that a tunnel
stands there meanwhile. Repository and tag are plain values and known in review; only the digest comes of the push.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pulumi
import pulumi_docker as docker

from kube_registry.build.build import Build, read_build
from kube_registry.build.staging import stage
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.errors import SettingsError
from kube_registry.text import first_of

from .args import ImageArgs
from .errors import as_run_error
from .kept import kept_image
from .options import brought, with_providers
from .settings import arguments, image_settings

if TYPE_CHECKING:
    from .cluster_registry import ClusterRegistry

MOST_NAMED = 10
"""How many links a warning names."""


class RegistryImageArgs(ImageArgs, total=False):
    """What an image is built of, and where it goes."""

    registry: "ClusterRegistry"
    """The registry that it is pushed to."""
    repository: str
    """Its repository in the registry; the component's name if not set."""
    platform: str
    """Platform that it is built for; the registry's if not set."""


class RegistryImage(pulumi.ComponentResource):
    """An image, as the nodes of its registry's cluster pull it.

    Args:
        name: its name in the stack.
        args: what it is built of and where it goes; the same may be given by name.
        opts: may bring the docker provider; the registry's is taken otherwise.

    Raises:
        pulumi.RunError: an argument is not allowed, or the build context is not as a build needs it.
    """

    reference: pulumi.Output[str]
    """The pull reference, by digest."""

    tagged: str
    """The same by its tag alone, known before anything is built."""

    def __init__(
        self,
        name: str,
        args: ImageArgs = {},  # noqa: B006 - it is never changed
        opts: pulumi.ResourceOptions | None = None,
        **inputs: Unpack[RegistryImageArgs],
    ) -> None:
        with as_run_error():
            given = arguments(RegistryImageArgs, args, inputs)
            registry, repository = _registry(name, given.pop("registry", None)), str(given.pop("repository", name))
            platform = str(given.pop("platform", registry.settings.platform))
            image = image_settings(name, repository, given, platform).images[repository]
            build = stage(read_build(repository, image, platform, Path()), Path())
        docker_provider = brought(opts, "docker")
        own = pulumi.ResourceOptions(providers=[docker_provider]) if docker_provider else registry.providers
        super().__init__("kube-registry:index:RegistryImage", name, {}, with_providers(opts, own))
        report_differences(build)
        if secret := given.get("secret_build_args") or {}:
            warn_of_secrets(repository)
        build_args: dict[str, pulumi.Input[str]] = {
            **image.build_args,
            **{key: pulumi.Output.secret(secret[key]) for key in secret},
        }
        built = self._built(name, registry, build, {"target": image.target, "args": build_args})
        endpoints = registry.endpoints
        self.tagged = endpoints.tagged_reference(repository, build.tag)
        self.reference = built.repo_digest.apply(
            lambda pushed: endpoints.pull_reference(repository, build.tag, str(parse_reference(pushed).digest))
        )
        kept = kept_image(registry, build, build_args)
        self.register_outputs({"reference": self.reference, "tagged": self.tagged, **kept})

    def _built(self, name: str, registry: "ClusterRegistry", build: Build, options: dict[str, Any]) -> docker.Image:
        return docker.Image(
            name,
            image_name=registry.endpoints.push_name(build.image, build.tag),
            build={
                "context": build.staged_context,
                "dockerfile": build.staged_dockerfile,
                "platform": build.platform,
                **options,
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=registry.needed_to_push,
                hooks=registry.push_hooks,
                replacement_trigger=registry.claim_uid,
            ),
        )


def _registry(name: str, given: Any) -> "ClusterRegistry":  # noqa: ANN401 - what a program without types gives
    from .cluster_registry import ClusterRegistry  # noqa: PLC0415 - that makes images, too

    if not isinstance(given, ClusterRegistry):
        fix = f"give the ClusterRegistry where RegistryImage {name!r} is made"
        raise SettingsError(key="registry", problem="it is missing, it takes a ClusterRegistry", fix=fix)
    return given


def report_differences(build: Build) -> None:
    """Report where a build gets something else than the files on disk.

    Args:
        build: the build, staged.
    """
    if links := sorted({os.path.relpath(link) for link in build.left_out}):
        named = first_of(links, MOST_NAMED).encode(errors="backslashreplace").decode()
        pulumi.log.warn(
            f"links left out of the build of {build.image}, because they do not lead to anything that is sent to it: "
            f"{named}. Fix: add them to .dockerignore, or let them lead to a file or folder in the build context."
        )
    if build.widened:
        pulumi.log.info(
            f"files of {build.image} that the umask hides from other users here are readable by every user in the "
            f"image: {build.widened}"
        )


def warn_of_secrets(image: str) -> None:
    """Warn that an image is no place for the secret build arguments that it has."""
    pulumi.log.warn(
        f"build arguments of {image} are secret, and are kept secret in the stack's state. In the registry they are "
        "not: a build argument is part of the image's history, which every pod of the cluster can read."
    )
