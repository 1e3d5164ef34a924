"""RegistryImage: one image, built by the local Docker daemon and pushed into the cluster's registry.

The docker provider builds, the daemon pushes to the push address, and the registry's hooks see to it that a tunnel
stands there meanwhile. Repository and tag are plain values and known in review; only the digest comes of the push.
"""

import os
from collections.abc import Sequence

import pulumi
import pulumi_docker as docker

from components.cluster_registry import ClusterRegistry
from kube_registry.build.build import Build
from kube_registry.spec.endpoints import parse_reference
from kube_registry.spec.settings import Settings
from kube_registry.text import first_of

MOST_NAMED = 10
"""How many links a warning names."""


class RegistryImage(pulumi.ComponentResource):
    """An image of the stack, as its cluster's nodes pull it.

    Args:
        build: what it is built of, staged; `image` is its repository in the registry, and its name in the stack.
        registry: where it goes.
        opts: carries the docker provider.
    """

    reference: pulumi.Output[str]
    """The pull reference, by digest."""

    tagged: str
    """The same by its tag alone, known before anything is built."""

    def __init__(
        self,
        build: Build,
        registry: ClusterRegistry,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name, tag = build.image, build.tag
        super().__init__("kube-registry:index:RegistryImage", name, {}, opts)
        endpoints, args = registry.endpoints, build.settings.build_args
        built = docker.Image(
            name,
            image_name=endpoints.push_name(name, tag),
            build={
                "context": build.staged_context,
                "dockerfile": build.staged_dockerfile,
                "target": build.settings.target,
                "args": {key: pulumi.Output.secret(args[key]) for key in args} if build.has_secret_args else args,
                "platform": build.platform,
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=registry.needed_to_push,
                hooks=registry.push_hooks,
                replacement_trigger=registry.claim_uid,
            ),
        )
        self.tagged = endpoints.tagged_reference(name, tag)
        self.reference = built.repo_digest.apply(
            lambda pushed: endpoints.pull_reference(name, tag, str(parse_reference(pushed).digest))
        )
        self.register_outputs({"reference": self.reference, "tagged": self.tagged})


def report_differences(builds: Sequence[Build]) -> None:
    """Report, once a run, where builds get something else than the files on disk.

    Args:
        builds: the images'.
    """
    if links := sorted({os.path.relpath(link) for each in builds for link in each.left_out}):
        named = first_of(links, MOST_NAMED).encode(errors="backslashreplace").decode()
        pulumi.log.warn(
            f"links left out of the build, because they do not lead to anything that is sent to it: {named}. "
            "Fix: add them to .dockerignore, or let them lead to a file or folder in the build context."
        )
    if widened := sum(each.widened for each in builds):
        pulumi.log.info(
            f"files that the umask hides from other users here are readable by every user in the image: {widened}"
        )


def warn_of_secrets(settings: Settings) -> None:
    """Warn, if build arguments are secret, that the images are no place for a secret."""
    if settings.has_secret_build_args:
        pulumi.log.warn(
            "Build arguments are secret in this stack's config, and are kept secret in its state. In the registry they "
            "are not: a build argument is part of the image's history, which every pod of the cluster can read."
        )
