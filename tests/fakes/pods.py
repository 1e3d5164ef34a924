"""Specs of pods, each with one thing that Pod Security's level "baseline" forbids or just allows."""

from typing import Any

CONTENT_TAG = "0123456789abcdef"
OURS = f"localhost:30100/app:{CONTENT_TAG}"
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"


def pod(image: str = OURS, **rest: object) -> dict[str, Any]:
    return {"containers": [{"name": "web", "image": image}], **rest}


def container(**rest: object) -> dict[str, Any]:
    return {"containers": [{"name": "web", "image": OURS, **rest}]}


def secured(**context: object) -> dict[str, Any]:
    return container(securityContext=context)


def pod_secured(**context: object) -> dict[str, Any]:
    return pod(securityContext=context)


def asked(call: str, way: str, host: str) -> dict[str, Any]:
    return container(**{call: {way: {"port": 80, "host": host}}})


HOST_PROCESS: dict[str, Any] = {"windowsOptions": {"hostProcess": True, "runAsUserName": "x"}}

PRIVILEGED: dict[str, dict[str, Any]] = {
    "sets hostNetwork": pod(hostNetwork=True),
    "sets hostPID": pod(hostPID=True),
    "sets hostIPC": pod(hostIPC="true"),
    "mounts /etc of its node": pod(volumes=[{"name": "v", "hostPath": {"path": "/etc"}}]),
    "sets hostProcess": pod_secured(**HOST_PROCESS),
    "sets the sysctl kernel.msgmax": pod_secured(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "has the seccomp profile Unconfined": pod_secured(seccompProfile={"type": "Unconfined"}),
    "has the AppArmor profile Unconfined": pod_secured(appArmorProfile={"type": "Unconfined"}),
    "has the SELinux type spc_t": pod_secured(seLinuxOptions={"type": "spc_t"}),
    "has the SELinux role sysadm_r": pod_secured(seLinuxOptions={"role": "sysadm_r"}),
    "container web is privileged": secured(privileged=True),
    "container web adds the capability SYS_ADMIN": secured(capabilities={"add": ["CHOWN", "SYS_ADMIN"]}),
    "container web adds the capability NET_RAW": secured(capabilities={"add": ["NET_RAW"]}),
    "container web adds the capability ALL": secured(capabilities={"add": ["ALL"]}),
    "container web listens on port 80 of its node": container(ports=[{"containerPort": 80, "hostPort": 80}]),
    "container web has procMount Unmasked": secured(procMount="Unmasked"),
    "container web sets hostProcess": secured(**HOST_PROCESS),
    "container web has the seccomp profile Unconfined": secured(seccompProfile={"type": "Unconfined"}),
    "container web has the AppArmor profile Unconfined": secured(appArmorProfile={"type": "Unconfined"}),
    "container web has the SELinux user root": secured(seLinuxOptions={"user": "root"}),
    "container web makes the kubelet connect to 10.0.0.1, in livenessProbe.httpGet.host": asked(
        "livenessProbe", "httpGet", "10.0.0.1"
    ),
    "container web makes the kubelet connect to 127.0.0.1, in startupProbe.tcpSocket.host": asked(
        "startupProbe", "tcpSocket", "127.0.0.1"
    ),
    "container web makes the kubelet connect to x, in lifecycle.preStop.httpGet.host": container(
        lifecycle={"preStop": {"httpGet": {"port": 80, "host": "x"}}}
    ),
}
"""What is found of each -> the spec."""

BASELINE: dict[str, dict[str, Any]] = {
    "a pod": pod(),
    "switches that are off": pod(hostNetwork=False, hostPID="false")
    | pod_secured(windowsOptions={"hostProcess": False}),
    "sysctls": pod_secured(sysctls=[{"name": "net.ipv4.tcp_rmem", "value": "4096 87380 16777216"}]),
    "profiles": pod_secured(seccompProfile={"type": "RuntimeDefault"}, appArmorProfile={"type": "RuntimeDefault"}),
    "SELinux": secured(seLinuxOptions={"type": "container_t", "level": "s0:c1,c2"}),
    "capabilities": secured(capabilities={"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}),
    "the usual proc": secured(procMount="Default"),
    "no port of the node": container(ports=[{"containerPort": 80, "hostPort": 0}]),
    "a probe of the pod": asked("readinessProbe", "httpGet", ""),
}
"""What "baseline" allows, by what it looks like."""
