"""What a collection would remove: what is old by the pod's clock, and nothing that harms what stays."""

from datetime import timedelta

import pytest

from kube_registry.errors import HERE
from kube_registry.housekeeping.errors import OtherDigestError
from kube_registry.housekeeping.gc import draw_up
from kube_registry.housekeeping.gc_plan import Keep
from kube_registry.housekeeping.inventory import Look
from kube_registry.housekeeping.manifests import Manifest
from tests.housekeeping.stored import digest, image, listed

OTHER = Manifest({"sha512:" + "a" * 128: 10}, (), None, ("linux/amd64",))


def look_at(manifests: dict[str, Manifest], tags: dict[str, tuple[str, int]]) -> Look:
    stored, found = listed(manifests, tags)
    return Look(stored, {"app": {digest(name): each for name, each in manifests.items()}}, tuple(found))


class TestOtherDigests:
    def test_an_image_that_stays_and_names_a_layer_by_sha512_stops_it(self) -> None:
        seen = look_at({"a": OTHER, "b": image("x")}, {"new": ("a", 1), "old": ("b", 2)})
        with pytest.raises(OtherDigestError) as refused:
            draw_up(HERE, seen, Keep(newest=1))
        assert refused.value.images == (f"app@{digest('a')}",)

    def test_one_that_goes_does_not(self) -> None:
        seen = look_at({"a": OTHER, "b": image("x")}, {"new": ("b", 1), "old": ("a", 2)})
        assert draw_up(HERE, seen, Keep(newest=1)).manifests == {"app": (digest("a"),)}


def test_how_old_an_image_is_counts_from_the_time_in_the_pod() -> None:
    seen = look_at(
        {"a": image("x"), "b": image("y"), "c": image("z")}, {"v3": ("a", 1), "v2": ("b", 2), "v1": ("c", 9)}
    )
    going = draw_up(HERE, seen, Keep(newest=1, younger_than=timedelta(days=7)))  # by this machine's clock all are older
    assert [image.tags for image in going.doomed] == [("v1",)]
