"""The listing of a volume, as the pod prints it."""

from datetime import UTC, datetime, timedelta

import pytest

from kube_registry.housekeeping.volume_listing import Room, Tag, parse_listing

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
A, B = "a" * 64, "b" * 64
LISTING = f"""\
room 1769860800 /dev/sdb1 1024 256 768 25% /var/lib/registry
link 2026-01-31 12:00:00.000000000 +0000 repositories/team/app/_manifests/revisions/sha256/{A}/link
link 2026-01-31 14:00:00.123456789 +0200 repositories/team/app/_manifests/tags/v1/current/link
repositories/team/app/_manifests/tags/v1/current/link:sha256:{A}
blob 7 blobs/sha256/aa/{A}/data
blob 1048576 blobs/sha256/bb/{B}/data
"""


class TestListing:
    def test_it_tells_manifests_tags_blobs_and_room(self) -> None:
        storage = parse_listing(LISTING.splitlines())
        assert storage.room == Room(used=256 * 1024, free=768 * 1024)
        assert storage.listed == NOON
        assert storage.manifests == {("team/app", f"sha256:{A}"): NOON}
        assert storage.tags == {("team/app", "v1"): Tag(f"sha256:{A}", NOON + timedelta(microseconds=123456))}
        assert storage.blobs == {f"sha256:{A}": 7, f"sha256:{B}": 1048576}

    def test_a_volume_that_holds_nothing_yet_has_room_alone(self) -> None:
        storage = parse_listing(LISTING.splitlines()[:1])
        assert (storage.manifests, storage.tags, storage.blobs) == ({}, {}, {})

    def test_a_file_system_with_spaces_in_its_name_is_read_from_the_end(self) -> None:
        storage = parse_listing(["room 1769860800 //nas/my share 10 4 6 40% /var/lib/registry"])
        assert storage.room == Room(used=4096, free=6144)

    def test_an_upload_that_goes_on_and_other_files_are_passed_over(self) -> None:
        layer = f"link 2026-01-31 12:00:00 +0000 repositories/app/_layers/sha256/{A}/link\n"
        other = layer + "blob 3 blobs/sha256/aa/short/data\nnoise\n"
        assert parse_listing((LISTING + other).splitlines()) == parse_listing(LISTING.splitlines())

    def test_a_tag_that_was_pushed_meanwhile_was_pushed_at_that_time(self) -> None:
        listing = [line for line in LISTING.splitlines() if "current/link" not in line or ":sha256" in line]
        assert parse_listing(listing).tags == {("team/app", "v1"): Tag(f"sha256:{A}", NOON)}

    def test_one_without_room_is_refused(self) -> None:
        with pytest.raises(ValueError, match="used and free bytes"):
            parse_listing(["sh: df: not found"])
