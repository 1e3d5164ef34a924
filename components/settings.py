"""The settings of a component's arguments: the one place where they are read and checked."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

import pulumi
from pydantic.alias_generators import to_camel, to_snake

from kube_registry.spec.endpoints import derive_push_port
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import RegistrySettings, Settings

from .args import ClusterRegistryArgs, ImageArgs

USUAL = "registry"
"""Name of the component beside which resources have their usual names; beside others they carry the component's."""


def own_name(name: str, usual: str) -> str:
    """The name of a resource beside a component: the usual one, with the component's before it unless that is usual."""
    return usual if name == USUAL else f"{name}-{usual}"


def arguments(kind: type, args: object, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a component by their names, less those that are None; a path is a text in settings.

    Args:
        kind: which there are (args.py).
        args: those that were given as a map; None for none.
        inputs: those that were given by name, which count before the others.

    Raises:
        SettingsError: `args` is no map, or an argument has its name of other languages, which would be passed over.
    """
    if args is not None and not isinstance(args, Mapping):
        problem = f"{type(args).__name__} is not allowed, it takes a map of arguments"
        raise SettingsError(key="args", problem=problem, fix="give what it is by name, as in opts=…")
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
    """Arguments of a ClusterRegistry that stand in the stack's config under the same names, where errors look for them.

    A class of its own because a component takes arguments as a map, in every language.
    """


def config_args(settings: Settings) -> ClusterRegistryArgs:
    """The arguments of the registry that a stack's config describes, without its images."""
    return cast("ClusterRegistryArgs", ConfigArgs(settings.model_dump(exclude={"images"})))


def settings_of(name: str, args: Mapping[str, Any], *, in_config: bool) -> RegistrySettings:
    """The settings of a registry, from the arguments of its component; its images are checked, too.

    Other languages pass numbers as floats; pydantic takes 30100.0 for 30100 and refuses 30100.5.

    Args:
        name: the component's; the push port is derived from it, too, unless it is `registry`.
        args: its arguments (args.ClusterRegistryArgs), of which only the kubeconfig may be an output.
        in_config: whether they are those of the stack's config (ConfigArgs).

    Raises:
        SettingsError: one of them is missing, unknown or has a value that is not allowed.
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
    """Settings with the one image that the arguments of a RegistryImage describe, and its platform.

    Args:
        name: the component's.
        repository: its repository in the registry.
        args: its arguments (args.ImageArgs).
        platform: what it is built for.

    Raises:
        SettingsError: one of them is unknown or has a value that is not allowed, or the repository's name is none.
    """
    given = {"kubeContext": "any", "platform": platform, "images": {repository: _image(args)}}
    secret = ["images"] if args.get("secret_build_args") else []
    try:
        _prove_plain(given)
        return Settings.parse(given, project=pulumi.get_project(), stack=pulumi.get_stack(), secret=secret)
    except SettingsError as error:
        key = error.key.removeprefix(f"images.{repository}.") if error.key != f"images.{repository}" else "repository"
        raise replace(error, key=key, fix=_fix(error, "RegistryImage", name)) from None


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


def _of_image(args: object) -> Any:  # noqa: ANN401 - what is no map of arguments is left to be refused
    return arguments(ImageArgs, args, {}) if args is None or isinstance(args, Mapping) else args


def _image(args: Mapping[str, Any]) -> dict[str, Any]:
    """How the config has an image, where all its build arguments are secret or none is."""
    given = {to_camel(key): value for key, value in args.items()}
    secret = given.pop("secretBuildArgs", {})
    plain = given.get("buildArgs") or {}
    if secret or plain:
        given["buildArgs"] = {**plain, **secret}
    return given


def _in_camel_case(value: object) -> object:
    """A section's keys as Pulumi writes them, so that an error names them so; a map of a person's own keys as it is."""
    if isinstance(value, Mapping):
        return {to_camel(str(key)): each for key, each in value.items()}
    return value


def _prove_plain(value: object, *path: str) -> None:
    """Check that no value is an output.

    Raises:
        SettingsError: one is.
    """
    if isinstance(value, pulumi.Output):
        problem = (
            "an output, of a resource or of config.require_secret, is not allowed, it takes a value that is known "
            "before anything is made, such as config.require returns"
        )
        raise SettingsError(key=".".join(path), problem=problem, fix="")
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, each in parts:
        _prove_plain(each, *path, str(key))


def _fix(error: SettingsError, component: str, name: str) -> str:
    what = "give it" if error.problem.startswith("it is missing") else "correct it"
    if error.key == "kubeContext":
        what += ", or give a kubeconfig,"
    return f"{what} where {component} {name!r} is made"
