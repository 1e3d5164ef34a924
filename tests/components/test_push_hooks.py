import asyncio

import pytest

from components import push_hooks
from kube_registry.errors import TookTooLongError
from kube_registry.limits import HOOK_SECONDS, TAKE_SECONDS


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
