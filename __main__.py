"""One stack: its settings, its registry, its images, and what other stacks need to know of them."""

import os
import signal
from pathlib import Path

import pulumi

from components.cluster_registry import ClusterRegistry
from components.guards import prove_preconditions
from components.providers import docker_provider, kubernetes_provider
from components.registry_image import RegistryImage, report_differences, warn_of_secrets
from components.volume_guard import same_cluster
from kube_registry.build.build import read_builds
from kube_registry.build.staging import stage
from kube_registry.docker_daemon.config import broken_store
from kube_registry.errors import KubeRegistryError, on_stack
from kube_registry.push.push_path import PushPath
from kube_registry.spec.settings import Settings


def main() -> None:
    """Describe the stack to Pulumi."""
    config = pulumi.runtime.config.CONFIG.get()  # all keys, so that a misspelt one is noticed
    secret = [key for key in config if pulumi.runtime.config.is_config_secret(key)]
    settings = Settings.parse(config, project=pulumi.get_project(), stack=pulumi.get_stack(), secret=secret)
    for note in settings.notes:
        pulumi.log.warn(on_stack(note, pulumi.get_stack()))
    warn_of_secrets(settings)
    prove_preconditions(settings)
    builds = [stage(build, Path()) for build in read_builds(settings, Path())]
    report_differences(builds)
    broken = broken_store(os.environ)
    providers = [kubernetes_provider(settings, same_cluster(settings)), docker_provider(broken)]
    opts = pulumi.ResourceOptions(providers=providers)
    path = PushPath(settings, os.environ, broken.config if broken else None)
    registry = ClusterRegistry("registry", settings, path, opts)
    images = {build.image: RegistryImage(build, registry, opts) for build in builds}
    pulumi.export("tagged", {name: image.tagged for name, image in images.items()})
    pulumi.export("images", references := {name: image.reference for name, image in images.items()})
    if len(references) == 1:
        pulumi.export("image", *references.values())
    pulumi.export("registry", registry.outputs)


signal.signal(signal.SIGINT, signal.SIG_DFL)  # the engine ends a program so; that is no error and has no traceback
try:
    main()
except KubeRegistryError as error:
    raise pulumi.RunError(on_stack(str(error), pulumi.get_stack())) from error
