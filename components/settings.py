"""The settings of a component's arguments: the one place where they are read and checked."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pulumi
from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from kube_registry.spec.endpoints import derive_push_port
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.repository import Repository
from kube_registry.spec.sections import ImageSettings
from kube_registry.spec.settings import RegistrySettings, Settings

from .args import ClusterRegistryArgs, ImageArgs

USUAL = "registry"
"""Name of the component beside which resources have their usual names; beside others they carry the component's."""


def own_name(name: str, usual: str) -> str:
    """The name of a resource beside a component: the usual one, with the component's before it unless that is usual."""
    return usual if name == USUAL else f"{name}-{usual}"


def settings_of(name: str, args: ClusterRegistryArgs) -> RegistrySettings:
    """The settings of a registry, from the arguments of its component.

    Other languages pass numbers as floats; pydantic takes 30100.0 for 30100 and refuses 30100.5.

    Args:
        name: the component's; the push port is derived from it, too, unless it is `registry`.
        args: its arguments; what is None is not given.

    Raises:
        SettingsError: one of them is missing, unknown or has a value that is not allowed.
    """
    project, stack = pulumi.get_project(), pulumi.get_stack()
    given = {to_camel(key): _in_camel_case(value) for key, value in args.items() if value is not None}
    given.pop("images", None)
    if kubeconfig := given.get("kubeconfig"):
        given.setdefault("kubeContext", f"{project}-{stack}-{name}")
    if isinstance(kubeconfig, pulumi.Output):
        del given["kubeconfig"]
    if name != USUAL:
        given.setdefault("pushPort", derive_push_port(f"{project}/{name}", stack))
    try:
        return RegistrySettings.parse(given, project=project, stack=stack, secret=["kubeconfig"])
    except SettingsError as error:
        raise replace(error, mend=_mend(error.key, "ClusterRegistry", name)) from None


def image_settings(name: str, repository: str, args: Mapping[str, Any]) -> ImageSettings:
    """How an image is built, from the arguments of its component.

    Args:
        name: the component's.
        repository: its repository in the registry.
        args: its arguments; what is None is not given.

    Raises:
        SettingsError: one of them is unknown or has a value that is not allowed, or the repository's name is none.
    """
    given = {key: value for key, value in args.items() if value is not None}
    secret = given.pop("secret_build_args", {})
    given["build_args"] = {**given.get("build_args", {}), **secret}
    try:
        return TypeAdapter(dict[Repository, ImageSettings]).validate_python({repository: given})[repository]
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=not secret)[0]
        key = ".".join(str(part) for part in found["loc"][1:] if part != "[key]") or "repository"
        raise SettingsError(key=key, problem=found["msg"], mend=_mend(key, "RegistryImage", name)) from None


def image_args(settings: Settings, name: str) -> ImageArgs:
    """The arguments that an image of a stack's config has."""
    image = settings.images[name]
    args: ImageArgs = {"dockerfile": image.dockerfile}
    if image.context is not None:
        args["context"] = image.context
    if image.target is not None:
        args["target"] = image.target
    args["secret_build_args" if settings.has_secret_build_args else "build_args"] = image.build_args
    return args


def _in_camel_case(value: object) -> object:
    """A section's keys as Pulumi writes them, so that an error names them so; a map of a person's own keys as it is."""
    if isinstance(value, Mapping):
        return {to_camel(str(key)): each for key, each in value.items()}
    return value


def _mend(key: str, component: str, name: str) -> str:
    return f"give {key} such a value where {component} {name!r} is made"
