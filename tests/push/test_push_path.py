"""What a push path does by itself: who holds the tunnel, and how often one tries. tests/e2e has it on real clusters."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from kube_registry.docker_daemon.errors import LocalTagError
from kube_registry.errors import HERE
from kube_registry.limits import PUSH_TRIES
from kube_registry.push.push_path import PushPath
from kube_registry.registry.errors import NotReadyError
from kube_registry.spec.phases import Phase, Say
from kube_registry.spec.settings import RegistrySettings

SETTINGS = RegistrySettings.parse({"kubeContext": "nowhere"}, project="p", stack="s")
STUCK = "localhost:21000/app:3"
MADE = """
import asyncio, sys
from kube_registry.push.push_path import PushPath
from kube_registry.spec.settings import RegistrySettings

settings = RegistrySettings.parse({"kubeContext": "c", "kubeconfig": "/nowhere/config"}, project="p", stack="s")
path = PushPath(settings, {"DOCKER_HOST": "tcp://nowhere:1"}, {"credsStore": "none"})
print(sorted({"aiohttp", "docker", "pulumi"} & sys.modules.keys()))
try:
    asyncio.run(path.ready(lambda *_: None))
except Exception as error:
    print(type(error).__name__)
print(sorted({"aiohttp", "docker", "requests", "kube_registry.docker_daemon.reach"} & sys.modules.keys()))
"""


class Cluster:
    """Answers in a PushSession's place, and remembers what it was asked."""

    trouble = None

    def __init__(self, *, runs: bool = True) -> None:
        self.runs = runs
        self.is_open = False
        self.asked: list[str] = []

    async def wait_ready(self, _: Say) -> None:
        self.asked.append("ready")
        if not self.runs:
            raise NotReadyError(where=HERE, reason="no node", seconds=1)

    async def open(self, _: Say) -> bool:
        opened, self.is_open = not self.is_open, True
        self.asked += ["open"] if opened else []
        return opened

    async def close(self) -> None:
        self.is_open = False
        self.asked.append("close")

    async def prove_writable(self) -> None:
        self.asked.append("prove")

    async def remove_local_tag(self, name: str) -> None:
        self.asked.append(f"remove {name}")
        if name == STUCK:
            raise LocalTagError(host="unix:///docker.sock", name=name, reason="Read timed out")


def push_path(cluster: Cluster, settings: RegistrySettings = SETTINGS) -> PushPath:
    path = PushPath(settings)
    vars(path)["_session"] = cluster
    return path


def say(_: Phase, __: str) -> None:
    """Show nothing."""


def test_it_is_made_without_a_kubeconfig_and_without_what_talks_to_a_cluster() -> None:
    """An update that pushes nothing checks that the registry is ready, and needs no client of the Docker daemon."""
    checkout = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", MADE], cwd=checkout, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["[]", "KubeconfigError", "['aiohttp']"]


def test_the_first_holder_opens_the_tunnel_and_the_last_one_closes_it() -> None:
    async def push() -> None:
        path = push_path(cluster)
        await path.take("one", say)
        await path.take("other", say)
        await path.give_back("one")
        assert cluster.asked == ["ready", "open"]
        await path.give_back("other")

    cluster = Cluster()
    asyncio.run(push())
    assert cluster.asked == ["ready", "open", "close"]


def test_a_registry_that_does_not_run_is_asked_once_and_again_when_a_push_has_failed() -> None:
    async def push() -> None:
        path = push_path(cluster)
        for holder in ("one", "other"):
            with pytest.raises(NotReadyError):
                await path.take(holder, say)
        assert cluster.asked == ["ready"]
        cluster.runs = True
        assert await path.recover("one", say)

    cluster = Cluster(runs=False)
    asyncio.run(push())
    assert cluster.asked == ["ready", "ready", "open"]


def test_each_image_is_pushed_a_number_of_times_in_all_and_the_tunnel_is_proven_each_time() -> None:
    async def push() -> list[bool]:
        path = push_path(cluster)
        await path.take("one", say)
        return [await path.recover("one", say) for _ in range(PUSH_TRIES)] + [await path.recover("other", say)]

    cluster = Cluster()
    assert asyncio.run(push()) == [*[True] * (PUSH_TRIES - 1), False, True]
    assert cluster.asked.count("prove") == PUSH_TRIES


@pytest.mark.parametrize(
    ("before", "push_names", "removed"),
    [
        ("localhost:21000/app:1", {"localhost:21000/app:2"}, ["remove localhost:21000/app:1"]),
        ("localhost:21000/app:1", {"localhost:21000/app:1", "localhost:21000/app:2"}, []),
        (None, {"localhost:21000/app:2"}, []),
    ],
    ids=["superseded", "another image has it", "a new image"],
)
def test_the_tag_of_the_previous_build_is_removed_unless_an_image_has_it(
    before: str | None, push_names: set[str], removed: list[str]
) -> None:
    cluster = Cluster()
    assert asyncio.run(push_path(cluster).remove_superseded(before, push_names)) is None
    assert cluster.asked == removed


def test_the_setting_keeps_the_tag() -> None:
    cluster = Cluster()
    kept = SETTINGS.model_copy(update={"keep_local_tags": True})
    assert asyncio.run(push_path(cluster, kept).remove_superseded("localhost:21000/app:1", ())) is None
    assert cluster.asked == []


def test_a_daemon_that_does_not_remove_a_tag_is_a_remark_and_fails_nothing() -> None:
    remark = asyncio.run(push_path(Cluster()).remove_superseded(STUCK, ()))
    assert remark
    assert "Read timed out" in remark
    assert remark.endswith(f"Fix: `docker rmi {STUCK}`")
