"""The cluster of one registry, which may be made by the same program: then it is known once that has been made."""

from dataclasses import dataclass

import pulumi

from kube_registry.kubeconfig_setting import with_home
from kube_registry.spec.settings import RegistrySettings

from .args import ClusterRegistryArgs
from .settings import settings_of


@dataclass(frozen=True)
class Cluster:
    """A cluster, as far as it is known when the program describes its registry.

    Args:
        settings: the registry; without a kubeconfig that is known later, and with what identifies the cluster in place
            of a kube context that was not given.
        kube_context: the kube context that was given; None for the kubeconfig's current one.
        kubeconfig: the one that is known later; None where `settings` has it.
    """

    settings: RegistrySettings
    kube_context: str | None
    kubeconfig: pulumi.Output[str] | None

    async def address(self) -> RegistrySettings:
        """Return the settings with which the cluster is reached, once its kubeconfig is known.

        Raises:
            KubeconfigError: no kube context was given, and the kubeconfig names none as its current one.
        """
        settings = self.settings
        if self.kubeconfig is not None:
            settings = settings.model_copy(update={"kubeconfig": with_home(str(await self.kubeconfig.future()))})
        if self.kube_context is None:
            from kube_registry.kube.kubeconfig import current_context  # noqa: PLC0415 - a second that few programs need

            settings = settings.model_copy(update={"kube_context": current_context(settings)})
        return settings


def cluster_of(name: str, args: ClusterRegistryArgs) -> Cluster:
    """The cluster that a component's arguments name.

    Args:
        name: the component's.
        args: its arguments.

    Raises:
        SettingsError: one of them is missing, unknown or has a value that is not allowed.
    """
    kubeconfig = args.get("kubeconfig")
    later = kubeconfig if isinstance(kubeconfig, pulumi.Output) else None
    return Cluster(settings_of(name, args), args.get("kube_context"), later)
