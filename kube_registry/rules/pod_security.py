"""What the Pod Security level "baseline" forbids in a pod template; pure.

Source: k8s.io/pod-security-admission 0.34, policy/check_*.go; the newest version of each check.
"""

from collections.abc import Iterator, Mapping

from kube_registry.rules.resource_inputs import at, containers, is_true, known, number, sequence

_HOST = ("hostNetwork", "hostPID", "hostIPC")
_CAPABILITIES = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE"),
        *("SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
_SYSCTLS = frozenset(
    {
        *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"),
        *("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range", "net.ipv4.tcp_fin_timeout"),
        *("net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time"),
        *("net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem"),
    }
)
_SELINUX_TYPES = ("container_t", "container_init_t", "container_kvm_t", "container_engine_t")
_PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
_HANDLERS = (
    *(
        (probe, way)
        for probe in ("livenessProbe", "readinessProbe", "startupProbe")
        for way in ("httpGet", "tcpSocket")
    ),
    *(("lifecycle", hook, way) for hook in ("postStart", "preStop") for way in ("httpGet", "tcpSocket")),
)


def privileges(template: object) -> Iterator[str]:
    """Yield each privilege of a pod that "baseline" forbids, in a few words.

    Args:
        template: metadata and spec of the pod.
    """
    spec = at(template, "spec")
    yield from (f"sets {each}" for each in _HOST if is_true(at(spec, each)))
    mounts = (at(volume, "hostPath") for volume in sequence(at(spec, "volumes")))
    yield from (f"mounts {at(mount, 'path')} of its node" for mount in mounts if mount)
    for sysctl in sequence(at(spec, "securityContext", "sysctls")):
        if (name := known(at(sysctl, "name"))) and name not in _SYSCTLS:
            yield f"sets the sysctl {name}"
    yield from _of_annotations(at(template, "metadata", "annotations"))
    yield from _of_security_context(at(spec, "securityContext"))
    for name, container in containers(spec):
        yield from (f"container {name} {each}" for each in _of_container(container))


def _of_annotations(annotations: object) -> Iterator[str]:
    for key, value in annotations.items() if isinstance(annotations, Mapping) else ():
        profile = str(known(value) or "")
        harmless = profile in ("", "runtime/default") or profile.startswith("localhost/")
        if key.startswith(_APPARMOR) and not harmless:
            yield f"container {key.removeprefix(_APPARMOR)} has the AppArmor profile {profile}"


def _of_container(container: object) -> Iterator[str]:
    security = at(container, "securityContext")
    if is_true(at(security, "privileged")):
        yield "is privileged"
    for added in map(known, sequence(at(security, "capabilities", "add"))):
        if added and added not in _CAPABILITIES:
            yield f"adds the capability {added}"
    if (proc := known(at(security, "procMount"))) not in (None, "Default"):
        yield f"has procMount {proc}"
    for port in sequence(at(container, "ports")):
        if given := number(at(port, "hostPort")):
            yield f"listens on port {given} of its node"
    for handler in _HANDLERS:
        if host := known(at(container, *handler, "host")):
            yield f"makes the kubelet connect to {host}, in {'.'.join(handler)}.host"
    yield from _of_security_context(security)


def _of_security_context(security: object) -> Iterator[str]:
    """Yield what "baseline" forbids in the securityContext of a pod and of a container."""
    if is_true(at(security, "windowsOptions", "hostProcess")):
        yield "sets hostProcess"
    for kind, field in (("seccomp", "seccompProfile"), ("AppArmor", "appArmorProfile")):
        if (profile := known(at(security, field, "type"))) not in (None, *_PROFILES):
            yield f"has the {kind} profile {profile}"
    selinux = at(security, "seLinuxOptions")
    if (given := known(at(selinux, "type"))) not in (None, "", *_SELINUX_TYPES):
        yield f"has the SELinux type {given}"
    for field in ("user", "role"):
        if given := known(at(selinux, field)):
            yield f"has the SELinux {field} {given}"
