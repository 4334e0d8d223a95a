"""Limits that stop: by the log alone, at the same offset again, and the override for one run."""

from __future__ import annotations

import pytest
from msgspec.json import encode

from agents.guarded import FailurePolicy
from agents.limits import CONSECUTIVE_MAX, LETTERS_KEPT, PARKED_KEYS_MAX, WINDOW_RECORDS
from rebate_app.lane.failures import HaltError
from tables.parking import TALLY_KEY, Tally
from tests.failures.small_lane import DECISIONS, DLT, REFUSED, SmallLane


class Override:
    """A switch for the override."""

    def __init__(self) -> None:
        self.on = False

    def __call__(self) -> bool:
        """Whether it is on."""
        return self.on


@pytest.fixture
def override() -> Override:
    """Return an override that is off."""
    return Override()


@pytest.fixture
def lane(override: Override) -> SmallLane:
    """Return a lane with limits."""
    return SmallLane(FailurePolicy(decisions=DECISIONS, limited=True, overridden=override))


def mix(lane: SmallLane, records: int, every: int) -> None:
    """Send records of which every so-many-th is refused."""
    for number in range(1, records + 1):
        lane.send(b"u%d" % (number % 7), REFUSED if number % every == 0 else b"{}")


class TestConsecutive:
    """A hundred in a row are a bad deploy or a bad source, from the first record on."""

    @pytest.mark.parametrize("chunk", [1, 13, 500])
    def test_the_hundredth_stops_and_everything_before_is_kept(self, lane: SmallLane, chunk: int) -> None:
        """Also in the first 1,000 records; the 99 letters before can be looked at."""
        lane.send(b"u1")
        for _ in range(CONSECUTIVE_MAX + 20):
            lane.send(b"u1", REFUSED)
        halt = lane.run(chunk)
        assert halt is not None
        assert (halt.code, halt.exit_code) == ("dlq-limit", 75)
        assert lane.done == CONSECUTIVE_MAX
        assert len(lane.to(DLT)) == CONSECUTIVE_MAX - 1
        assert lane.folded("u1") == [0]

    def test_it_stops_at_the_same_offset_again(self, lane: SmallLane) -> None:
        """The counters are kept with the state, so a restart does not forget them."""
        for _ in range(CONSECUTIVE_MAX):
            lane.send(b"u1", REFUSED)
        stops = []
        for chunk in (40, 1, 99):
            assert isinstance(lane.run(chunk), HaltError)
            stops.append(lane.done)
        assert stops == [CONSECUTIVE_MAX - 1] * 3

    def test_one_good_record_ends_the_row(self, lane: SmallLane) -> None:
        """99, a good one, and 99 more do not stop."""
        for _ in range(2):
            for _ in range(CONSECUTIVE_MAX - 1):
                lane.send(b"u1", REFUSED)
            lane.send(b"u1")
        assert lane.run() is None

    def test_our_bugs_count(self, lane: SmallLane) -> None:
        """A deploy that fails for everybody parks 99 keys and no more."""
        lane.broken = {b"u%d" % number for number in range(CONSECUTIVE_MAX)}
        for key in sorted(lane.broken):
            lane.send(key)
        halt = lane.run()
        assert halt is not None
        assert lane.tally.keys == CONSECUTIVE_MAX - 1

    def test_replays_do_not_count(self, lane: SmallLane) -> None:
        """Neither for nor against: what an operator sends again is no sign of a bad source."""
        for _ in range(CONSECUTIVE_MAX + 20):
            lane.send(b"u1", REFUSED, [("rebate-replay-of", b"source/0/1")])
        assert lane.run() is None
        assert len(lane.to(DLT)) == CONSECUTIVE_MAX + 20
        assert lane.watch.seen == 0


class TestShare:
    """More than 5 % of the last 10,000, and at least 50."""

    def test_just_under_five_percent_goes_on(self, lane: SmallLane) -> None:
        """One in twenty is 5 %, and not more."""
        mix(lane, 3_000, 20)
        assert lane.run(400) is None

    def test_more_than_five_percent_stops(self, lane: SmallLane) -> None:
        """One in nineteen is; the sentence names the commonest reason and three places."""
        mix(lane, 3_000, 19)
        halt = lane.run(400)
        assert halt is not None
        assert lane.done > 1_000
        assert "most often unknown-kind" in str(halt)
        assert str(halt).count("source/0/") == 3

    def test_of_the_first_thousand_only_a_row_counts(self, lane: SmallLane) -> None:
        """Half of them may fail."""
        mix(lane, 1_000, 2)
        assert lane.run(400) is None

    def test_what_is_long_ago_is_forgotten(self, lane: SmallLane) -> None:
        """Dead letters beyond the last 10,000 records count no more, and memory has a bound."""
        mix(lane, 1_000, 2)
        for _ in range(WINDOW_RECORDS):
            lane.send(b"u1")
        assert lane.run(4_000) is None
        for _ in range(60):
            lane.send(b"u1", REFUSED)
        assert lane.run() is None
        assert len(lane.watch.letters) == 60
        assert LETTERS_KEPT == 501


class TestOverride:
    """One deliberate run."""

    def test_it_lets_through_what_would_stop(self, lane: SmallLane, override: Override) -> None:
        """While it is on nothing stops; afterwards a good record ends the row as ever."""
        for _ in range(CONSECUTIVE_MAX + 50):
            lane.send(b"u1", REFUSED)
        assert lane.run() is not None
        override.on = True
        assert lane.run() is None
        override.on = False
        lane.send(b"u1", REFUSED)
        assert lane.run() is not None
        override.on = True
        assert lane.run() is None
        lane.send(b"u1")
        override.on = False
        lane.send(b"u1", REFUSED)
        assert lane.run() is None


class TestParked:
    """A partition bears so many parked keys and records, and no more."""

    def test_a_fold_without_a_worker_has_no_limit(self) -> None:
        """An audit folds what a worker parked under an override."""
        lane = SmallLane()
        lane.broken = {b"u1"}
        lane.send(b"u1")
        lane.run()
        lane.store.apply({TALLY_KEY: encode(Tally(keys=PARKED_KEYS_MAX + 1, records=200_000))}, 1)
        lane.send(b"u1")
        assert lane.run() is None
        assert lane.tally.records == 200_001

    @pytest.mark.parametrize(
        "tally", [Tally(keys=PARKED_KEYS_MAX, records=5), Tally(keys=3, records=100_000)]
    )
    def test_one_more_stops(self, lane: SmallLane, tally: Tally) -> None:
        """Before the record that would be parked; others are still taken."""
        lane.store.apply({TALLY_KEY: encode(tally)}, 1)
        lane.broken = {b"u1"}
        lane.send(b"u2")
        lane.send(b"u1")
        halt = lane.run()
        assert halt is not None
        assert halt.code == "parked-limit"
        assert (lane.done, lane.folded("u2"), lane.folded("u1")) == (1, [0], [])
        assert not lane.to(DLT)
