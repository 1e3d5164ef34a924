"""The cluster of one registry, which may be made by the same program: then it is known once that has been made."""

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
    """A cluster, as far as it is known when the program describes its registry.

    Args:
        settings: the registry; without a kubeconfig that is known later, and with what identifies the cluster in place
            of a kube context that was not given.
        kube_context: the kube context that was given; None for the kubeconfig's current one.
        kubeconfig: the one that is known later; None where `settings` has it.
        made: known once all is made that the registry depends on; None where it depends on nothing.
    """

    settings: RegistrySettings
    kube_context: str | None
    kubeconfig: pulumi.Output[str] | None
    made: pulumi.Output[object] | None

    @property
    def is_later(self) -> bool:
        """Whether it cannot be asked anything while the program describes its registry."""
        return self.kubeconfig is not None or self.made is not None

    async def address(self) -> RegistrySettings:
        """Return the settings with which the cluster is reached, once its kubeconfig is known.

        Raises:
            KubeconfigError: no kube context was given, and the kubeconfig names none as its current one.
        """
        settings = self.settings
        if self.kubeconfig is not None:
            settings = settings.model_copy(update={"kubeconfig": await self.kubeconfig.future()})
        if self.kube_context is None:
            from kube_registry.kube.kubeconfig import current_context  # noqa: PLC0415 - a second that few programs need

            settings = settings.model_copy(update={"kube_context": current_context(settings)})
        return settings


def cluster_of(name: str, args: Mapping[str, Any], opts: pulumi.ResourceOptions | None, *, in_config: bool) -> Cluster:
    """The cluster that a component's arguments name.

    Args:
        name: the component's.
        args: its arguments (args.ClusterRegistryArgs).
        opts: its options.
        in_config: whether they are those of the stack's config (settings.ConfigArgs).

    Raises:
        SettingsError: one of them is missing, unknown or has a value that is not allowed.
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
    """Return a kubeconfig as the setting has it; other resources give it as a map, too, such as eks.Cluster.

    Raises:
        SettingsError: it is empty, which would be the kubeconfig that is found where kubectl looks.
    """
    if isinstance(kubeconfig, Mapping) and kubeconfig:
        return json.dumps(kubeconfig)
    if not kubeconfig or not (text := str(kubeconfig)).strip():
        fix = f"give a kubeconfig, or the path of one, where ClusterRegistry {name!r} is made"
        raise SettingsError(key="kubeconfig", problem="it is empty", fix=fix)
    return with_home(text)
