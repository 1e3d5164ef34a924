"""What a volume that cannot be written is reported as: from the registry's own words and what may be read of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from kube_registry.kube.client import KubeClient, open_client
from kube_registry.registry.errors import RegistryError, VolumeFullError, VolumeNotWritableError
from kube_registry.registry.volume import prove_writable
from tests.fakes.connecting import kubeconfig, settings

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(30)]

CLAIM = "/api/v1/namespaces/kube-registry/persistentvolumeclaims/registry"
PODS = "/api/v1/namespaces/kube-registry/pods"
VOLUME = "/api/v1/persistentvolumes/pv-1"
SUMMARY = "/api/v1/nodes/node-1/proxy/stats/summary"

FIXED = {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000}
DENIED = "filesystem: mkdir /var/lib/registry/docker: permission denied"
READ_ONLY = "filesystem: mkdir /var/lib/registry/docker: read-only file system"
NO_SPACE = "filesystem: mkdir /var/lib/registry/docker: no space left on device"

Objects = dict[str, dict[str, Any]]


def objects(source: dict[str, Any], security: dict[str, Any], **own: int) -> Objects:
    container = {"name": "write", "securityContext": own}
    pod = {"spec": {"nodeName": "node-1", "securityContext": security, "containers": [container]}}
    return {
        CLAIM: {
            "spec": {"volumeName": "pv-1", "storageClassName": "shared"},
            "status": {"capacity": {"storage": "1Gi"}},
        },
        PODS: {"items": [pod]},
        VOLUME: {"spec": source},
    }


def counted(**figures: int) -> dict[str, Any]:
    claim = {"name": "registry", "namespace": "kube-registry"}
    return {"pods": [{"volume": [{"pvcRef": claim, "time": "now", **figures}]}]}


@asynccontextmanager
async def served(answer: Any) -> AsyncIterator[str]:  # noqa: ANN401 - a handler of aiohttp
    runner = web.ServerRunner(web.Server(answer), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def refusing(tmp_path: Path, detail: str, there: Objects) -> AsyncIterator[tuple[KubeClient, str]]:
    """A registry that refuses every upload, in a cluster where only these objects may be read."""

    async def api(request: web.BaseRequest) -> web.Response:
        found = there.get(request.path)
        return web.json_response(found or {"kind": "Status", "message": "forbidden"}, status=200 if found else 403)

    async def registry(_: web.BaseRequest) -> web.Response:
        return web.json_response({"errors": [{"code": "UNKNOWN", "detail": detail}]}, status=500)

    async with served(api) as server, served(registry) as door:
        file = kubeconfig(tmp_path / "config", {"server": f"http://{server}"}, {})
        async with open_client(settings(file)) as kube:
            yield kube, door


async def refusal(tmp_path: Path, detail: str, there: Objects) -> VolumeNotWritableError:
    async with refusing(tmp_path, detail, there) as (kube, door):
        with pytest.raises(VolumeNotWritableError) as raised:
            await prove_writable(kube, door)
    return raised.value


NFS = {"nfs": {"server": "10.0.0.9", "path": "/exports/registry"}}


@pytest.mark.parametrize(
    ("source", "chown"),
    [
        (NFS, "`chown -R 1000:1000 /exports/registry` as root on NFS server 10.0.0.9"),
        ({"hostPath": {"path": "/data"}}, "`chown -R 1000:1000 /data` as root on node node-1"),
        ({"local": {"path": "/disk"}}, "`chown -R 1000:1000 /disk` as root on node node-1"),
        ({"csi": {"driver": "nfs.csi.k8s.io"}}, "`chown -R 1000:1000 FOLDER` as root where its files are stored"),
    ],
)
async def test_the_owner_is_changed_where_the_files_are(tmp_path: Path, source: dict[str, Any], chown: str) -> None:
    error = await refusal(tmp_path, DENIED, objects(source, FIXED))
    assert error.reason == "mkdir /var/lib/registry/docker: permission denied"
    assert error.user == "uid 1000"
    assert error.volume.startswith("pv-1, storage class shared, ")
    assert error.fix.startswith(chown)


async def test_the_uid_is_the_one_that_the_platform_has_assigned(tmp_path: Path) -> None:
    error = await refusal(tmp_path, DENIED, objects(NFS, {"fsGroup": 1000660000}, runAsUser=1000670000))
    assert error.user == "uid 1000670000"
    assert error.fix.startswith("`chown -R 1000670000:1000660000 ")


async def test_a_uid_that_only_the_image_knows_is_not_guessed(tmp_path: Path) -> None:
    error = await refusal(tmp_path, DENIED, objects(NFS, {}))
    assert error.user == "the image's user"
    assert error.fix.startswith("`chown -R UID /exports/registry`")


async def test_what_may_not_be_read_is_left_out(tmp_path: Path) -> None:
    there = objects(NFS, FIXED)
    del there[VOLUME]
    error = await refusal(tmp_path, DENIED, there)
    assert error.volume == "pv-1, storage class shared"
    assert error.fix.startswith("`chown -R 1000:1000 FOLDER`")
    del there[CLAIM]
    assert (await refusal(tmp_path, DENIED, there)).volume == "the one of claim registry"


async def test_a_read_only_file_system_is_no_matter_of_its_owner(tmp_path: Path) -> None:
    error = await refusal(tmp_path, READ_ONLY, objects(NFS, FIXED))
    assert "chown" not in error.fix
    assert "get persistentvolume pv-1 --output yaml` shows whether readOnly" in error.fix
    assert "kernel log of node node-1" in error.fix


async def test_another_fault_of_the_volume_has_the_systems_words(tmp_path: Path) -> None:
    error = await refusal(tmp_path, "filesystem: mkdir /var/lib/registry/docker: stale NFS file handle", {})
    assert error.reason.endswith("stale NFS file handle")
    assert "chown" not in error.fix


async def test_what_is_not_the_volumes_fault_is_not_laid_to_it(tmp_path: Path) -> None:
    async with refusing(tmp_path, "something else: permission denied", objects(NFS, FIXED)) as (kube, door):
        with pytest.raises(RegistryError) as raised:
            await prove_writable(kube, door)
    assert raised.value.status == 500


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        ({"inodes": 70, "inodesUsed": 70, "inodesFree": 0}, "70 of 70 inodes (files and folders) are used"),
        ({"inodes": 70, "inodesUsed": 7, "inodesFree": 63}, "10 of 10 bytes are used"),
        ({}, "10 of 10 bytes are used"),
    ],
)
async def test_a_full_volume_says_what_has_run_out(tmp_path: Path, figures: dict[str, int], words: str) -> None:
    there = objects(NFS, FIXED) | {SUMMARY: counted(usedBytes=10, capacityBytes=10, **figures)}
    async with refusing(tmp_path, NO_SPACE, there) as (kube, door):
        with pytest.raises(VolumeFullError) as raised:
            await prove_writable(kube, door)
    assert raised.value.figures == f"{words}, as of now"
