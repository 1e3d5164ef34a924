"""The node proxy: serves the read door on every node's loopback, where kube-proxy does not serve node ports.

HAProxy forwards bytes without inspecting them; the read door rejects invalid requests. HAProxy listens on the number of
the node port, so that one pull reference works on all nodes. Where kube-proxy serves 127.0.0.1, its rule has priority.
docs/adr/0010-the-node-proxy-keeps-nothing.md explains why nodes run HAProxy and not a registry.

Configuration keys: HAProxy 2.6, doc/configuration.txt. Signals: doc/management.txt, "Stopping".
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
"""The uid of the node proxy of the default namespace."""

_USERS = range(65_536, 100_000)
"""The uids of all others. Neither systemd nor useradd assigns them (systemd.io/UIDS-GIDS)."""

PRIVILEGED = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
"""The only level of Pod Security that allows a pod to use its node's network."""

_START = f"""\
grep -qs '^0*1 .* lo$' /proc/net/if_inet6 && export IPV6_LOOPBACK=yes
exec haproxy -db -f {_CONFIG}/haproxy.cfg"""
"""The file lists the kernel's IPv6 addresses. On a node without IPv6, HAProxy cannot listen on [::1] and would end."""


_START_SECONDS = 2
"""When the first probe is sent. If another program has the port, that one answers, but HAProxy has ended by then."""


@dataclass(frozen=True)
class Listener:
    """A port on every node's loopback that forwards to a Service.

    Args:
        name: name of the listener, in lower-case letters.
        port: the port on the loopback. It is the Service's node port, so that one pull reference works on all nodes.
        address: cluster IP of the Service.
        service_port: port of the Service.
    """

    name: str
    port: int
    address: pulumi.Input[str]
    service_port: int


def address_of(service: kubernetes.core.v1.Service) -> pulumi.Output[str]:
    """Return the cluster IP of a Service.

    It depends on the Service's id, which is unknown before its creation: a dry run returns an invented cluster IP.
    """
    address: pulumi.Output[str] = service.id.apply(lambda _: service.spec.cluster_ip)
    return address


class NodeProxy(pulumi.ComponentResource):
    """Listeners on each node's loopback that forward to Services, in a separate namespace.

    Args:
        name: its name in the stack.
        cluster: the cluster, with the settings of the registry.
        place: the registry's namespace, known after the check that the volume stays where it is.
        listeners: the listeners, at least one.
        opts: resource options, with the parent.
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
                "labels": {**labels("namespace"), **PRIVILEGED},
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
    """Return HAProxy's configuration, with a section for each listener.

    The timeouts are long because a slow disk may delay both ends; the container runtime decides when a pull fails.
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
    """Return the DaemonSet's spec.

    In an update the new pod listens on the same port before the old pod stops, and the old pod finishes its pulls. No
    node is without a proxy at any time.

    Args:
        settings: settings of the stack.
        listeners: the listeners, at least one.
    """
    checksum = hashlib.sha256(config_file(listeners).encode()).hexdigest()
    real_nodes = [{"key": key, "operator": "NotIn", "values": [value]} for key, value in VIRTUAL_NODES.items()]
    required = {"nodeSelectorTerms": [{"matchExpressions": real_nodes}]}
    user = _user_of(settings.namespace)
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
                    **({"runAsUser": user, "runAsGroup": user} if settings.pod.has_fixed_user else {}),
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [_haproxy(settings.proxy_image, listeners)],
                "volumes": [{"name": "config", "configMap": {"name": NODE_PROXY}}],
            },
        },
    }


def _user_of(namespace: str) -> int:
    """Return the uid of the node proxy of a registry, which differs between registries.

    Several processes may listen on one port if all have the same uid (SO_REUSEPORT), as an update needs. The kernel
    then divides the connections among them, so two registries with one port would get each other's pulls.

    Args:
        namespace: namespace of the registry.
    """
    if namespace == RegistrySettings.model_fields["namespace"].default:
        return _USER
    number = int.from_bytes(hashlib.sha256(namespace.encode()).digest()[:4])
    return _USERS[number % len(_USERS)]


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
            "initialDelaySeconds": _START_SECONDS,
            "periodSeconds": 1,
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "config", "mountPath": _CONFIG, "readOnly": True}],
    }
