import asyncio
from collections.abc import Collection
from typing import ClassVar

import pulumi
import pytest

from components import cluster_registry, push_hooks
from components.cluster_registry import ClusterRegistry
from components.registry_image import RegistryImage
from kube_registry.errors import TookTooLongError
from kube_registry.limits import HOOK_SECONDS, TAKE_SECONDS
from tests.components.test_program import PROGRAM, Monitor, Registered, described


class TestBounded:
    def test_what_takes_longer_than_its_bound_ends_in_one_sentence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(push_hooks, "HOOK_SECONDS", 0.01)

        async def wait_for_ever() -> None:
            async with push_hooks.bounded("waiting to push"):
                await asyncio.Event().wait()

        with pytest.raises(TookTooLongError) as raised:
            asyncio.run(wait_for_ever())
        assert str(raised.value) == "waiting to push timed out after 0 s. Fix: `pulumi up`"

    def test_the_bound_of_a_hook_is_more_than_all_the_waits_inside_it(self) -> None:
        assert sum(TAKE_SECONDS.values()) < HOOK_SECONDS


class Path:
    """Keeps what a hook asks a PushPath to remove."""

    asked: ClassVar[list[tuple[str | None, set[str]]]] = []
    reports_digests = True

    def __init__(self, *_: object) -> None:
        """Take what a PushPath takes."""

    async def read_back(self, *_: object) -> None:
        """Find everything stored."""

    async def give_back(self, _: str) -> None:
        """Close nothing."""

    async def remove_superseded(self, before: str | None, push_names: Collection[str]) -> None:
        self.asked.append((before, set(push_names)))


class TestSuperseded:
    @pytest.mark.parametrize("before", [None, "localhost:20001/app:1"], ids=["create", "update"])
    def test_it_is_what_the_resource_had_and_the_names_of_all_images_are_known(
        self, monkeypatch: pytest.MonkeyPatch, before: str | None
    ) -> None:
        monkeypatch.setattr(cluster_registry, "PushPath", Path)
        monkeypatch.setattr(Path, "asked", [])
        monkeypatch.chdir(PROGRAM.parent)

        def program() -> pulumi.Output[None]:
            registry = ClusterRegistry("images", kube_context="nowhere", push_port=20001)
            for name, args in ("one", {}), ("two", {"LANGUAGE": "en"}):
                RegistryImage(name, context="./app", registry=registry, repository="app", build_args=args)
            (hook,) = registry.push_hooks.after_update or []
            assert isinstance(hook, pulumi.ResourceHook)
            hook_args = pulumi.ResourceHookArgs(
                "urn:pulumi:dev::kube-registry::docker:index/image:Image::one",
                "",
                "one",
                "docker:index/image:Image",
                new_inputs={"imageName": "localhost:20001/app:2"},
                old_inputs={"imageName": before} if before else None,
                new_outputs={"repoDigest": "localhost:20001/app@sha256:2"},
            )
            return pulumi.Output.from_input(hook.callback(hook_args))

        with described(Monitor(Registered()), {}, program=program):
            pass
        ((asked, push_names),) = Path.asked
        assert asked == before
        assert len(push_names) == 2
        assert all(name.startswith("localhost:20001/app:") for name in push_names)
