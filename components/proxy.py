"""The node proxy: the registry's read door on every node's own loopback, where kube-proxy does not bring it.

HAProxy passes bytes on and looks at none: what is refused is refused by the read door. It takes the node port's own
number, so that one pull reference is true on all nodes: where kube-proxy answers on 127.0.0.1, its rule comes first.
Why HAProxy and no registry of its own on every node: docs/adr/0010-the-node-proxy-keeps-nothing.md.

Keys of its configuration: HAProxy 2.6, doc/configuration.txt; its signals: doc/management.txt, "Stopping".
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from components.annotations import FORCE, OURS
from components.hooks import namespace_hooks
from components.workload import priority
from stack.names import LINUX, NODE_PROXY, READ_PORT, VIRTUAL_NODES, labels
from stack.settings import Settings

_CONFIG = "/etc/node-proxy"
_USER = 65532
"""Nobody's login: who has this number on a node may listen on the same port beside us."""

_PRIVILEGED = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
"""Pod Security has no other level at which a pod may listen on its node."""

_START = f"""\
grep -qs '^0*1 .* lo$' /proc/net/if_inet6 && export IPV6_LOOPBACK=yes
exec haproxy -db -f {_CONFIG}/haproxy.cfg"""
"""The file is the kernel's list of IPv6 addresses; on a node without them HAProxy would end, unable to listen."""


class NodeProxy(pulumi.ComponentResource):
    """A listener on each node's loopback that leads to the registry, in a namespace of its own.

    Args:
        name: its name in the stack.
        settings: what was chosen for the stack.
        place: the registry's namespace, which is there once the registry stays where it is.
        service: the registry's, whose address in the cluster it leads to.
        opts: carries the parent.
    """

    daemon_set: kubernetes.apps.v1.DaemonSet

    def __init__(
        self,
        name: str,
        settings: Settings,
        place: pulumi.Output[str],
        service: kubernetes.core.v1.Service,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("kube-registry:index:NodeProxy", name, {}, opts)
        own = settings.model_copy(update={"namespace": settings.proxy_namespace})
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": place.apply(lambda _: own.namespace),
                "labels": {**labels("namespace"), **_PRIVILEGED},
                "annotations": FORCE,
            },
            opts=pulumi.ResourceOptions(parent=self, hooks=namespace_hooks(name, own)),
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
            data={"haproxy.cfg": config_file(settings)},
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace]),
        )
        # A dry run invents an address for a Service that is not there yet; its id is not known then.
        address = service.id.apply(lambda _: service.spec.cluster_ip)
        self.daemon_set = kubernetes.apps.v1.DaemonSet(
            f"{name}-daemon-set",
            metadata=metadata,
            spec=daemon_set_spec(settings, address),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[namespace, config]),
        )
        self.register_outputs({"namespace": own.namespace})


def config_file(settings: Settings) -> str:
    """HAProxy's configuration.

    Both ends may be silent for as long as a slow disk takes; who ends a pull is the runtime, not we.
    """
    return f"""\
global
    maxconn 512
    nbthread 2
    hard-stop-after 25s

defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m

listen registry
    bind 127.0.0.1:{settings.node_port}
    .if defined(IPV6_LOOPBACK)
    bind [::1]:{settings.node_port}
    .endif
    server registry "${{REGISTRY}}:{READ_PORT}"
"""


def daemon_set_spec(settings: Settings, address: pulumi.Input[str]) -> dict[str, Any]:
    """The DaemonSet's spec.

    In an update the new pod listens beside the old one on the same port before that goes, which then lets the pulls
    that it has begun come to their end: no node is without a proxy for a moment.

    Args:
        settings: what was chosen for the stack.
        address: the registry's Service's address in the cluster.
    """
    checksum = hashlib.sha256(config_file(settings).encode()).hexdigest()
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
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": _real_nodes()}},
                "tolerations": [{"operator": "Exists"}],
                "securityContext": {
                    "runAsNonRoot": True,
                    **({"runAsUser": _USER, "runAsGroup": _USER} if settings.pod.has_fixed_user else {}),
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_haproxy(settings, address)],
                "volumes": [{"name": "config", "configMap": {"name": NODE_PROXY}}],
            },
        },
    }


def _real_nodes() -> dict[str, Sequence[Any]]:
    none_of = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in VIRTUAL_NODES.items()]
    return {"nodeSelectorTerms": [{"matchExpressions": none_of}]}


def _haproxy(settings: Settings, address: pulumi.Input[str]) -> dict[str, Any]:
    return {
        "name": NODE_PROXY,
        "image": settings.proxy_image,
        "command": ["sh", "-c", _START],
        "env": [{"name": "REGISTRY", "value": address}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
        "readinessProbe": {
            "tcpSocket": {"host": "127.0.0.1", "port": settings.node_port},
            "periodSeconds": 1,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": _CONFIG, "readOnly": True}],
    }
