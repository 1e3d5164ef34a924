"""The specs of the NFS server's pod and of its network policy, and the server's configuration; pure.

The image is built from the folder nfs_server next to this file. Configuration keys: NFS-Ganesha 4.3, src/config_samples
and src/support/nfs_read_conf.c.
"""

import hashlib
from typing import Any, Final

import pulumi

from kube_registry.names import NFS_PORT, NFS_SERVER, labels
from kube_registry.spec.sections import PodSettings

from .registry_pod import placement

LEASE_SECONDS: Final = 20
"""How long a client may be silent and keep its locks. Linux tries to connect again after half of it at the latest."""

GRACE_SECONDS: Final = 30
"""How long a new server waits for clients of the old one, if one of them does not return: not less than a lease."""

_CONFIG = "/etc/ganesha"
_FILE = "ganesha.conf"

_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "SETGID", "SETUID")
"""What Ganesha needs: to open files by their handles (DAC_READ_SEARCH), as the user of the export (SETGID, SETUID), and
for locks as root (DAC_OVERRIDE); and start.sh: to give the export to that user. All but DAC_READ_SEARCH are also in
Kubernetes' default."""

_GENERAL = f"""\
NFS_CORE_PARAM {{
    Protocols = 4;
    NFS_Port = {NFS_PORT};
    Enable_NLM = false;
    Enable_RQUOTA = false;
    Enable_UDP = false;
    Clustered = false;
}}

NFSV4 {{
    Minor_Versions = 0, 1, 2; # 0 is for the probe, which sends a request without a session
    Lease_Lifetime = {LEASE_SECONDS};
    Grace_Period = {GRACE_SECONDS};
    RecoveryBackend = fs;
    RecoveryRoot = /volume/recovery;
    # By default the name of the pod. Clients would take the next pod for another server, and give up their locks. They
    # take servers with the same name for one.
    Server_Scope = OWNER;
    Server_Owner = OWNER;
    Only_Numeric_Owners = true;
}}

MDCACHE {{
    Chunks_HWMark = 2000; # of 128 names each; the default would take gigabytes in large folders
}}

NFS_KRB5 {{
    Active_krb5 = false;
}}

LOG {{
    Default_Log_Level = EVENT;
    # Without them, there would be errors about D-Bus, rpcbind and Kerberos, which are neither there nor needed.
    Components {{
        DBUS = FATAL;
        DISPATCH = FATAL;
        NFS_CB = FATAL;
        TIRPC = FATAL;
    }}
}}
"""


def ganesha_config(user: int, owner: str) -> str:
    """Return the configuration of the NFS server; start.sh replaces EXPORT_NAME.

    Args:
        user: uid and gid by which all clients access the files.
        owner: name of the server, for its clients (RFC 8881, 2.10.4): that of its namespace.
    """
    root, volume = _export(1, "/exports", "/", "RO", user), _export(2, "/volume/export", "/EXPORT_NAME", "RW", user)
    return "\n".join([_GENERAL.replace("OWNER", owner), root, volume])


def _export(number: int, path: str, pseudo: str, access: str, user: int) -> str:
    return f"""\
EXPORT {{
    Export_Id = {number};
    Path = {path};
    Pseudo = {pseudo};
    Protocols = 4;
    Transports = TCP;
    SecType = sys;
    Access_Type = {access};
    Squash = All_Squash;
    Anonymous_Uid = {user};
    Anonymous_Gid = {user};
    FSAL {{
        Name = VFS;
    }}
}}
"""


def config_files(config: str) -> dict[str, str]:
    """Return the files of the ConfigMap NFS_SERVER: name -> content.

    Args:
        config: the result of `ganesha_config`.
    """
    return {_FILE: config}


def deployment_spec(
    *,
    image: pulumi.Input[str],
    folder: pulumi.Input[str],
    user: int,
    config: str,
    allow_directory: bool,
    pod: PodSettings,
) -> dict[str, Any]:
    """Return the Deployment's spec.

    It has one replica and the strategy Recreate: two servers on one file system do not know of each other's locks.

    Args:
        image: the image of the folder nfs_server.
        folder: name under which clients mount the volume, which they cannot list.
        user: uid and gid by which all clients access the files.
        config: the result of `ganesha_config`; another one restarts the server.
        allow_directory: whether the volume may be a directory of a larger file system.
        pod: on which nodes it runs, and its priority; its resources are those of the registry.
    """
    checksum = hashlib.sha256(config.encode()).hexdigest()
    return {
        "replicas": 1,
        "strategy": {"type": "Recreate"},
        "selector": {"matchLabels": labels(NFS_SERVER)},
        "template": {
            "metadata": {"labels": labels(NFS_SERVER), "annotations": {"kube-registry/config": checksum}},
            "spec": {
                **placement(pod),
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": 10,
                "securityContext": {"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [_server(image, _environment(folder, user, allow_directory=allow_directory))],
                "volumes": [
                    {"name": "volume", "persistentVolumeClaim": {"claimName": NFS_SERVER}},
                    {"name": "config", "configMap": {"name": NFS_SERVER}},
                    {"name": "exports", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                    *({"name": name, "emptyDir": {}} for name in _SCRATCH),
                ],
            },
        },
    }


_SCRATCH = {"run": "/run", "tmp": "/tmp"}  # noqa: S108 - in the container
"""Folders that Ganesha writes to: its configuration and process id, and a file on which it tries locks."""


def _environment(folder: pulumi.Input[str], user: int, *, allow_directory: bool) -> dict[str, pulumi.Input[str]]:
    return {"EXPORT_NAME": folder, "EXPORT_USER": str(user), "ALLOW_DIRECTORY": str(allow_directory).lower()}


def _server(image: pulumi.Input[str], environment: dict[str, pulumi.Input[str]]) -> dict[str, Any]:
    return {
        "name": NFS_SERVER,
        "image": image,
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"name": "nfs", "containerPort": NFS_PORT}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": _probe(period=1, failures=60),
        "readinessProbe": _probe(period=5, failures=2),
        "livenessProbe": _probe(period=10, failures=6),
        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": _MEMORY}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": list(_CAPABILITIES)},
        },
        "volumeMounts": [
            {"name": "volume", "mountPath": "/volume"},
            {"name": "config", "mountPath": _CONFIG, "readOnly": True},
            {"name": "exports", "mountPath": "/exports"},
            *({"name": name, "mountPath": path} for name, path in _SCRATCH.items()),
        ],
    }


_MEMORY = "1Gi"
"""Measured: 170 MB for the 100,000 files that Ganesha remembers, 70 MB for names in folders, and 430 MB for requests of
1 MiB in each of its 200 threads."""


def _probe(*, period: int, failures: int) -> dict[str, Any]:
    """Return a probe that sends a request of NFS and changes a file: the port is open even if the export failed."""
    command = ["bash", "/usr/local/bin/probe.sh"]
    return {"exec": {"command": command}, "periodSeconds": period, "timeoutSeconds": 5, "failureThreshold": failures}


def network_policy() -> dict[str, Any]:
    """Return the spec of a network policy that allows connections to the NFS port only.

    A policy cannot distinguish the kernels of other nodes from pods: their traffic has the address of the node or, in
    many overlay networks, one from the range of the pods, and no selector matches it.
    """
    return {
        "podSelector": {"matchLabels": labels(NFS_SERVER)},
        "policyTypes": ["Ingress"],
        "ingress": [{"ports": [{"protocol": "TCP", "port": NFS_PORT}]}],
    }
