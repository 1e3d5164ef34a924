"""Deploy one stack: its registry, images and shared volume, and the outputs for other stacks."""

import signal

import pulumi

import components
from components import ClusterRegistry, RegistryImage
from components.settings import config_args, image_args, volume_args
from kube_registry.errors import KubeRegistryError, on_stack
from kube_registry.spec.settings import Settings


def main() -> None:
    """Declare the resources and outputs of the stack."""
    config = pulumi.runtime.config.CONFIG.get()  # all keys, so that a misspelt one is reported
    secret = [key for key in config if pulumi.runtime.config.is_config_secret(key)]
    settings = Settings.parse(config, project=pulumi.get_project(), stack=pulumi.get_stack(), secret=secret)
    for note in settings.notes:
        pulumi.log.warn(on_stack(note, pulumi.get_stack()))
    registry = ClusterRegistry("registry", config_args(settings))
    images = {name: RegistryImage(name, image_args(settings, name), registry=registry) for name in settings.images}
    pulumi.export("tagged", {name: image.tagged for name, image in images.items()})
    pulumi.export("images", references := {name: image.reference for name, image in images.items()})
    if len(references) == 1:
        pulumi.export("image", *references.values())
    pulumi.export("registry", registry.outputs)
    if settings.shared_volume:
        volume = components.SharedVolume("shared-volume", volume_args(settings.shared_volume), registry=registry)
        pulumi.export("sharedVolume", volume.outputs)


signal.signal(signal.SIGINT, signal.SIG_DFL)  # the engine stops a program with SIGINT; this prevents a traceback
try:
    main()
except KubeRegistryError as error:
    raise pulumi.RunError(on_stack(str(error), pulumi.get_stack())) from error
