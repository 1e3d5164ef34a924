"""The cluster of a registry. If the same program creates it, its kubeconfig is known only after its creation."""

import json
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import pulumi

from kube_registry.kubeconfig_setting import with_home
from kube_registry.spec.errors import SettingsError
from kube_registry.spec.settings import RegistrySettings

from .errors import as_run_error
from .options import once_made
from .settings import settings_of


@dataclass(frozen=True)
class Cluster:
    """A cluster, as far as it is known when the program declares its registry.

    Args:
        settings: the settings of the registry. They do not contain a kubeconfig that is known later. If no kube context
            was given, they contain a generated identifier of the cluster instead.
        kube_context: the given kube context; None for the kubeconfig's current context.
        kubeconfig: a kubeconfig that is known later; None if `settings` contains it.
        made: resolved when all dependencies of the registry are created; None if it has none.
        namespace_option: arguments of `pulumi config set` that select the setting of the namespace.
    """

    settings: RegistrySettings
    kube_context: str | None
    kubeconfig: pulumi.Output[str] | None
    made: pulumi.Output[object] | None
    namespace_option: str = "namespace"

    @property
    def is_later(self) -> bool:
        """Return whether the cluster may not exist yet when the program declares its registry."""
        return self.kubeconfig is not None or self.made is not None

    async def address(self) -> RegistrySettings:
        """Return the settings to connect to the cluster, once its kubeconfig is known.

        Raises:
            KubeconfigError: no kube context was given, and the kubeconfig has no current context.
        """
        settings = self.settings
        if self.kubeconfig is not None:
            settings = settings.model_copy(update={"kubeconfig": await self.kubeconfig.future()})
        if self.kube_context is None:
            from kube_registry.kube.kubeconfig import current_context  # noqa: PLC0415 - takes a second, and few programs need it

            settings = settings.model_copy(update={"kube_context": current_context(settings)})
        return settings


def cluster_of(name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None, *, in_config: bool) -> Cluster:
    """Return the cluster from a component's arguments.

    Args:
        name: name of the component.
        args: its arguments (args.ClusterRegistryArgs).
        opts: its resource options.
        in_config: whether the arguments come from the stack's config (settings.ConfigArgs).

    Raises:
        SettingsError: an argument is missing, unknown or has a value that is not allowed.
    """
    given = dict(args)
    kubeconfig = given.get("kubeconfig")
    later = None
    if isinstance(kubeconfig, pulumi.Output | Awaitable):
        given["kubeconfig"] = later = pulumi.Output.from_input(kubeconfig).apply(partial(_once_known, name))
    elif kubeconfig:
        given["kubeconfig"] = _as_text(name, kubeconfig)
    return Cluster(settings_of(name, given, in_config=in_config), given.get("kube_context"), later, once_made(opts))


def _once_known(name: str, kubeconfig: object) -> str:
    with as_run_error():
        return _as_text(name, kubeconfig)


def _as_text(name: str, kubeconfig: object) -> str:
    """Return a kubeconfig as text; resources such as eks.Cluster return it as a map.

    Raises:
        SettingsError: it is empty. An empty kubeconfig would mean kubectl's default.
    """
    if isinstance(kubeconfig, Mapping) and kubeconfig:
        return json.dumps(kubeconfig)
    if not kubeconfig or not (text := str(kubeconfig)).strip():
        fix = f"pass a kubeconfig or its path to ClusterRegistry {name!r}"
        raise SettingsError(key="kubeconfig", problem="it is empty", fix=fix)
    return with_home(text)
