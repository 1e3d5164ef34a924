"""Pulumi resources for a registry in a Kubernetes cluster and the images in it.

    registry = ClusterRegistry("registry", kube_context="prod")
    app = RegistryImage("app", registry=registry, context="./app")

Names are imported on first use (PEP 562), because importing Pulumi's SDKs takes a second.
"""

from typing import TYPE_CHECKING

from kube_registry.imports import import_large

if TYPE_CHECKING:
    from .args import ClusterRegistryArgs, ImageArgs, SharedVolumeArgs
    from .cluster_registry import ClusterRegistry
    from .registry_image import RegistryImage
    from .shared_volume import SharedVolume

_HOMES = {
    "ClusterRegistry": "cluster_registry",
    "ClusterRegistryArgs": "args",
    "ImageArgs": "args",
    "RegistryImage": "registry_image",
    "SharedVolume": "shared_volume",
    "SharedVolumeArgs": "args",
}
"""Public name -> module that defines it."""

__all__ = ["ClusterRegistry", "ClusterRegistryArgs", "ImageArgs", "RegistryImage", "SharedVolume", "SharedVolumeArgs"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_large(f".{_HOMES[name]}", __name__), name)
