"""What belongs to an image, who uses it, and what is made of manifests that cannot be read."""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import cast

import pytest

from kube_registry.housekeeping import inventory
from kube_registry.housekeeping.gc_plan import Keep, plan
from kube_registry.housekeeping.inventory import Inventory, read_contents, unique_bytes
from kube_registry.housekeeping.manifests import Manifest
from kube_registry.housekeeping.protection import protections
from kube_registry.housekeeping.usage import Use
from kube_registry.housekeeping.volume_listing import Room, Storage
from kube_registry.kube.client import KubeClient
from kube_registry.registry.api import digest_of
from tests.housekeeping.stored import NOW, digest, image, index, listed, listed_in


def use(**by: str | None) -> Use:
    return Use(**{"repository": "app", "tag": None, "digest": None, "user": "Pod default/p", "node": "n1", **by})  # type: ignore[arg-type]


class TestImages:
    def test_an_index_and_its_children_are_one_image(self) -> None:
        _, (found,) = listed({"all": index("amd", "arm"), "amd": image("x"), "arm": image("y")}, {"v1": ("all", 1)})
        assert found.name == "app:v1"
        assert found.manifests == {("app", digest(name)) for name in ("all", "amd", "arm")}
        assert found.size == 3 * 1 + 2 * 10

    def test_a_child_that_has_a_tag_is_an_image_too(self) -> None:
        _, found = listed({"all": index("amd"), "amd": image("x")}, {"v1": ("all", 1), "v1-amd64": ("amd", 1)})
        assert {each.name for each in found} == {"app:v1", "app:v1-amd64"}

    def test_a_referrer_belongs_to_its_subject(self) -> None:
        _, (found,) = listed({"app": image("x"), "sig": image("s", subject="app")}, {"v1": ("app", 1)})
        assert ("app", digest("sig")) in found.manifests

    def test_so_does_one_that_is_told_by_its_tag(self) -> None:
        tag = digest("app").replace(":", "-") + ".sig"
        _, (found,) = listed({"app": image("x"), "sig": image("s")}, {"v1": ("app", 1), tag: ("sig", 0)})
        assert found.tags == ("v1",)
        assert ("app", digest("sig")) in found.manifests

    def test_a_referrer_whose_subject_is_gone_stands_for_itself(self) -> None:
        tag = digest("gone").replace(":", "-")
        _, (found,) = listed({"sig": image("s", subject="gone")}, {tag: ("sig", 1)})
        assert found.name == f"app:{tag}"

    @pytest.mark.parametrize(
        "signature", [(image("s"), digest("app").replace(":", "-") + ".sig"), (image("s", subject="app"), "any")]
    )
    def test_a_referrer_of_another_repository_stays_and_goes_with_its_subject(
        self, signature: tuple[Manifest, str]
    ) -> None:
        manifest, tag = signature
        repositories = {
            "app": ({"app": image("x"), "other": image("y")}, {"v1": ("app", 9), "v2": ("other", 1)}),
            "signatures": ({"sig": manifest}, {tag: ("sig", 8)} if "-" in tag else {}),
        }
        stored, found = listed_in(repositories, [use(tag="v1")])
        assert {each.name for each in found} == {"app:v1", "app:v2"}
        assert plan(stored, found, Keep(newest=1)).doomed == ()
        stored, found = listed_in(repositories)
        going = plan(stored, found, Keep(newest=1))
        assert going.manifests == {"app": (digest("app"),), "signatures": (digest("sig"),)}

    def test_a_referrer_of_two_repositories_stays_while_one_subject_does(self) -> None:
        signed = {"app": image("x")}
        tag = digest("app").replace(":", "-") + ".sig"
        repositories = {
            "app": (signed, {"v1": ("app", 1)}),
            "copy": (signed, {"v1": ("app", 1)}),
            "signatures": ({"sig": image("s")}, {tag: ("sig", 1)}),
        }
        stored, found = listed_in(repositories, [use(tag="v1")])
        assert plan(stored, found, Keep(newest=0)).manifests == {"copy": (digest("app"),)}

    def test_a_manifest_never_hangs_on_itself(self) -> None:
        tag = digest("app").replace(":", "-") + ".self"
        _, (found,) = listed({"app": image("x", subject="app")}, {tag: ("app", 1)})
        assert found.tags == (tag,)

    def test_manifests_that_hang_on_each_other_are_one_image(self) -> None:
        ring = {"all": Manifest({}, (digest("one"),), digest("one"), ()), "one": image("x")}
        _, (found,) = listed(ring, {})
        assert found.manifests == {("app", digest("all")), ("app", digest("one"))}
        tags = {digest(of).replace(":", "-"): (by, 1) for of, by in (("a", "b"), ("b", "a"))}
        _, (found,) = listed({"a": image("x"), "b": image("y")}, tags)
        assert found.manifests == {("app", digest("a")), ("app", digest("b"))}
        assert found.tags

    def test_the_newest_tag_names_it(self) -> None:
        _, (found,) = listed({"app": image("x")}, {"old": ("app", 9), "new": ("app", 1), "older": ("app", 20)})
        assert found.tags == ("new", "old", "older")

    def test_one_without_a_tag_is_named_by_its_digest(self) -> None:
        _, (found,) = listed({"app": image("x")}, {})
        assert found.name == f"app@{digest('app')}"


class TestUsers:
    def test_by_tag_it_is_what_the_tag_names_now(self) -> None:
        stored = {"old": image("x"), "new": image("y")}
        _, found = listed(stored, {"v1": ("new", 1), "v0": ("old", 2)}, [use(tag="v1")])
        assert {each.name: each.users for each in found} == {"app:v1": ("Pod default/p",), "app:v0": ()}

    def test_by_digest_of_a_child_it_is_the_index(self) -> None:
        stored = {"all": index("amd"), "amd": image("x")}
        _, (found,) = listed(stored, {"v1": ("all", 1)}, [use(digest=digest("amd"))])
        assert (found.users, found.nodes) == (("Pod default/p",), ("n1",))

    def test_one_of_another_repository_is_no_use(self) -> None:
        _, (found,) = listed({"app": image("x")}, {"v1": ("app", 1)}, [use(repository="web", tag="v1")])
        assert found.users == ()


class TestProtections:
    @pytest.mark.parametrize(
        ("pattern", "protected"),
        [
            ("app", {"app:v1", "app:v2"}),
            ("app:v1", {"app:v1"}),
            ("app:v*", {"app:v1", "app:v2"}),
            ("app:latest", {"app:v2"}),
            ("team/*", {"team/web:v1"}),
            ("*:v1", {"app:v1", "team/web:v1"}),
            ("web", set()),
            (f"app@{digest('a')}", {"app:v1"}),
            ("localhost:30500/app:v*", {"app:v1", "app:v2"}),
            ("localhost/team/web", {"team/web:v1"}),
            ("[::1]:30500/app:v1", {"app:v1"}),
            ("https://10.0.0.7:30500/team/*", {"team/web:v1"}),
            ("*.svc:5000/app:v1", {"app:v1"}),
            (f"localhost:30500/app:v2@{digest('a')}", {"app:v1"}),
            ("localhost:30500/web", set()),
            ("mirror/team/web", set()),
        ],
    )
    def test_a_pattern_covers_repositories_tags_and_digests(self, pattern: str, protected: set[str]) -> None:
        repositories = {
            "app": ({"a": image("x"), "b": image("y")}, {"v1": ("a", 9), "v2": ("b", 1), "latest": ("b", 2)}),
            "team/web": ({"w": image("z")}, {"v1": ("w", 1)}),
        }
        stored, found = listed_in(repositories, [], protections(pattern, "--protect"))
        assert {each.name for each in found if each.users == (f"protected by --protect {pattern}",)} == protected
        assert {each.name for each in plan(stored, found, Keep(newest=0)).doomed} == {
            each.name for each in found if each.name not in protected
        }

    @pytest.mark.parametrize(
        "pattern",
        ["signatures", "signatures:*.sig", f"signatures@{digest('sig')}", f"app@{digest('amd')}", "app:amd64"],
    )
    def test_one_of_a_child_or_a_referrer_keeps_the_image(self, pattern: str) -> None:
        tag = digest("amd").replace(":", "-") + ".sig"
        repositories = {
            "app": ({"all": index("amd"), "amd": image("x")}, {"v1": ("all", 9), "amd64": ("amd", 9)}),
            "signatures": ({"sig": image("s")}, {tag: ("sig", 1)}),
        }
        stored, found = listed_in(repositories, [], protections(pattern, "--protect it"))
        assert plan(stored, found, Keep(newest=0)).doomed == ()


class TestUniqueBytes:
    def test_what_two_need_is_of_neither_alone(self) -> None:
        _, found = listed({"a": image("base", "x"), "b": image("base")}, {"a": ("a", 1), "b": ("b", 1)})
        unique = unique_bytes(found)
        assert {each.name: unique[each.key] for each in found} == {"app:a": 11, "app:b": 1}


BODY = b"{}"
KEPT, GONE = digest_of(BODY), digest("gone")


@dataclass(frozen=True)
class Door:
    """A door of a registry that has one manifest."""

    async def manifest(self, _repository: str, reference: str) -> bytes | None:
        return BODY if reference == KEPT else None


def listing(*digests: str) -> Storage:
    return Storage(room=Room(0, 0), listed=NOW, manifests={("app", each): NOW for each in digests}, tags={}, blobs={})


async def seen(monkeypatch: pytest.MonkeyPatch, *listings: Storage) -> Inventory:
    """A look at a volume that is listed so, one after the other."""
    following = iter(listings)

    async def read_storage(_kube: KubeClient) -> Storage:
        return next(following)

    monkeypatch.setattr(inventory, "read_storage", read_storage)
    monkeypatch.setattr(inventory, "open_door", lambda _kube, _lease: nullcontext(Door()))
    return await read_contents(cast("KubeClient", None))


@pytest.mark.anyio
async def test_a_manifest_that_was_removed_after_it_was_listed_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await seen(monkeypatch, listing(KEPT, GONE), listing(KEPT))).manifests.keys() == {("app", KEPT)}


@pytest.mark.anyio
async def test_one_that_is_still_listed_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await seen(monkeypatch, listing(GONE), listing(GONE))).manifests == {("app", GONE): None}


@pytest.mark.anyio
async def test_a_registry_that_is_whole_is_listed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await seen(monkeypatch, listing(KEPT))).manifests["app", KEPT]
