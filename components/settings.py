"""Conversion of a component's arguments to validated settings."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pulumi
from pydantic.alias_generators import to_camel, to_snake

from kube_registry.spec.endpoints import derive_push_port
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import RegistrySettings, Settings
from kube_registry.spec.shared_volume import SharedVolumeSettings

from .args import ClusterRegistryArgs, ImageArgs, SharedVolumeArgs

USUAL = "registry"
"""Name of the component whose providers and other separate resources have no prefix in their names."""


def own_name(name: str, usual: str) -> str:
    """Return the name of a separate resource of a component; the component's name is a prefix, unless it is USUAL."""
    return usual if name == USUAL else f"{name}-{usual}"


def arguments(kind: type, args: object, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a component by their names, without those that are None; a path becomes text.

    Args:
        kind: type of the arguments (args.py).
        args: arguments in a map, if any.
        inputs: arguments that were passed by name, which override those in `args`.

    Raises:
        SettingsError: `args` is not a map, or an argument has its camel case name, which would be ignored.
    """
    if args is not None and not isinstance(args, Mapping):
        problem = f"{type(args).__name__} is not allowed; it must be a map of arguments"
        raise SettingsError(key="args", problem=problem, fix="pass other values by name, such as opts=…")
    given = {
        key: os.fspath(each) if isinstance(each, os.PathLike) else each
        for key, each in {**(args or {}), **inputs}.items()
        if each is not None
    }
    for key in given:
        if key != (name := to_snake(key)) and name in kind.__annotations__:
            raise SettingsError(key=key, problem=f"its name in Python is {name}", fix=f"write {name}")
    return given


class ConfigArgs(dict[str, Any]):
    """Arguments of a ClusterRegistry that come from the stack's config, so that errors print `pulumi config` commands.

    This is a separate class, because a component accepts a map of arguments in every language.

    Args:
        stack: the settings of the stack. The arguments lack its images, which the program creates itself, as it creates
            its shared volume.
    """

    def __init__(self, stack: Settings) -> None:
        super().__init__(stack.model_dump(exclude={"images", *stack.unused}))
        self.stack = stack


def config_args(settings: Settings) -> ClusterRegistryArgs:
    """Return the arguments of the registry in a stack's config, without its images."""
    return cast("ClusterRegistryArgs", ConfigArgs(settings))


def settings_of(name: str, args: Mapping[str, Any], *, in_config: bool) -> RegistrySettings:
    """Validate the arguments of a ClusterRegistry, including its images, and return the settings.

    Other languages pass numbers as floats; pydantic accepts 30100.0 as 30100 and rejects 30100.5.

    Args:
        name: name of the component. The push port is also derived from it, unless it is `registry`.
        args: its arguments (args.ClusterRegistryArgs), of which only the kubeconfig may be an output.
        in_config: whether the arguments come from the stack's config (ConfigArgs).

    Raises:
        SettingsError: an argument is missing, unknown or has a value that is not allowed.
    """
    project, stack = pulumi.get_project(), pulumi.get_stack()
    own = dict(args)
    images = own.pop("images", None)
    given = {to_camel(key): _in_camel_case(value) for key, value in own.items()}
    if kubeconfig := given.get("kubeconfig"):
        given.setdefault("kubeContext", f"{project}-{stack}-{name}")
    if isinstance(kubeconfig, pulumi.Output):
        del given["kubeconfig"]
    if name != USUAL and not given.get("pushPort"):
        given["pushPort"] = derive_push_port(f"{project}/{name}", stack)
    secret = ["kubeconfig"]
    if isinstance(images, Mapping):
        images = {key: _of_image(each) for key, each in images.items()}
        secret += ["images"] if any("secret_build_args" in each for each in images.values()) else []
        images = {key: _image(each) if isinstance(each, Mapping) else each for key, each in images.items()}
    if images:
        given["images"] = images
    try:
        _prove_plain(given)
        kind = Settings if images else RegistrySettings
        component = None if in_config else name
        return kind.parse(given, project=project, stack=stack, secret=secret, component=component)
    except SettingsError as error:
        raise replace(error, fix=_fix(error, "ClusterRegistry", name)) from None


def image_settings(name: str, repository: str, args: Mapping[str, Any], platform: str) -> Settings:
    """Validate the arguments of a RegistryImage, and return settings with this image and its platform.

    Args:
        name: name of the component.
        repository: its repository in the registry.
        args: its arguments (args.ImageArgs).
        platform: the platform to build for.

    Raises:
        SettingsError: an argument is unknown or has a value that is not allowed, or the repository name is not valid.
    """
    given = {"kubeContext": "any", "platform": platform, "images": {repository: _image(args)}}
    secret = ["images"] if args.get("secret_build_args") else []
    try:
        _prove_plain(given)
        return Settings.parse(given, project=pulumi.get_project(), stack=pulumi.get_stack(), secret=secret)
    except SettingsError as error:
        key = error.key.removeprefix(f"images.{repository}.") if error.key != f"images.{repository}" else "repository"
        raise replace(error, key=key, fix=_fix(error, "RegistryImage", name)) from None


def volume_settings(name: str, args: Mapping[str, Any], registry: RegistrySettings) -> SharedVolumeSettings:
    """Validate the arguments of a SharedVolume, and return its settings, which include its namespace.

    Args:
        name: name of the component.
        args: its arguments (args.SharedVolumeArgs).
        registry: the settings of its registry.

    Raises:
        SettingsError: an argument is unknown or has a value that is not allowed.
    """
    own = {"namespace": registry.shared_namespace, **{to_camel(key): value for key, value in args.items()}}
    of_registry = {"namespace": registry.namespace, "nodePort": registry.node_port}
    given = {"kubeContext": "any", **of_registry, "sharedVolume": own}
    try:
        _prove_plain(own)
        parsed = RegistrySettings.parse(given, project=pulumi.get_project(), stack=pulumi.get_stack())
    except SettingsError as error:
        key = error.key.removeprefix("sharedVolume.")
        raise replace(error, key=key, fix=_fix(error, "SharedVolume", name)) from None
    assert parsed.shared_volume  # noqa: S101 - it has a namespace
    return parsed.shared_volume


def prove_apart(name: str, settings: SharedVolumeSettings, others: Mapping[str, SharedVolumeSettings]) -> None:
    """Check that the other shared volumes of a registry have neither the namespace nor the port of this one.

    Args:
        name: name of the component.
        settings: its settings.
        others: the settings of the others by the names of their components.

    Raises:
        SettingsError: another one has them.
    """
    for other, its in others.items():
        values: list[tuple[str, object, object]] = [("namespace", settings.namespace, its.namespace)]
        if "clusterIP" not in (settings.exposure, its.exposure):
            values.append(("port", settings.port, its.port))
        for key, value, taken in values:
            if value == taken:
                problem = f"{value!r} is not allowed: SharedVolume {other!r} has this {key}"
                fix = f"set another one in the arguments of SharedVolume {name!r}"
                raise SettingsError(key=key, problem=problem, fix=fix)


def claim_name(name: str) -> str:
    """Return the name of the claims of a SharedVolume: the component's, as far as Kubernetes accepts it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "shared-volume"


def image_args(settings: Settings, name: str) -> ImageArgs:
    """Return the arguments of an image in a stack's config."""
    image = settings.images[name]
    args: ImageArgs = {"dockerfile": image.dockerfile}
    if image.context is not None:
        args["context"] = image.context
    if image.target is not None:
        args["target"] = image.target
    args["secret_build_args" if settings.has_secret_build_args else "build_args"] = image.build_args
    return args


def volume_args(shared_volume: SharedVolumeSettings) -> SharedVolumeArgs:
    """Return the arguments of the shared volume in a stack's config."""
    return cast("SharedVolumeArgs", shared_volume.model_dump(exclude_none=True))


def _of_image(args: object) -> Any:  # noqa: ANN401 - validated later
    return arguments(ImageArgs, args, {}) if args is None or isinstance(args, Mapping) else args


def _image(args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the image in the form of the config, with secret and plain build arguments merged."""
    given = {to_camel(key): value for key, value in args.items()}
    secret = given.pop("secretBuildArgs", {})
    plain = given.get("buildArgs") or {}
    if secret or plain:
        given["buildArgs"] = {**plain, **secret}
    return given


def _in_camel_case(value: object) -> object:
    """Return a section with keys in camel case, as errors print them; nested maps are unchanged."""
    if isinstance(value, Mapping):
        return {to_camel(str(key)): each for key, each in value.items()}
    return value


def _prove_plain(value: object, *path: str) -> None:
    """Check that no value is an output.

    Raises:
        SettingsError: a value is an output.
    """
    if isinstance(value, pulumi.Output):
        problem = (
            "an output, of a resource or of config.require_secret, is not allowed; it must be a value that is known "
            "before any resource is created, such as config.require returns"
        )
        raise SettingsError(key=".".join(path), problem=problem, fix="")
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, each in parts:
        _prove_plain(each, *path, str(key))


def _fix(error: SettingsError, component: str, name: str) -> str:
    what = "set it" if error.problem.startswith("it is missing") else "correct it"
    if error.key == "kubeContext":
        what += ", or a kubeconfig,"
    return f"{what} in the arguments of {component} {name!r}"
