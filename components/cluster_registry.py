"""ClusterRegistry: the registry of one cluster, from its namespace to the node port.

It owns what the registry is made of and the order of it. What its pod runs is in registry_pod.py; that it runs is
proven on every update, in words of our own: the provider would wait for minutes and answer with a page.
"""

import json
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.guards import hosting_guard, namespace_guard, node_port_guard
from components.node_proxy import Listener, NodeProxy, address_of
from components.push_hooks import push_hooks, when_ready
from components.registry_pod import RESTRICTED, config_files, deployment_spec, read_door_only
from components.volume_guard import CLAIM_STAYS, NAMESPACE_STAYS, unmoved
from kube_registry.names import FORCE, HOSTING, HOSTING_NAMESPACE, OURS, READ_PORT, REGISTRY, RETAINED, labels
from kube_registry.push.push_path import PushPath
from kube_registry.spec.settings import RegistrySettings

HOSTING_HELP = "https://git.k8s.io/enhancements/keps/sig-cluster-lifecycle/generic/1755-communicating-a-local-registry"
"""Where a tool sends people when a push fails."""


class ClusterRegistry(pulumi.ComponentResource):
    """A registry in the cluster, pushed to through a tunnel and pulled from every node's loopback.

    Args:
        name: its name in the stack.
        settings: what was chosen for the stack.
        path: the push path that its images will share.
        opts: carries the kubernetes provider.
    """

    outputs: dict[str, pulumi.Input[str | int]]
    """namespace, nodePort, pullHost and pushAddress; the namespace is told once the registry runs."""
    claim_uid: pulumi.Output[str]
    """Identifies the volume; another one holds no images."""

    def __init__(
        self, name: str, settings: RegistrySettings, path: PushPath, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("kube-registry:index:ClusterRegistry", name, {}, opts)
        self.settings = settings
        self.endpoints = settings.endpoints
        self.push_hooks = push_hooks(name, path)
        self._namespace = self._own_namespace(name)
        claim = self._claim(name)
        self._place = unmoved(settings, self._namespace, claim)
        deployment = self._deployment(name, claim)
        service = self._service(name)
        if settings.local_registry_hosting:
            self._hosting(name)
        self.needed_to_push: list[pulumi.Resource] = [deployment, service]
        namespace = deployment.metadata.namespace
        if settings.has_node_proxy:
            listeners = [Listener("registry", settings.node_port, address_of(service), READ_PORT)]
            parent = pulumi.ResourceOptions(parent=self)
            daemon_set = NodeProxy(f"{name}-proxy", settings, self._place, listeners, parent).daemon_set
            self.needed_to_push.append(daemon_set)
            namespace = pulumi.Output.all(namespace, daemon_set.metadata.name).apply(lambda known: str(known[0]))
        self.claim_uid = claim.metadata.uid
        self.outputs = {
            "namespace": when_ready(namespace, path, self),
            "nodePort": settings.node_port,
            "pullHost": self.endpoints.pull_host,
            "pushAddress": self.endpoints.push_address,
        }
        self.register_outputs(self.outputs)

    def _own_namespace(self, name: str) -> kubernetes.core.v1.Namespace:
        return kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": self.settings.namespace,
                "labels": {**labels("namespace"), **RESTRICTED},
                "annotations": {**FORCE, RETAINED: "true"} if self.settings.retain else FORCE,
            },
            opts=pulumi.ResourceOptions(
                parent=self,
                hooks=namespace_guard(name, self.settings, self),
                retain_on_delete=self.settings.retain,
                ignore_changes=NAMESPACE_STAYS,
            ),
        )

    def _claim(self, name: str) -> kubernetes.core.v1.PersistentVolumeClaim:
        return kubernetes.core.v1.PersistentVolumeClaim(
            f"{name}-claim",
            metadata=self._metadata(self._namespace.metadata.name),
            spec={
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": self.settings.claim.storage_class,
                "resources": {"requests": {"storage": self.settings.claim.size}},
            },
            opts=pulumi.ResourceOptions.merge(
                self._inside_namespace(),
                pulumi.ResourceOptions(retain_on_delete=self.settings.retain, ignore_changes=CLAIM_STAYS),
            ),
        )

    def _deployment(self, name: str, claim: kubernetes.core.v1.PersistentVolumeClaim) -> kubernetes.apps.v1.Deployment:
        config = kubernetes.core.v1.ConfigMap(
            f"{name}-config", metadata=self._metadata(self._place), data=config_files(), opts=self._inside_namespace()
        )
        fence = kubernetes.networking.v1.NetworkPolicy(
            f"{name}-fence", metadata=self._metadata(self._place), spec=read_door_only(), opts=self._inside_namespace()
        )
        return kubernetes.apps.v1.Deployment(
            f"{name}-deployment",
            metadata=self._metadata(self._place),
            spec=deployment_spec(self.settings),
            opts=self._inside_namespace(claim, config, fence),
        )

    def _service(self, name: str) -> kubernetes.core.v1.Service:
        return kubernetes.core.v1.Service(
            f"{name}-service",
            metadata=self._metadata(self._place),
            spec={
                "type": "NodePort",
                "selector": labels("registry"),
                "ports": [
                    {
                        "name": "read",
                        "port": READ_PORT,
                        "targetPort": "read",
                        "nodePort": self.settings.node_port,
                    }
                ],
            },
            opts=pulumi.ResourceOptions.merge(
                self._inside_namespace(), pulumi.ResourceOptions(hooks=node_port_guard(name, self.settings))
            ),
        )

    def _hosting(self, name: str) -> kubernetes.core.v1.ConfigMap:
        """What tools such as Tilt are told, in a ConfigMap that everybody may read (KEP-1755).

        It says where this machine pushes while a tunnel is open, and where nodes pull; pods cannot push.
        """
        told = {
            "host": self.endpoints.push_address,
            "hostFromContainerRuntime": self.endpoints.pull_host,
            "help": HOSTING_HELP,
        }
        return kubernetes.core.v1.ConfigMap(
            f"{name}-hosting",
            metadata={"name": HOSTING, "namespace": HOSTING_NAMESPACE, "labels": labels("hosting")},
            data={"localRegistryHosting.v1": self._place.apply(lambda _: json.dumps(told, indent=2))},  # JSON is YAML
            opts=pulumi.ResourceOptions(parent=self, hooks=hosting_guard(name, self.settings)),
        )

    def _metadata(self, namespace: pulumi.Output[str]) -> dict[str, Any]:
        return {
            "name": REGISTRY,
            "namespace": namespace,
            "labels": labels("registry"),
            "annotations": OURS,
        }

    def _inside_namespace(self, *needs: pulumi.Resource) -> pulumi.ResourceOptions:
        return pulumi.ResourceOptions(parent=self, depends_on=[self._namespace, *needs])
