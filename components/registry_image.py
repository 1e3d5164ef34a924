"""RegistryImage: an image, built by the local Docker daemon and pushed to the cluster's registry.

The docker provider builds the image and the daemon pushes it to the push address, where the registry's hooks open a
tunnel. Repository and tag are plain values and known in a preview; only the digest is known after the push.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import pulumi
import pulumi_docker as docker

from kube_registry.build.build import Build, read_build, read_builds
from kube_registry.build.staging import stage
from kube_registry.names import IMAGE_TYPE
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.sections import ImageSettings
from kube_registry.spec.settings import RegistrySettings, Settings
from kube_registry.text import add_fix, first_of

from .args import ImageArgs
from .errors import as_run_error
from .kept import kept_image
from .options import brought, with_providers
from .settings import arguments, image_settings

if TYPE_CHECKING:
    from .cluster_registry import ClusterRegistry

MOST_NAMED = 10
"""Maximum number of links in a warning."""


class RegistryImageArgs(ImageArgs, total=False):
    """The settings of an image, its registry and its repository."""

    registry: "ClusterRegistry"
    """The registry to push to."""
    repository: str
    """Its repository in the registry; the component's name if not set."""
    platform: str
    """Platform to build for; the registry's if not set."""


class RegistryImage(pulumi.ComponentResource):
    """An image in a registry, which the nodes of the registry's cluster can pull.

    Args:
        name: its name in the stack.
        args: its arguments, which may also be passed by name.
        opts: resource options. They may contain a docker provider; the registry's is used otherwise.

    Raises:
        pulumi.RunError: an argument is not allowed, or the build context cannot be built.
    """

    reference: pulumi.Output[str]
    """The pull reference, with its digest."""

    tagged: str
    """The pull reference without its digest, known before the build."""

    def __init__(
        self,
        name: str,
        args: ImageArgs = {},  # noqa: B006 - it is never changed
        opts: pulumi.ResourceOptions | None = None,
        **inputs: Unpack[RegistryImageArgs],
    ) -> None:
        with as_run_error():
            given = arguments(RegistryImageArgs, args, inputs)
            registry, repository = registry_of("RegistryImage", name, given), str(given.pop("repository", name))
            platform = str(given.pop("platform", registry.settings.platform))
            image = image_settings(name, repository, given, platform).images[repository]
            build = stage(_read(registry, repository, image, platform), Path())
        docker_provider = brought(opts, "docker")
        own = pulumi.ResourceOptions(providers=[docker_provider]) if docker_provider else registry.providers
        super().__init__(IMAGE_TYPE, name, {}, with_providers(opts, own))
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
        push_name = registry.endpoints.push_name(build.image, build.tag)
        registry.push_names.add(push_name)
        return docker.Image(
            name,
            image_name=push_name,
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
                replacement_trigger=registry.storage.identity,
            ),
        )


def registry_of(component: str, name: str, given: dict[str, Any]) -> "ClusterRegistry":
    """Remove the registry from the arguments of a component, and return it.

    Args:
        component: class of the component.
        name: name of the component.
        given: its arguments; the program may not be type-checked.

    Raises:
        SettingsError: the argument `registry` is missing, or something else.
    """
    from .cluster_registry import ClusterRegistry  # noqa: PLC0415 - that file imports this one

    if not isinstance(registry := given.pop("registry", None), ClusterRegistry):
        fix = f"pass the ClusterRegistry to {component} {name!r}"
        raise SettingsError(key="registry", problem="it is missing; it must be a ClusterRegistry", fix=fix)
    return registry


def prove_builds(settings: RegistrySettings) -> dict[str, Build]:
    """Read the builds of all images in the settings, before any resource is registered; return them by repository.

    Raises:
        BuildContextError: the files of an image are missing, or cannot be built.
    """
    return {build.image: build for build in read_builds(settings, Path())} if isinstance(settings, Settings) else {}


def _read(registry: "ClusterRegistry", repository: str, image: ImageSettings, platform: str) -> Build:
    """Return the build of an image: the one that the registry has read, or else read it."""
    build = registry.builds.get(repository)
    if build and (build.settings, build.platform) == (image, platform):
        return build
    return read_build(repository, image, platform, Path())


def report_differences(build: Build) -> None:
    """Report differences between the files on disk and the files that a build gets.

    Args:
        build: the staged build.
    """
    if links := sorted({os.path.relpath(link) for link in build.left_out}):
        named = first_of(links, MOST_NAMED).encode(errors="backslashreplace").decode()
        problem = (
            f"links were left out of the build of {build.image}, because their targets are not part of it: {named}"
        )
        fix = "add them to .dockerignore, or change their target to a file or folder in the build context"
        pulumi.log.warn(add_fix(problem, fix))
    if build.widened:
        pulumi.log.info(
            f"files of {build.image} that only their owner can read here, because of the umask, are readable by all "
            f"users in the image: {build.widened}"
        )


def warn_of_secrets(image: str) -> None:
    """Warn that the image reveals its secret build arguments."""
    pulumi.log.warn(
        f"build arguments of {image} are secret. They are encrypted in the stack's state, but not in the registry: a "
        "build argument is part of the image's history, which every pod of the cluster can read."
    )
