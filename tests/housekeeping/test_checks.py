"""What a doctor's checks make of what they have read, and the rights that all of them together need."""

from datetime import timedelta

import pytest

from housekeeping.checks import RIGHTS, age, judge_room
from housekeeping.storage import Room
from tests.e2e.access import HOUSEKEEPER, granted

GB = 10**9


def test_a_volume_is_full_before_the_last_byte() -> None:
    assert judge_room(Room(used=8 * GB, free=2 * GB)).words == "80% of 10.0 GB are used"
    line = judge_room(Room(used=9 * GB, free=1 * GB))
    assert line.well is False
    assert "`python -m registryctl gc`" in line.words


@pytest.mark.parametrize(
    ("of", "told"),
    [
        (timedelta(seconds=-3), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=90), "1 h"),
        (timedelta(days=2, hours=5), "2 d"),
    ],
)
def test_an_age_is_told_in_one_unit(of: timedelta, told: str) -> None:
    assert age(of) == told


def test_the_rights_that_are_asked_for_are_those_that_a_housekeeper_is_granted() -> None:
    assert {(right.verb, right.resource) for right in RIGHTS} == granted(HOUSEKEEPER)
