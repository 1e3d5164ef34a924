"""What belongs to an image, and who uses it."""

from housekeeping.images import unique_bytes
from housekeeping.usage import Use
from tests.housekeeping.stored import digest, image, index, listed


def use(**by: str | None) -> Use:
    return Use(**{"repository": "app", "tag": None, "digest": None, "user": "Pod default/p", "node": "n1", **by})  # type: ignore[arg-type]


class TestImages:
    def test_an_index_and_its_children_are_one_image(self) -> None:
        _, (found,) = listed({"all": index("amd", "arm"), "amd": image("x"), "arm": image("y")}, {"v1": ("all", 1)})
        assert found.name == "app:v1"
        assert found.manifests == {digest("all"), digest("amd"), digest("arm")}
        assert found.size == 3 * 1 + 2 * 10

    def test_a_child_that_has_a_tag_is_an_image_too(self) -> None:
        _, found = listed({"all": index("amd"), "amd": image("x")}, {"v1": ("all", 1), "v1-amd64": ("amd", 1)})
        assert {each.name for each in found} == {"app:v1", "app:v1-amd64"}

    def test_a_referrer_belongs_to_its_subject(self) -> None:
        _, (found,) = listed({"app": image("x"), "sig": image("s", subject="app")}, {"v1": ("app", 1)})
        assert digest("sig") in found.manifests

    def test_so_does_one_that_is_told_by_its_tag(self) -> None:
        tag = digest("app").replace(":", "-") + ".sig"
        _, (found,) = listed({"app": image("x"), "sig": image("s")}, {"v1": ("app", 1), tag: ("sig", 0)})
        assert found.tags == ("v1",)
        assert digest("sig") in found.manifests

    def test_a_referrer_whose_subject_is_gone_stands_for_itself(self) -> None:
        tag = digest("gone").replace(":", "-")
        _, (found,) = listed({"sig": image("s", subject="gone")}, {tag: ("sig", 1)})
        assert found.name == f"app:{tag}"

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


class TestUniqueBytes:
    def test_what_two_need_is_of_neither_alone(self) -> None:
        _, found = listed({"a": image("base", "x"), "b": image("base")}, {"a": ("a", 1), "b": ("b", 1)})
        unique = unique_bytes(found)
        assert {each.name: unique[each.key] for each in found} == {"app:a": 11, "app:b": 1}
