"""Limits that stop: by the log alone, at the same offset again, and the override for one run."""

from __future__ import annotations

import pytest
from msgspec.json import encode
from msgspec.structs import replace

from rebate_app.streams.errors import HaltError
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.streams.failures.limits import (
    CONSECUTIVE_MAX,
    PARKED_KEYS_MAX,
    WINDOW_LETTERS_MAX,
    WINDOW_RECORDS,
)
from rebate_app.streams.failures.record_kinds import PARKED_TOTALS_KEY, ParkedTotals
from tests.streams.failures.small_stream import DECISIONS, DLT, REFUSED, SmallStream


class Override:
    """A switch for the override, and the offset up to which an operator resumed."""

    def __init__(self) -> None:
        self.on = False
        self.through = -1

    def __call__(self) -> bool:
        """Whether it is on."""
        return self.on


@pytest.fixture
def override() -> Override:
    """Return an override that is off."""
    return Override()


@pytest.fixture
def stream(override: Override) -> SmallStream:
    """Return a stream with limits."""
    policy = FailurePolicy(
        decisions=DECISIONS,
        limited=True,
        overridden=override,
        resumed_through=lambda topic, partition: override.through,
    )
    return SmallStream(policy)


def mix(stream: SmallStream, records: int, every: int) -> None:
    """Send records of which every so-many-th is refused."""
    for number in range(1, records + 1):
        stream.send(b"u%d" % (number % 7), REFUSED if number % every == 0 else b"{}")


class TestConsecutive:
    """A hundred in a row are a bad deploy or a bad source, from the first record on."""

    @pytest.mark.parametrize("batch", [1, 13, 500])
    def test_the_hundredth_stops_and_everything_before_is_kept(self, stream: SmallStream, batch: int) -> None:
        """Also in the first 1,000 records; the 99 letters before can be looked at."""
        stream.send(b"u1")
        for _ in range(CONSECUTIVE_MAX + 20):
            stream.send(b"u1", REFUSED)
        halt = stream.run(batch)
        assert halt is not None
        assert halt.code == "dlq-limit"
        assert stream.done == CONSECUTIVE_MAX
        assert len(stream.to(DLT)) == CONSECUTIVE_MAX - 1
        assert stream.folded("u1") == [0]

    def test_it_stops_at_the_same_offset_again(self, stream: SmallStream) -> None:
        """The counters are kept with the state, so a restart does not forget them."""
        for _ in range(CONSECUTIVE_MAX):
            stream.send(b"u1", REFUSED)
        stops = []
        for batch in (40, 1, 99):
            assert isinstance(stream.run(batch), HaltError)
            stops.append(stream.done)
        assert stops == [CONSECUTIVE_MAX - 1] * 3

    def test_one_good_record_ends_the_row(self, stream: SmallStream) -> None:
        """99, a good one, and 99 more do not stop."""
        for _ in range(2):
            for _ in range(CONSECUTIVE_MAX - 1):
                stream.send(b"u1", REFUSED)
            stream.send(b"u1")
        assert stream.run() is None

    def test_our_bugs_count(self, stream: SmallStream) -> None:
        """A deploy that fails for everybody parks 99 keys and no more."""
        stream.broken = {b"u%d" % number for number in range(CONSECUTIVE_MAX)}
        for key in sorted(stream.broken):
            stream.send(key)
        halt = stream.run()
        assert halt is not None
        assert stream.totals.keys == CONSECUTIVE_MAX - 1

    def test_replays_do_not_count(self, stream: SmallStream) -> None:
        """Neither for nor against: what an operator sends again is no sign of a bad source."""
        for _ in range(CONSECUTIVE_MAX + 20):
            stream.send(b"u1", REFUSED, [("rebate-replay-of", b"source/0/1")])
        assert stream.run() is None
        assert len(stream.to(DLT)) == CONSECUTIVE_MAX + 20
        assert stream.window.seen == 0


class TestShare:
    """More than 5 % of the last 10,000, and at least 50."""

    def test_just_under_five_percent_goes_on(self, stream: SmallStream) -> None:
        """One in twenty is 5 %, and not more."""
        mix(stream, 3_000, 20)
        assert stream.run(400) is None

    def test_more_than_five_percent_stops(self, stream: SmallStream) -> None:
        """One in nineteen is; the sentence names the commonest reason and three places."""
        mix(stream, 3_000, 19)
        halt = stream.run(400)
        assert halt is not None
        assert stream.done > 1_000
        assert "most often unknown-kind" in str(halt)
        assert str(halt).count("source/0/") == 3

    def test_of_the_first_thousand_only_a_row_counts(self, stream: SmallStream) -> None:
        """Half of them may fail."""
        mix(stream, 1_000, 2)
        assert stream.run(400) is None

    def test_what_is_long_ago_is_forgotten(self, stream: SmallStream) -> None:
        """Dead letters beyond the last 10,000 records count no more, and memory has a bound."""
        mix(stream, 1_000, 2)
        for _ in range(WINDOW_RECORDS):
            stream.send(b"u1")
        assert stream.run(4_000) is None
        for _ in range(60):
            stream.send(b"u1", REFUSED)
        assert stream.run() is None
        assert len(stream.window.letters) == 60
        assert WINDOW_LETTERS_MAX == 501


class TestOverride:
    """One deliberate run."""

    def test_it_lets_through_what_would_stop(self, stream: SmallStream, override: Override) -> None:
        """While it is on nothing stops; afterwards a good record ends the row as ever."""
        for _ in range(CONSECUTIVE_MAX + 50):
            stream.send(b"u1", REFUSED)
        assert stream.run() is not None
        override.on = True
        assert stream.run() is None
        override.on = False
        stream.send(b"u1", REFUSED)
        assert stream.run() is not None
        override.on = True
        assert stream.run() is None
        stream.send(b"u1")
        override.on = False
        stream.send(b"u1", REFUSED)
        assert stream.run() is None


class TestResume:
    """An operator who has mended the cause."""

    @pytest.mark.parametrize("batch", [1, 50, 500])
    def test_counting_begins_anew_behind_it(
        self, stream: SmallStream, override: Override, batch: int
    ) -> None:
        """The record passes as a dead letter; the hundredth in a row after it halts again, no other one."""
        for _ in range(3 * CONSECUTIVE_MAX):
            stream.send(b"u1", REFUSED)
        halts = []
        while (halt := stream.run(batch)) is not None:
            halts.append(stream.done)
            override.through = stream.done
            assert halt.code == "dlq-limit"
        assert halts == [CONSECUTIVE_MAX - 1, 2 * CONSECUTIVE_MAX - 1, 3 * CONSECUTIVE_MAX - 1]
        assert len(stream.to(DLT)) == 3 * CONSECUTIVE_MAX

    def test_of_a_share_too(self, stream: SmallStream, override: Override) -> None:
        """The 5 % are counted anew, among all records that were seen."""
        mix(stream, 3_000, 19)
        assert stream.run(400) is not None
        override.through = stream.done
        assert stream.run(400) is None
        assert all(offset > override.through for _, offset, _ in stream.window.letters)

    def test_a_record_that_is_good_now(self, stream: SmallStream, override: Override) -> None:
        """The code was mended, not the sender: what failed before counts no more either."""
        for _ in range(CONSECUTIVE_MAX):
            stream.send(b"u1", REFUSED)
        assert stream.run() is not None
        stream.log[stream.done] = replace(stream.log[stream.done], value=b"{}")
        override.through = stream.done
        stream.send(b"u1", REFUSED)
        assert stream.run() is None
        assert (stream.window.consecutive, len(stream.window.letters)) == (1, 1)

    def test_everything_that_waits(self, stream: SmallStream, override: Override) -> None:
        """With `--waiting` nothing halts up to the end of then."""
        for _ in range(5 * CONSECUTIVE_MAX):
            stream.send(b"u1", REFUSED)
        assert stream.run() is not None
        override.through = len(stream.log) - 1
        assert stream.run() is None
        for _ in range(CONSECUTIVE_MAX):
            stream.send(b"u1", REFUSED)
        assert stream.run() is not None
        assert stream.done == len(stream.log) - 1

    def test_more_is_parked(self, stream: SmallStream, override: Override) -> None:
        """The record that the limit refused is parked, the next one halts again."""
        stream.store.apply({PARKED_TOTALS_KEY: encode(ParkedTotals(keys=PARKED_KEYS_MAX, records=5))}, 1)
        stream.broken = {b"u1", b"u2"}
        stream.send(b"u1")
        stream.send(b"u2")
        assert stream.run() is not None
        override.through = 0
        halt = stream.run()
        assert halt is not None
        assert (halt.code, stream.done, stream.totals.keys) == ("parked-limit", 1, PARKED_KEYS_MAX + 1)


class TestParked:
    """A partition bears so many parked keys and records, and no more."""

    def test_a_fold_without_a_worker_has_no_limit(self) -> None:
        """An audit folds what a worker parked under an override."""
        stream = SmallStream()
        stream.broken = {b"u1"}
        stream.send(b"u1")
        stream.run()
        stream.store.apply(
            {PARKED_TOTALS_KEY: encode(ParkedTotals(keys=PARKED_KEYS_MAX + 1, records=200_000))}, 1
        )
        stream.send(b"u1")
        assert stream.run() is None
        assert stream.totals.records == 200_001

    @pytest.mark.parametrize(
        "totals", [ParkedTotals(keys=PARKED_KEYS_MAX, records=5), ParkedTotals(keys=3, records=100_000)]
    )
    def test_one_more_stops(self, stream: SmallStream, totals: ParkedTotals) -> None:
        """Before the record that would be parked; others are still taken."""
        stream.store.apply({PARKED_TOTALS_KEY: encode(totals)}, 1)
        stream.broken = {b"u1"}
        stream.send(b"u2")
        stream.send(b"u1")
        halt = stream.run()
        assert halt is not None
        assert halt.code == "parked-limit"
        assert (stream.done, stream.folded("u2"), stream.folded("u1")) == (1, [0], [])
        assert not stream.to(DLT)
