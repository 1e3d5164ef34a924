"""A volume that is a file system of its own, as a cloud's block device is, for the nodes that are no VMs."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Lab

CLASS = "own-file-system"
"""The storage class of the volume; nothing provisions it."""

_VOLUMES = "/tmp/hostpath_pv"  # noqa: S108 - in the lab's nodes
_SIZE = "512M"


@contextmanager
def own_disk(lab: Lab, folder: Path, name: str) -> Iterator[Path]:
    """Offer a volume, and return its file system's place on this machine.

    Args:
        lab: the lab; all its nodes that are no VMs get the file system.
        folder: where to keep its image, and to mount it on this machine.
        name: name of the persistent volume.
    """
    image, here = folder / f"{name}.img", folder / name
    run("truncate", f"--size={_SIZE}", str(image))
    run("mkfs.ext4", "-q", str(image))
    device = run("losetup", "--find", "--show", str(image)).strip()
    here.mkdir()
    places = [([], str(here)), *((inside(node.pid), f"{_VOLUMES}/{name}") for node in lab.cluster.nodes)]
    try:
        for prefix, place in places:
            run(*prefix, "mkdir", "-p", place)
            run(*prefix, "mount", device, place)
        offer(lab, name)
        yield here
    finally:
        lab.kubectl("delete", "persistentvolume", name, "--ignore-not-found", "--wait=false")
        for prefix, place in places:
            run(*prefix, "umount", "--lazy", place)
        run("losetup", "--detach", device)


def offer(lab: Lab, name: str) -> None:
    """Offer the file system as a new persistent volume; one whose claim was deleted is not bound again."""
    names = [node.name for node in lab.cluster.nodes]
    hosts = {"key": "kubernetes.io/hostname", "operator": "In", "values": names}
    volume = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": CLASS,
            "hostPath": {"path": f"{_VOLUMES}/{name}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [hosts]}]}},
        },
    }
    lab.kubectl("delete", "persistentvolume", name, "--ignore-not-found")
    lab.kubectl("create", "--filename", "-", given=json.dumps(volume))


def inside(pid: int) -> list[str]:
    """Return the start of a command on a node."""
    return ["nsenter", f"--target={pid}", "--mount", "--pid"]


def run(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
