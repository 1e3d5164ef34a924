"""The registries in a stack's state, from the output of `pulumi stack export --show-secrets`.

components/kept.py writes what this module reads.
"""

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kube_registry.kubeconfig_setting import is_contents
from kube_registry.names import IMAGE_TYPE, REGISTRY_TYPE, resource_name

_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key that marks a special value in a state; a secret also has its value as JSON.

Source: pulumi/pulumi sdk/go/common/resource, `SigKey`, and apitype, `SecretV1`.
"""


@dataclass(frozen=True)
class DeployedImage:
    """An image after the last update.

    Args:
        urn: URN of the resource that builds and pushes it.
        repository: its repository in the registry.
        reference: its pull reference.
        build: how it is built, with the keys of a config, and its platform.
    """

    urn: str
    repository: str
    reference: str
    build: Mapping[str, Any]


@dataclass(frozen=True)
class DeployedRegistry:
    """A registry after the last update.

    Args:
        name: name of its component.
        settings: its settings, with the keys of a config; empty if no update has written them.
        namespaces: names of the namespaces that it created.
        images: name of the component -> image; the whole URN -> image if two components have the same name.
    """

    name: str
    settings: Mapping[str, Any]
    namespaces: frozenset[str]
    images: Mapping[str, DeployedImage]


def registries(resources: Sequence[Mapping[str, Any]]) -> list[DeployedRegistry]:
    """Return the registries in a state, by name.

    Args:
        resources: the resources in the state, with secrets as plain text.
    """
    present = [each for each in resources if not each.get("delete")]  # the rest is replaced
    found = [_registry(each, present) for each in present if each["type"] == REGISTRY_TYPE]
    return sorted(found, key=lambda each: each.name)


def with_paths_from_project(registry: DeployedRegistry, main: Path) -> DeployedRegistry:
    """Return a registry whose relative paths start in the project's folder instead of the program's working directory.

    Args:
        registry: a registry with paths relative to the working directory.
        main: the working directory, relative to the project's folder.
    """
    if main == Path():
        return registry
    settings = dict(registry.settings)
    if (given := settings.get("kubeconfig")) and not is_contents(given):
        parts = given.split(os.pathsep)
        settings["kubeconfig"] = os.pathsep.join(each if each.startswith("~") else str(main / each) for each in parts)
    images = {
        name: replace(image, build={**image.build, "context": str(main / (image.build.get("context") or "."))})
        for name, image in registry.images.items()
    }
    return replace(registry, settings=settings, images=images)


def plain(value: object) -> Any:  # noqa: ANN401 - an output is of any type
    """Return an output with its secrets as plain values."""
    if isinstance(value, Mapping):
        if _SIGNATURE in value:
            return plain(json.loads(value["plaintext"])) if "plaintext" in value else None
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value


def _registry(component: Mapping[str, Any], resources: Sequence[Mapping[str, Any]]) -> DeployedRegistry:
    urn = component["urn"]
    children = [each for each in resources if each.get("parent") == urn]
    namespaces = (str(each.get("id")) for each in children if each["type"] == "kubernetes:core/v1:Namespace")
    images = list(_images(urn, resources))
    names = Counter(resource_name(component_urn) for component_urn, _ in images)
    return DeployedRegistry(
        resource_name(urn),
        plain(component.get("outputs") or {}).get("settings") or {},
        frozenset(namespaces),
        {resource_name(each) if names[resource_name(each)] == 1 else each: image for each, image in images},
    )


def _images(registry: str, resources: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, DeployedImage]]:
    """Yield each pushed image, after the URN of its component."""
    built = {each.get("parent"): each["urn"] for each in resources if each["type"] == "docker:index/image:Image"}
    for component in resources:
        outputs = plain(component.get("outputs") or {})
        if component["type"] == IMAGE_TYPE and outputs.get("registry") == registry and component["urn"] in built:
            urn, repository = component["urn"], outputs["repository"]
            yield urn, DeployedImage(built[urn], repository, outputs["reference"], outputs["build"])
