"""Who of the lease's holders is alive, as one that waits for them can tell."""

from cluster.lease import DURATION_SECONDS, LOST_SECONDS, RENEW_SECONDS, Holder, Watch

MOMENT = DURATION_SECONDS / 10


def holder(renewed: str, *, alone: bool = False) -> Holder:
    return Holder("pulumi up of ada@laptop", alone, renewed)


class TestWatch:
    def test_one_that_is_seen_first_is_alive_whatever_its_clock_says(self) -> None:
        assert Watch().alive({"a": holder("1970-01-01T00:00:00Z")}, now=1000.0) != {}

    def test_one_that_gives_no_sign_of_life_is_dead_after_a_while(self) -> None:
        watch, holders = Watch(), {"a": holder("then")}
        watch.alive(holders, now=0.0)
        assert watch.alive(holders, now=DURATION_SECONDS - MOMENT) == holders
        assert watch.alive(holders, now=DURATION_SECONDS) == {}

    def test_one_that_gives_signs_of_life_is_not(self) -> None:
        watch = Watch()
        for second in range(0, 200, int(RENEW_SECONDS)):
            holders = {"a": holder(str(second))}
            assert watch.alive(holders, now=float(second)) == holders

    def test_one_that_came_back_is_looked_at_anew(self) -> None:
        watch, holders = Watch(), {"a": holder("then")}
        watch.alive(holders, now=0.0)
        watch.alive({}, now=DURATION_SECONDS)
        assert watch.alive(holders, now=2 * DURATION_SECONDS) == holders


class TestHolder:
    def test_those_that_share_bar_nobody_but_one_that_is_alone(self) -> None:
        shared, alone = holder("now"), holder("now", alone=True)
        assert not shared.bars(shared)
        assert shared.bars(alone)
        assert alone.bars(shared)
        assert alone.bars(alone)


def test_a_holder_stops_before_anybody_takes_it_for_dead() -> None:
    assert LOST_SECONDS + 2 * RENEW_SECONDS <= DURATION_SECONDS
