"""The control plane of a cluster: etcd, API server, controller manager and scheduler, on a separate machine.

The machine shares only the kernel with the host. The ports are the usual ones, and the host connects to them over the
bridge. This module defines the arguments and files of the processes, and the initial objects of a cluster.
"""

import ipaddress
import json
from collections.abc import Callable

from lab import kube_api, machines, pki
from lab.machines import CONTROL_PLANE, Machine
from lab.spec import SERVICES, ClusterSpec
from lab.waiting import wait_for

READY_SECONDS = 90.0
ETCD, API_SERVER = "etcd", "kube-apiserver"
CONTROLLER_MANAGER, SCHEDULER = "kube-controller-manager", "kube-scheduler"
VOLUME_OPENER = "volume-opener"
_FOLDER = "/var/lib/kubernetes"
_ADMIN, _ADMINS = "admin", "system:masters"

_OPEN_VOLUMES = """\
shopt -s nullglob
exec 3<> <(:) # a pipe from which no data comes: to wait for it starts no process, other than `sleep`
while :; do
    set -- /tmp/hostpath_pv/*
    [ "$*" = "$known" ] || { chmod a+rwx "$@" && known=$*; }
    read -rt 0.2 -u 3
done 2>/dev/null
"""
"""Make new volumes writable. The host-path provisioner creates folders that only root may write to, and the kubelet
does not apply `fsGroup` to host paths as it does for storage drivers."""


def machine_of(spec: ClusterSpec) -> Machine:
    """Return the machine that the control plane runs on."""
    return Machine(spec, CONTROL_PLANE)


def commands(spec: ClusterSpec) -> dict[str, list[str]]:
    """Return the command of each process, in start order."""
    etcd = "http://127.0.0.1:2379"
    peers = "http://127.0.0.1:2380"
    keys = f"{_FOLDER}/service-account.key"
    return {
        ETCD: [
            f"/run/bin/{ETCD}",
            "--data-dir=/var/lib/etcd",
            f"--listen-client-urls={etcd}",
            f"--advertise-client-urls={etcd}",
            f"--listen-peer-urls={peers}",
            f"--initial-advertise-peer-urls={peers}",
            f"--initial-cluster=default={peers}",
            "--unsafe-no-fsync",  # after a power failure the lab's data may be lost; then the cluster is created again
            "--log-level=warn",
        ],
        API_SERVER: [
            f"/run/bin/{API_SERVER}",
            f"--etcd-servers={etcd}",
            f"--bind-address={spec.api_address}",
            f"--advertise-address={spec.api_address}",
            f"--tls-cert-file={_FOLDER}/server.crt",
            f"--tls-private-key-file={_FOLDER}/server.key",
            f"--client-ca-file={_FOLDER}/ca.crt",
            f"--kubelet-certificate-authority={_FOLDER}/ca.crt",
            f"--kubelet-client-certificate={_FOLDER}/kubelet-client.crt",
            f"--kubelet-client-key={_FOLDER}/kubelet-client.key",
            "--kubelet-preferred-address-types=InternalIP",  # otherwise it resolves the nodes' names
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--audit-policy-file={_FOLDER}/audit-policy.json",
            "--audit-log-path=-",  # to its log
            f"--service-cluster-ip-range={SERVICES}",
            f"--service-account-key-file={keys}",
            f"--service-account-signing-key-file={keys}",
            "--service-account-issuer=https://kubernetes.default.svc",
        ],
        CONTROLLER_MANAGER: [
            f"/run/bin/{CONTROLLER_MANAGER}",
            f"--kubeconfig={_FOLDER}/controller-manager.kubeconfig",
            "--bind-address=127.0.0.1",
            f"--service-account-private-key-file={keys}",
            f"--root-ca-file={_FOLDER}/ca.crt",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            # With the default of 20 requests per second, the first service account takes five seconds.
            "--kube-api-qps=300",
            "--kube-api-burst=600",
            "--enable-hostpath-provisioner=true",
            f"--flex-volume-plugin-dir={_FOLDER}/volume-plugins",
        ],
        SCHEDULER: [
            f"/run/bin/{SCHEDULER}",
            f"--kubeconfig={_FOLDER}/scheduler.kubeconfig",
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
        ],
        VOLUME_OPENER: ["/bin/bash", "-c", _OPEN_VOLUMES],
    }


def issue(spec: ClusterSpec) -> None:
    """Create the certificate authority and the administrator's kubeconfig, unless they exist. Idempotent."""
    authority = pki.found(spec.pki)
    if spec.kubeconfig.exists():
        return
    admin = pki.issue(authority, _ADMIN, groups=[_ADMINS])
    pki.write_secret(spec.pki / "admin.pem", admin.certificate + admin.key)
    content = pki.kubeconfig(authority, admin, server=spec.server, kube_context=spec.kube_context)
    pki.write_secret(spec.kubeconfig, content)


def start(spec: ClusterSpec) -> None:
    """Start the processes that do not run, on the running machine, and wait until the control plane is ready.

    Raises:
        LabError: a process ended, or the API server was not ready in time.
    """
    machine = machine_of(spec)
    missing = {name: command for name, command in commands(spec).items() if not machine.runs(name)}
    if missing:
        _write_files(machine)
    _start(machine, missing, ETCD, API_SERVER)
    _wait(machine, lambda: kube_api.is_ready(spec), "the API server to be ready")
    _start(machine, missing, CONTROLLER_MANAGER, SCHEDULER, VOLUME_OPENER)
    storage = "/apis/storage.k8s.io/v1/storageclasses"
    _wait(machine, lambda: kube_api.create(spec, storage, _STORAGE_CLASS), "the API server to create the StorageClass")


def _start(machine: Machine, missing: dict[str, list[str]], *names: str) -> None:
    for name in names:
        if name in missing:
            machines.start(machine, name, missing[name])


def _wait(machine: Machine, check: Callable[[], bool], what: str) -> None:
    def check_while_running() -> bool:
        machines.watch(machine, ETCD)
        machines.watch(machine, API_SERVER)
        return check()

    wait_for(check_while_running, what, log=machine.log(API_SERVER), seconds=READY_SECONDS)


def _write_files(machine: Machine) -> None:
    spec = machine.spec
    authority = pki.found(spec.pki)

    def kubeconfig(user: str) -> str:
        identity = pki.issue(authority, user)
        return pki.kubeconfig(authority, identity, server=spec.server, kube_context=spec.kube_context)

    service = str(ipaddress.ip_network(SERVICES)[1])
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
    server = pki.issue(authority, API_SERVER, addresses=[spec.api_address, "127.0.0.1", service, *names])
    kubelet_client = pki.issue(authority, "kube-apiserver-kubelet-client")
    machine.write(
        {
            f"{_FOLDER}/audit-policy.json": json.dumps(_AUDIT_POLICY),
            f"{_FOLDER}/ca.crt": authority.certificate.read_text(),
            f"{_FOLDER}/service-account.key": authority.service_account_key.read_text(),
            f"{_FOLDER}/server.crt": server.certificate,
            f"{_FOLDER}/server.key": server.key,
            f"{_FOLDER}/kubelet-client.crt": kubelet_client.certificate,
            f"{_FOLDER}/kubelet-client.key": kubelet_client.key,
            f"{_FOLDER}/controller-manager.kubeconfig": kubeconfig("system:kube-controller-manager"),
            f"{_FOLDER}/scheduler.kubeconfig": kubeconfig("system:kube-scheduler"),
        }
    )


_STORAGE_CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "provisioner": "kubernetes.io/host-path",
}

_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "userGroups": ["system:nodes", "system:serviceaccounts"]},
        {"level": "None", "users": ["system:apiserver", "system:kube-controller-manager", "system:kube-scheduler"]},
        {"level": "Metadata", "verbs": ["create", "update", "patch", "delete", "deletecollection"]},
        {"level": "Metadata", "resources": [{"group": "", "resources": ["pods/portforward", "pods/exec"]}]},
        {"level": "None"},
    ],
}
"""Log writes, exec and port-forward, except those of Kubernetes' own components."""
