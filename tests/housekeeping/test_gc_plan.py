"""What a collection removes: never what is used, never what something that stays needs."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_registry.errors import HERE
from kube_registry.housekeeping.errors import OtherDigestError
from kube_registry.housekeeping.gc_plan import Keep, plan, plan_gc
from kube_registry.housekeeping.inventory import Inventory
from kube_registry.housekeeping.manifests import Manifest
from kube_registry.housekeeping.usage import Use
from tests.housekeeping.stored import digest, image, index, listed

NOBODYS = Keep(newest=0)


class TestPlan:
    def test_what_nobody_uses_goes_with_all_that_is_its_own(self) -> None:
        used = [Use("app", "b", None, "Pod default/p", None)]
        stored, found = listed({"a": image("base", "x"), "b": image("base")}, {"a": ("a", 1), "b": ("b", 2)}, used)
        going = plan(stored, found, NOBODYS)
        assert [each.name for each in going.doomed] == ["app:a"]
        assert going.manifests == {"app": (digest("a"),)}
        assert going.freed == {digest("a"): 1, digest("x"): 10}

    def test_the_newest_that_have_a_tag_stay(self) -> None:
        stored, found = listed(
            {name: image(name * 2) for name in "abcd"}, {"new": ("a", 1), "mid": ("b", 2), "old": ("c", 3)}
        )
        going = plan(stored, found, Keep(newest=2))
        assert [each.name for each in going.doomed] == ["app:old", f"app@{digest('d')}"]

    def test_so_does_what_is_younger(self) -> None:
        stored, found = listed({"a": image("x"), "b": image("y")}, {"new": ("a", 6), "old": ("b", 8)})
        going = plan(stored, found, Keep(newest=0, younger_than=timedelta(days=7)))
        assert [each.name for each in going.doomed] == ["app:old"]

    def test_a_time_after_the_listing_keeps_nothing_that_may_be_new(self) -> None:
        """The time of the listing has whole seconds: an image pushed within that second is younger than nothing."""
        stored, found = listed({"a": image("x")}, {"v1": ("a", -1)})
        assert [each.name for each in plan(stored, found, NOBODYS).doomed] == ["app:v1"]
        assert not plan(stored, found, Keep(newest=0, younger_than=timedelta(seconds=1))).doomed

    def test_a_child_that_another_index_needs_stays(self) -> None:
        manifests = {"one": index("amd"), "two": index("amd", "arm"), "amd": image("x"), "arm": image("y")}
        stored, found = listed(manifests, {"one": ("one", 1), "two": ("two", 2)})
        going = plan(stored, found, Keep(newest=1))
        assert going.manifests == {"app": (digest("two"), digest("arm"))}
        assert digest("x") not in going.freed

    def test_a_tag_that_names_nothing_goes(self) -> None:
        stored, found = listed({"a": image("x")}, {"v1": ("a", 1), "lost": ("gone", 1)})
        assert plan(stored, found, Keep(newest=1)).tags == (("app", "lost"),)

    def test_blobs_of_a_push_that_never_ended_are_freed(self) -> None:
        stored, found = listed({"a": image("x")}, {"v1": ("a", 1)})
        stored.blobs[digest("stray")] = 5  # type: ignore[index]
        going = plan(stored, found, Keep(newest=1))
        assert (going.doomed, going.freed) == ((), {digest("stray"): 5})
        assert going.frees

    def test_nothing_but_what_was_agreed_upon_goes(self) -> None:
        stored, found = listed({"a": image("x"), "b": image("y")}, {"a": ("a", 1), "b": ("b", 1)})
        going = plan(stored, found, NOBODYS, among={found[0].key})
        assert [each.key for each in going.doomed] == [found[0].key]


NAMES = "abcdefgh"


@st.composite
def registries(draw: st.DrawFn) -> tuple[dict[str, object], dict[str, tuple[str, int]], list[Use]]:
    """Images that share layers, indexes over them, signatures of them; some with tags, some in use."""
    layers = st.lists(st.sampled_from("uvwxyz"), max_size=3)
    subjects = st.none() | st.sampled_from(NAMES)
    manifests: dict[str, object] = {
        name: image(*draw(layers), subject=draw(subjects)) for name in draw(st.sets(st.sampled_from(NAMES)))
    }
    for name in draw(st.sets(st.sampled_from(["ix", "iy"]))):
        manifests[name] = index(*draw(st.lists(st.sampled_from(NAMES), max_size=3)))
    names = st.sampled_from([*sorted(manifests), "gone"])
    tags = draw(st.dictionaries(st.sampled_from(["v1", "v2", "v3", "v4"]), st.tuples(names, st.integers(0, 30))))
    by_tag = [Use("app", tag, None, "Pod a/b", None) for tag in draw(st.sets(st.sampled_from(["v1", "v2"])))]
    by_digest = [Use("app", None, digest(name), "Pod a/c", None) for name in draw(st.sets(names, max_size=2))]
    return manifests, tags, by_tag + by_digest


@given(registries(), st.integers(0, 3), st.integers(0, 20))
def test_whatever_there_is_what_stays_is_whole(
    registry: tuple[dict[str, object], dict[str, tuple[str, int]], list[Use]], newest: int, days: int
) -> None:
    manifests, tags, uses = registry
    stored, found = listed(manifests, tags, uses)  # type: ignore[arg-type]
    going = plan(stored, found, Keep(newest, timedelta(days=days)))
    gone = {("app", each) for each in going.manifests.get("app", ())}
    staying = [each for each in found if each not in going.doomed]
    for each in staying:
        assert not each.manifests & gone
        assert not each.parts.keys() & going.freed.keys()
    there = {tag for tag, (name, _) in tags.items() if name in manifests}
    assert {tag for each in staying for tag in each.tags} >= {use.tag for use in uses} & there
    used = {("app", use.digest) for use in uses if ("app", use.digest) in stored.manifests}
    assert not used & gone
    assert gone == {key for each in going.doomed for key in each.manifests} - {
        key for each in staying for key in each.manifests
    }
    assert {key for each in found for key in each.manifests} == set(stored.manifests)


OTHER = Manifest({"sha512:" + "a" * 128: 10}, (), None, ("linux/amd64",))


def look_at(manifests: dict[str, Manifest], tags: dict[str, tuple[str, int]]) -> Inventory:
    stored, found = listed(manifests, tags)
    return Inventory(stored, {("app", digest(name)): each for name, each in manifests.items()}, tuple(found))


class TestOtherDigests:
    def test_an_image_that_stays_and_names_a_layer_by_sha512_stops_it(self) -> None:
        seen = look_at({"a": OTHER, "b": image("x")}, {"new": ("a", 1), "old": ("b", 2)})
        with pytest.raises(OtherDigestError) as refused:
            plan_gc(HERE, seen, Keep(newest=1))
        assert refused.value.images == (f"app@{digest('a')}",)

    def test_one_that_goes_does_not(self) -> None:
        seen = look_at({"a": OTHER, "b": image("x")}, {"new": ("b", 1), "old": ("a", 2)})
        assert plan_gc(HERE, seen, Keep(newest=1)).manifests == {"app": (digest("a"),)}


def test_how_old_an_image_is_counts_from_the_time_in_the_pod() -> None:
    seen = look_at(
        {"a": image("x"), "b": image("y"), "c": image("z")}, {"v3": ("a", 1), "v2": ("b", 2), "v1": ("c", 9)}
    )
    going = plan_gc(HERE, seen, Keep(newest=1, younger_than=timedelta(days=7)))  # by this machine's clock all are older
    assert [image.tags for image in going.doomed] == [("v1",)]
