"""Pods that mount a shared volume on VMs."""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from lab.cluster import known
from lab.vm import VmNode
from lab.waiting import wait_for
from tests.conftest import Lab

GONE_SECONDS = 300
"""An emulated node needs a minute or two for what a real one does in a second."""


def pod(name: str, node: VmNode, command: str) -> dict[str, Any]:
    """A pod that mounts the claim on a VM."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "nodeName": node.name,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,  # with 0, the API server does not wait for the kubelet
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": "docker.io/library/busybox:stable",
                    "imagePullPolicy": "IfNotPresent",
                    "command": ["sh", "-c", command],
                    "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
                }
            ],
            "volumes": [{"name": "shared", "persistentVolumeClaim": {"claimName": "shared-volume"}}],
        },
    }


@contextmanager
def pods(lab: Lab, commands: Mapping[str, tuple[VmNode, str]]) -> Iterator[None]:
    """Pods that run, or have run, on VMs; their end proves that the volume was unmounted."""
    for name, (node, command) in commands.items():
        lab.kubectl("create", "--filename", "-", given=json.dumps(pod(name, node, command)))
    try:
        for name in commands:
            until(lab, partial(has_started, lab, name), f"pod {name} to start", seconds=90)
        yield
    finally:
        lab.kubectl("delete", "pod", *commands, "--wait=false")
        for name in commands:
            until(lab, partial(is_gone, lab, name), f"pod {name} to be gone", seconds=GONE_SECONDS)


def until(lab: Lab, check: Callable[[], bool], what: str, *, seconds: float) -> None:
    """Wait until a check is true; the logs of the cluster say why it is not."""
    wait_for(check, what, log=known(lab.cluster.name).folder / "logs", seconds=seconds, pause=1.0)


def phase(lab: Lab, name: str) -> str:
    return lab.kubectl("get", "pod", name, "--ignore-not-found", "--output", "jsonpath={.status.phase}")


def has_started(lab: Lab, name: str) -> bool:
    return phase(lab, name) != "Pending"


def is_gone(lab: Lab, name: str) -> bool:
    return not phase(lab, name)


def said(lab: Lab, name: str) -> str:
    return lab.kubectl("logs", name)


def acknowledged(lab: Lab, name: str) -> list[int]:
    return [int(number) for number in re.findall(r"^acknowledged (\d+)$", said(lab, name), re.MULTILINE)]
