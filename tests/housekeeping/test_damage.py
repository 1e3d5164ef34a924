"""What is named to be taken away: never bytes that are right, never what nobody could read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube_registry.housekeeping.damage import Part, judge
from tests.housekeeping.stored import digest

BLOB = Part("app", digest("layer"), is_manifest=False, size=10)
MANIFEST = Part("app", digest("manifest"), is_manifest=True, size=10)
STATES = st.sampled_from(["right", "wrong", "missing", "unreadable"])


@pytest.mark.parametrize(
    ("held", "linked", "words", "files"),
    [
        ("missing", "right", "is missing", []),
        ("wrong", "right", "has other bytes", ["blobs"]),
        ("wrong", "missing", "has other bytes", ["blobs"]),
        ("right", "missing", "is not linked in repository app", []),
        ("right", "wrong", "has a broken link in repository app", ["repositories"]),
        ("unreadable", "right", "cannot be read from the volume; check the disk of its node", []),
    ],
)
def test_what_a_blobs_files_tell(held: str, linked: str, words: str, files: list[str]) -> None:
    found = judge(BLOB, 10, held, linked)
    assert found
    assert found.words == words
    assert [file.split("/")[7] for file in found.files] == files


def test_a_blob_of_another_length_tells_both() -> None:
    found = judge(BLOB, 7, "wrong", "right")
    assert found
    assert found.words == "has 7 of 10 bytes"


def test_a_manifest_whose_bytes_are_gone_leaves_no_link_at_which_a_collection_stops() -> None:
    for held in ("missing", "wrong"):
        found = judge(MANIFEST, 0, held, "right")
        assert found
        assert found.files[-1].endswith(f"_manifests/revisions/sha256/{MANIFEST.digest[7:]}")


@given(st.sampled_from([BLOB, MANIFEST]), STATES, STATES)
def test_bytes_go_only_if_they_are_wrong_and_a_link_only_if_it_leads_nowhere(
    part: Part, held: str, linked: str
) -> None:
    found = judge(part, 10, held, linked)
    files = found.files if found else ()
    assert (found is None) == (held == linked == "right")
    assert any("/blobs/" in file for file in files) <= (held == "wrong")
    assert any("/repositories/" in file for file in files) <= (linked == "wrong" or held in ("missing", "wrong"))
    if "unreadable" in (held, linked):
        assert not files
