"""A volume that runs full: who pushes is told so with figures, who pulls notices nothing, and nothing stored is lost.

The volume is a file system in memory with a size of its own, on one node; its room is given by mounting it anew.
"""

import asyncio
import json
import os
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest

from components.door_config import config_files
from components.registry_pod import deployment_spec
from kube_registry.errors import Where
from kube_registry.housekeeping.health import examine
from kube_registry.names import READ_PORT, REGISTRY, labels
from kube_registry.push.push_path import PushPath
from kube_registry.registry.api import digest_of, open_registry
from kube_registry.registry.errors import RegistryError, VolumeFullError, VolumeNotWritableError
from kube_registry.spec.settings import Settings
from lab.cluster import known, kubeconfig_for
from lab.machines import Machine
from lab.waiting import wait_for
from tests.e2e.commands import commands_of, paste
from tests.e2e.conftest import CHECKOUT, Lab, settings_of

pytestmark = pytest.mark.lab

NAME = "full"
COUNTED_SECONDS = 20.0
"""How soon the node has counted what is used; it does so every few seconds in the lab."""

SIZE, MORE = 16 * 1024**2, 64 * 1024**2
FOLDER = f"/tmp/hostpath_pv/{NAME}"  # noqa: S108 - on the node's own machine


@dataclass(frozen=True)
class Small:
    """A registry on a small volume."""

    lab: Lab
    settings: Settings
    machine: Machine

    def give(self, size: int) -> None:
        """Let the volume have so many bytes."""
        self.on_node("mount", "-o", f"remount,size={size}", FOLDER)

    def on_node(self, *command: str) -> None:
        subprocess.run(self.machine.inside(*command), check=True, capture_output=True, timeout=30)

    async def push(self, blob: bytes) -> None:
        """Upload a blob through the tunnel that is open."""
        where = Where(
            "lab", kubeconfig=self.settings.kubeconfig, kube_context=self.settings.kube_context, namespace=NAME
        )
        async with open_registry(f"127.0.0.1:{self.settings.push_port}", where) as registry:
            await registry.put_blob("by/hand", blob)

    def read(self, blob: bytes) -> bytes:
        """A blob as a node gets it."""
        return self.fetch(f"by/hand/blobs/{digest_of(blob)}")

    def is_read(self) -> bool:
        """Whether kube-proxy has brought the read door to the node port."""
        with suppress(OSError):
            return self.fetch("") == b"{}"
        return False

    def fetch(self, path: str) -> bytes:
        url = f"http://{self.lab.cluster.nodes[0].address}:{self.settings.node_port}/v2/{path}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            content: bytes = answer.read()
        return content


def manifests(lab: Lab, settings: Settings) -> Iterator[dict[str, Any]]:
    node = lab.cluster.nodes[0].name
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    metadata = {"name": REGISTRY, "namespace": NAME, "labels": labels("registry")}
    size = {"storage": str(SIZE)}
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAME}}
    volume = {
        "capacity": size,
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": NAME,
        "local": {"path": FOLDER},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    yield {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": NAME}, "spec": volume}
    claim = {"accessModes": ["ReadWriteOnce"], "storageClassName": NAME, "resources": {"requests": size}}
    yield {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": claim}
    yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": config_files(settings)}
    yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment_spec(settings)}
    ports = [{"port": READ_PORT, "nodePort": settings.node_port}]
    service = {"type": "NodePort", "selector": labels("registry"), "ports": ports}
    yield {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service}


@pytest.fixture(scope="module")
def small(lab: Lab) -> Iterator[Small]:
    settings = settings_of(lab).model_copy(
        update={"namespace": NAME, "node_port": 30_085, "push_port": 19_985, "preflight": False}
    )
    machine = Machine(known(lab.cluster.name), lab.cluster.nodes[0].name)
    made = Small(lab, settings, machine)
    made.on_node("mkdir", "-p", FOLDER)
    made.on_node("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=1777", "lab", FOLDER)
    items = list(manifests(lab, settings))
    lab.kubectl("apply", "--filename", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    wait_for(made.is_read, "the node port", log=known(lab.cluster.name).log("full-volume"), seconds=60)
    yield made
    lab.kubectl("delete", "namespace", NAME, "--wait=false")
    lab.kubectl("delete", "persistentvolume", NAME, "--wait=false")
    made.on_node("umount", "--lazy", FOLDER)


class TestFullVolume:
    def test_a_file_system_that_has_become_read_only_is_reported_until_it_is_writable(self, small: Small) -> None:
        asyncio.run(self.run_read_only(small))

    async def run_read_only(self, small: Small) -> None:
        path = PushPath(small.settings)
        small.on_node("mount", "-o", "remount,ro", FOLDER)
        try:
            with pytest.raises(VolumeNotWritableError) as told:
                await path.ready(lambda *_: None)
            found = await examine(small.settings, {})
        finally:
            small.on_node("mount", "-o", "remount,rw", FOLDER)
        assert told.value.reason.endswith("read-only file system")
        assert found.running
        assert found.sentences == [str(told.value)]
        (line,) = commands_of(told.value, "kubectl")
        assert FOLDER in paste(line, CHECKOUT, small.lab.env)
        assert (await examine(small.settings, {})).sentences == []

    def test_it_is_told_with_figures_while_pulls_go_on_and_more_room_mends_it(self, small: Small) -> None:
        asyncio.run(self.run_full(small))

    async def run_full(self, small: Small) -> None:
        path, said = PushPath(small.settings), list[str]()
        kept, too_large, late = os.urandom(SIZE // 4), os.urandom(SIZE), os.urandom(SIZE // 4)
        await path.take("image", lambda _, line: said.append(line))
        try:
            await small.push(kept)
            with pytest.raises(RegistryError) as refused:
                await small.push(too_large)
            (line,) = commands_of(refused.value)
            assert "no space left on device" in paste(line, CHECKOUT, small.lab.env)
            assert await path.recover("image", lambda _, line: said.append(line)) is False
            assert "volume in namespace full of kube context" in said[-1]
            assert "No stored image is lost, and nodes can still pull" in said[-1]
            assert commands_of(said[-1], "claim.size")
            assert small.read(kept) == kept
            small.give(MORE)
            assert await path.recover("image", lambda _, line: said.append(line)) is True
            await small.push(late)
            assert (small.read(kept), small.read(late)) == (kept, late)
        finally:
            await path.give_back("image")

    def test_the_next_update_is_told_before_anything_is_built(self, small: Small) -> None:
        small.on_node("sh", "-c", f"cat /dev/zero >{FOLDER}/ballast 2>&- || true")
        counted, deadline = "", time.monotonic() + COUNTED_SECONDS
        while f"is full: {MORE} of {MORE} bytes are used" not in counted:
            assert time.monotonic() < deadline, counted
            with pytest.raises(VolumeFullError) as told:
                asyncio.run(PushPath(small.settings).take("image", lambda *_: None))
            counted = str(told.value)

    def test_who_may_not_ask_the_node_is_told_the_size_of_the_claim(self, small: Small) -> None:
        small.lab.kubectl("create", "rolebinding", "deployer", "--clusterrole=edit", "--user=fred", "--namespace", NAME)
        kubeconfig = kubeconfig_for(small.lab.cluster.name, "fred")
        settings = small.settings.model_copy(update={"kubeconfig": str(kubeconfig)})
        with pytest.raises(VolumeFullError) as told:
            asyncio.run(PushPath(settings).take("image", lambda *_: None))
        assert (
            f"is full: its size is {SIZE}; its usage is unknown, because you lack the permission to `get` `nodes/proxy`"
            in str(told.value)
        )

    def test_a_volume_without_room_for_another_file_is_full(self, small: Small) -> None:
        asyncio.run(self.run_inodes(small))

    async def run_inodes(self, small: Small) -> None:
        small.on_node("rm", "-f", f"{FOLDER}/ballast")
        small.on_node("mount", "-o", "remount,nr_inodes=1000", FOLDER)
        small.on_node("sh", "-c", f"i=0; while (: >{FOLDER}/file-$i) 2>&-; do i=$((i+1)); done; true")
        counted, deadline = "", time.monotonic() + COUNTED_SECONDS
        try:
            while "is full: 1000 of 1000 inodes (files and folders) are used" not in counted:
                assert time.monotonic() < deadline, counted
                with pytest.raises(VolumeFullError) as told:
                    await PushPath(small.settings).ready(lambda *_: None)
                counted = str(told.value)
        finally:
            small.on_node("mount", "-o", "remount,nr_inodes=0", FOLDER)
            small.on_node("sh", "-c", f"rm -f {FOLDER}/file-*")
