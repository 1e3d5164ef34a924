"""The node proxy: the registry's read door on every node's own loopback, where kube-proxy does not bring it.

HAProxy passes bytes on and looks at none: what is refused is refused by the read door. It takes the node port's own
number, so that one pull reference is true on all nodes: where kube-proxy answers on 127.0.0.1, its rule comes first.
Why HAProxy and no registry of its own on every node: docs/adr/0010-the-node-proxy-keeps-nothing.md.

Keys of its configuration: HAProxy 2.6, doc/configuration.txt; its signals: doc/management.txt, "Stopping".
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from kube_registry.names import FORCE, LINUX, NODE_PROXY, OURS, VIRTUAL_NODES, labels
from kube_registry.spec.settings import RegistrySettings

from .cluster import Cluster
from .guards import namespace_guard
from .registry_pod import priority

_CONFIG = "/etc/node-proxy"
_USER = 65532
"""Nobody's login: who has this number on a node may listen on the same port beside us."""

_PRIVILEGED = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
"""Pod Security has no other level at which a pod may listen on its node."""

_START = f"""\
grep -qs '^0*1 .* lo$' /proc/net/if_inet6 && export IPV6_LOOPBACK=yes
exec haproxy -db -f {_CONFIG}/haproxy.cfg"""
"""The file is the kernel's list of IPv6 addresses; on a node without them HAProxy would end, unable to listen."""


@dataclass(frozen=True)
class Listener:
    """A port on every node's loopback, and where it leads.

    Args:
        name: of the listener: lower-case letters.
        port: on the loopback; the node port of the Service, so that one pull reference is true on all nodes.
        address: of the Service in the cluster.
        service_port: the port of the Service there.
    """

    name: str
    port: int
    address: pulumi.Input[str]
    service_port: int


def address_of(service: kubernetes.core.v1.Service) -> pulumi.Output[str]:
    """The address of a Service in the cluster.

    A dry run invents one for a Service that is not there yet; its id is not known then.
    """
    address: pulumi.Output[str] = service.id.apply(lambda _: service.spec.cluster_ip)
    return address


class NodeProxy(pulumi.ComponentResource):
    """Listeners on each node's loopback that lead to Services, in a namespace of their own.

    Args:
        name: its name in the stack.
        cluster: where it is, and what was chosen for the registry.
        place: the registry's namespace, which is there once the registry stays where it is.
        listeners: the ports that it listens on, at least one.
        opts: carries the parent.
    """

    def __init__(
        self,
        name: str,
        cluster: Cluster,
        place: pulumi.Output[str],
        listeners: Sequence[Listener],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("kube-registry:index:NodeProxy", name, {}, opts)
        settings, own = cluster.settings, cluster.settings.node_proxy_namespace
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": place.apply(lambda _: own),
                "labels": {**labels("namespace"), **_PRIVILEGED},
                "annotations": FORCE,
            },
            opts=pulumi.ResourceOptions(parent=self, hooks=namespace_guard(name, cluster, own, self)),
        )
        metadata = {
            "name": NODE_PROXY,
            "namespace": namespace.metadata.name,
            "labels": labels(NODE_PROXY),
            "annotations": OURS,
        }
        config = kubernetes.core.v1.ConfigMap(
            f"{name}-config",
            metadata=metadata,
            data={"haproxy.cfg": config_file(listeners)},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace]),
        )
        self.daemon_set = kubernetes.apps.v1.DaemonSet(
            f"{name}-daemon-set",
            metadata=metadata,
            spec=daemon_set_spec(settings, listeners),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace, config]),
        )
        self.register_outputs({"namespace": own})


def config_file(listeners: Sequence[Listener]) -> str:
    """HAProxy's configuration, with a section for each listener.

    Both ends may be silent for as long as a slow disk takes; who ends a pull is the runtime, not we.
    """
    return """\
global
    maxconn 512
    nbthread 2
    hard-stop-after 25s

defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
""" + "".join(map(_section, listeners))


def _section(listener: Listener) -> str:
    return f"""
listen {listener.name}
    bind 127.0.0.1:{listener.port}
    .if defined(IPV6_LOOPBACK)
    bind [::1]:{listener.port}
    .endif
    server {listener.name} "${{{listener.name.upper()}}}:{listener.service_port}"
"""


def daemon_set_spec(settings: RegistrySettings, listeners: Sequence[Listener]) -> dict[str, Any]:
    """The DaemonSet's spec.

    In an update the new pod listens beside the old one on the same port before that goes, which then lets the pulls
    that it has begun come to their end: no node is without a proxy for a moment.

    Args:
        settings: what was chosen for the stack.
        listeners: the ports that it listens on, at least one.
    """
    checksum = hashlib.sha256(config_file(listeners).encode()).hexdigest()
    real_nodes = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in VIRTUAL_NODES.items()]
    required = {"nodeSelectorTerms": [{"matchExpressions": real_nodes}]}
    return {
        "selector": {"matchLabels": labels(NODE_PROXY)},
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "20%", "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": labels(NODE_PROXY), "annotations": {"kube-registry/config": checksum}},
            "spec": {
                "hostNetwork": True,
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "nodeSelector": LINUX,
                **priority(settings.pod),
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}},
                "tolerations": [{"operator": "Exists"}],
                "securityContext": {
                    "runAsNonRoot": True,
                    **({"runAsUser": _USER, "runAsGroup": _USER} if settings.pod.has_fixed_user else {}),
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_haproxy(settings.proxy_image, listeners)],
                "volumes": [{"name": "config", "configMap": {"name": NODE_PROXY}}],
            },
        },
    }


def _haproxy(image: str, listeners: Sequence[Listener]) -> dict[str, Any]:
    return {
        "name": NODE_PROXY,
        "image": image,
        "command": ["sh", "-c", _START],
        "env": [{"name": each.name.upper(), "value": each.address} for each in listeners],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "readinessProbe": {
            "tcpSocket": {"host": "127.0.0.1", "port": listeners[0].port},
            "periodSeconds": 1,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": _CONFIG, "readOnly": True}],
    }
