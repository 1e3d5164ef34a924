"""Pushes and collections on a real cluster: who waits for whom, and that nothing is written without the lease."""

import asyncio
import hashlib
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest

from kube_registry.concurrency import poll
from kube_registry.housekeeping.errors import WrittenMeanwhileError
from kube_registry.housekeeping.gc import collect
from kube_registry.housekeeping.gc_plan import Keep, plan_gc
from kube_registry.housekeeping.inventory import take_inventory
from kube_registry.kube.client import open_client
from kube_registry.lease.errors import LeaseUnreadableError
from kube_registry.lease.lease import lease_held, lease_holders
from kube_registry.names import REGISTRY
from kube_registry.push.push_path import PushPath
from kube_registry.registry.door import open_door
from kube_registry.registry.probe_image import probe_config
from kube_registry.spec.settings import Settings
from kube_registry.tunnel.listener import open_tunnel
from tests.e2e.commands import commands_of, paste
from tests.e2e.conftest import Lab, Program
from tests.e2e.rights.test_rights import port_forward, push_blob
from tests.e2e.tunnel.test_tunnel import is_free
from tests.fakes.writing import pushing

pytestmark = [pytest.mark.lab, pytest.mark.anyio, pytest.mark.usefixtures("deployed")]

GC = "registryctl gc"
LONG_SECONDS = 120
"""No step of two programs takes longer: they start, wait for each other, and for the entry of one that was killed."""
NAMESPACE = "kube-registry"


@asynccontextmanager
async def verb(program: Program, *words: str) -> AsyncIterator[Process]:
    """A verb of registryctl while it runs; told to end at the end, so that it leaves no entry in the lease."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "registryctl", *words, "--stack", program.stack.name),
        cwd=program.folder,
        env=program.stack.workspace.env_vars,
        stdout=PIPE,
        stderr=STDOUT,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.send_signal(signal.SIGINT)
        await process.communicate()


async def says(process: Process, start: str) -> str:
    """The next line that starts so."""
    assert process.stdout
    before = ""
    async for line in process.stdout:
        if line.decode().startswith(start):
            return line.decode()
        before += line.decode()
    pytest.fail(f"it ended with: {before}")


async def garbage(settings: Settings) -> str:
    """The digest of an image of which nothing is left once garbage is collected."""
    async with pushing(settings) as registry:
        old = await registry.put_image("garbage", "old", probe_config(settings.platform), os.urandom(1000))
        await registry.put_image("garbage", "new", probe_config(settings.platform), b"newer")
        return old


class TestWaiting:
    async def test_a_push_waits_for_a_collection_says_for_whom_and_does_not_listen(self, settings: Settings) -> None:
        told, path = asyncio.Event(), PushPath(settings)

        def say(words: str) -> None:
            if words.startswith(f"waiting for {GC} of "):
                told.set()

        async with asyncio.timeout(LONG_SECONDS), open_client(settings) as kube, asyncio.TaskGroup() as group:
            async with lease_held(kube, GC, alone=True, say=say):
                taking = group.create_task(path.take("push", lambda _, words: say(words)))
                await told.wait()
                assert not taking.done()
                assert is_free(settings.push_port)
            await taking
            assert [holder.alone for holder in (await lease_holders(kube)).values()] == [False]
            await path.give_back("push")
            assert await lease_holders(kube) == {}

    async def test_the_verb_tunnel_refuses_a_put_until_the_collection_has_ended(
        self, settings: Settings, deployed: Program
    ) -> None:
        async with asyncio.timeout(LONG_SECONDS), open_client(settings) as kube:
            async with lease_held(kube, GC, alone=True, say=print), verb(deployed, "tunnel") as process:
                await says(process, f"waiting for {GC} of ")
                with pytest.raises(urllib.error.URLError, match="refused"):
                    push_blob(settings.push_port)
            async with verb(deployed, "tunnel") as process:
                await says(process, "open: ")
                await asyncio.to_thread(push_blob, settings.push_port)
                assert [holder.alone for holder in (await lease_holders(kube)).values()] == [False]

    async def test_so_does_the_verb_preflight(self, settings: Settings, deployed: Program) -> None:
        async with asyncio.timeout(LONG_SECONDS), open_client(settings) as kube, AsyncExitStack() as started:
            async with lease_held(kube, GC, alone=True, say=print):
                process = await started.enter_async_context(verb(deployed, "preflight"))
                await says(process, f"waiting for {GC} of ")
            await says(process, "2 of 2 nodes can pull ")

    async def test_who_only_reads_neither_waits_nor_writes(self, settings: Settings, deployed: Program) -> None:
        async with open_client(settings) as kube:
            async with asyncio.timeout(LONG_SECONDS), lease_held(kube, GC, alone=True, say=print):
                done = await asyncio.to_thread(deployed.registryctl, "doctor")
                assert done.returncode == 0, done.stdout
                assert len(await lease_holders(kube)) == 1
            async with open_tunnel(kube, 0, None, seconds=20) as tunnel:
                with pytest.raises(urllib.error.HTTPError, match="405"):
                    await asyncio.to_thread(push_blob, tunnel.port)

    async def test_a_collection_waits_for_every_push(self, settings: Settings, deployed: Program) -> None:
        said, old = list[str](), await garbage(settings)
        async with asyncio.timeout(LONG_SECONDS), open_client(settings) as kube, AsyncExitStack() as pushes:
            for doing in ("pulumi up", "registryctl tunnel"):
                await pushes.enter_async_context(lease_held(kube, doing, alone=False, say=said.append))
            assert said == []  # they do not wait for one another
            async with verb(deployed, "gc", "--keep", "1", "--yes") as collecting:
                line = await says(collecting, "waiting for pulumi up of ")
                assert ", registryctl tunnel of " in line
                assert await is_there(settings, old)
                await pushes.aclose()
                await says(collecting, "removing unused blobs")
                assert await collecting.wait() == 0
        assert not await is_there(settings, old)


class TestLost:
    async def test_a_push_that_slept_while_a_collection_went_on_is_cut_before_its_next_byte(
        self, settings: Settings, deployed: Program
    ) -> None:
        blob, old = os.urandom(100_000), await garbage(settings)
        async with asyncio.timeout(LONG_SECONDS), verb(deployed, "tunnel") as tunnel:
            await says(tunnel, "open: ")
            reader, writer = await asyncio.open_connection("127.0.0.1", settings.push_port)
            place = await asyncio.to_thread(begin_upload, settings.push_port)
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            head = f"Host: localhost:{settings.push_port}\r\nContent-Length: {len(blob)}\r\n\r\n"
            writer.write(f"PUT {place}&digest={digest} HTTP/1.1\r\n{head}".encode() + blob[:50_000])
            await writer.drain()
            tunnel.send_signal(signal.SIGSTOP)
            writer.write(blob[50_000:])
            async with verb(deployed, "gc", "--keep", "1", "--yes") as collecting:
                assert await collecting.wait() == 0
            assert not await is_there(settings, old)
            tunnel.send_signal(signal.SIGCONT)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert tunnel.stdout
            told = (await tunnel.stdout.read()).decode()  # before its last line, perhaps that a request took too long
            assert "was not renewed in time" in told
            assert await tunnel.wait() == 1
            async with open_client(settings) as kube, open_door(kube, None) as registry:
                assert await registry.blob_length("by/hand", digest) is None

    async def test_what_is_pushed_without_the_lease_during_a_collection_stays(
        self, lab: Lab, settings: Settings, deployed: Program
    ) -> None:
        blob, keep, old = os.urandom(1000), Keep(newest=1), await garbage(settings)
        digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
        async with open_client(settings) as kube, open_door(kube, None) as registry:
            agreed = plan_gc(kube.where, await take_inventory(kube, []), keep)

            def say(words: str) -> None:
                if words.startswith("deleting "):
                    push_blob(port, blob)

            with port_forward(lab.cluster.kubeconfig) as port, pytest.raises(WrittenMeanwhileError) as raised:
                await collect(kube, [], keep, agreed, say)
            assert raised.value.count >= 2  # its bytes, and its link in the repository
            assert await registry.blob_length("by/hand", digest) == len(blob)
            assert not await is_there(settings, old)
        done = await asyncio.to_thread(deployed.registryctl, "gc", "--keep", "1", "--yes")  # as the error says
        assert done.returncode == 0, done.stdout + done.stderr
        assert " images and freed " in done.stdout

    async def test_an_update_takes_it_again_for_its_next_try(self, lab: Lab, settings: Settings) -> None:
        path = PushPath(settings)
        async with asyncio.timeout(LONG_SECONDS), open_client(settings) as kube:
            await path.take("push", print)
            lab.kubectl("delete", "lease", REGISTRY, "--namespace", NAMESPACE)

            async def is_cut() -> bool | None:
                try:
                    await asyncio.to_thread(begin_upload, settings.push_port)
                except OSError:
                    return True
                return None

            assert await poll(is_cut, seconds=30, pause=0.2)
            assert await path.recover("push", print)
            assert len(await lease_holders(kube)) == 1
            await asyncio.to_thread(push_blob, settings.push_port, os.urandom(1000))
            await path.give_back("push")


class TestDead:
    async def test_one_beside_a_push_needs_no_cure_and_the_push_goes_on(
        self, lab: Lab, settings: Settings, deployed: Program
    ) -> None:
        path, who = PushPath(settings), "registryctl tunnel of ada@laptop"
        async with asyncio.timeout(LONG_SECONDS), open_client(settings) as kube:
            await path.take("push", print)
            (mine,) = await lease_holders(kube)
            while not (await lease_holders(kube)).keys() >= {mine, "dead"}:  # a renewal may come between
                write_dead(lab, who)
            done = await asyncio.to_thread(deployed.registryctl, "doctor")
            dead, alive = (
                re.split(r"  +", line)
                for line in sorted(lease_lines(done.stdout), key=lambda line: who in line, reverse=True)
            )
            assert dead[0] == alive[0] == "ok"
            assert dead[2].startswith(f"{who} stopped ")
            assert "`" not in dead[2]

            async def removed() -> bool | None:
                return "dead" not in await lease_holders(kube) or None

            assert await poll(removed, seconds=60, pause=0.5)
            assert set(await lease_holders(kube)) == {mine}
            await asyncio.to_thread(push_blob, settings.push_port, os.urandom(1000))
            await path.give_back("push")

    async def test_a_collection_that_died_holds_up_the_next_push_for_half_a_minute_and_is_gone(
        self, lab: Lab, settings: Settings, deployed: Program
    ) -> None:
        write_dead(lab, f"{GC} of ada@laptop", alone=True)
        done = await asyncio.to_thread(deployed.registryctl, "doctor")
        assert done.returncode == 0, done.stdout
        (line,) = lease_lines(done.stdout)
        assert f"{GC} of ada@laptop stopped " in line
        said = list[str]()
        async with (
            asyncio.timeout(LONG_SECONDS),
            open_client(settings) as kube,
            lease_held(kube, "a test", alone=False, say=said.append),
        ):
            assert len(said) == 1
            assert "dead" not in await lease_holders(kube)


def lease_lines(page: str) -> list[str]:
    return [line for line in page.splitlines() if re.match(r"\S+ +lease  ", line)]


def write_dead(lab: Lab, who: str, *, alone: bool = False) -> None:
    """Add an entry of a holder that is dead to those of the lease."""
    found = json.loads(lab.kubectl("get", "lease", REGISTRY, "--namespace", NAMESPACE, "--output", "json"))
    entries = json.loads(found["metadata"]["annotations"]["kube-registry/holders"])
    entries["dead"] = {"who": who, "alone": alone, "renewed": "2026-01-01T00:00:00.000000Z"}
    made = json.dumps({"metadata": {"annotations": {"kube-registry/holders": json.dumps(entries)}}})
    lab.kubectl("patch", "lease", REGISTRY, "--namespace", NAMESPACE, "--type=merge", "--patch", made)


def begin_upload(port: int) -> str:
    """Where the bytes of a blob are to be put."""
    start = urllib.request.Request(f"http://localhost:{port}/v2/by/hand/blobs/uploads/", method="POST")
    with urllib.request.urlopen(start, timeout=10) as started:  # noqa: S310
        return str(started.headers["Location"]).removeprefix(f"http://localhost:{port}")


async def is_there(settings: Settings, digest: str) -> bool:
    """Whether an image of the repository `garbage` is there."""
    async with open_client(settings) as kube, open_door(kube, None) as registry:
        return await registry.manifest("garbage", digest) is not None


async def test_a_lease_that_cannot_be_read_is_deleted_by_the_command(
    lab: Lab, deployed: Program, settings: Settings
) -> None:
    async with open_client(settings) as kube:
        async with lease_held(kube, GC, alone=True, say=print):
            pass
        lab.kubectl("annotate", "lease", REGISTRY, "-n", NAMESPACE, "kube-registry/holders=edited", "--overwrite")
        with pytest.raises(LeaseUnreadableError) as raised:
            await lease_holders(kube)
        (line,) = commands_of(raised.value)
        await asyncio.to_thread(paste, line, deployed.folder, deployed.stack.workspace.env_vars)
        async with lease_held(kube, GC, alone=True, say=print):
            pass
