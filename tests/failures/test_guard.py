"""The guard: what fails leaves no trace in the state, and everything of it in its dead letter."""

from __future__ import annotations

import pytest

from agents.dead_letters import DETAIL_BYTES_MAX, TRACE_BYTES_MAX, Imprint, failure_of
from agents.guarded import FailurePolicy
from rebate_app.wire.events import DeadLetterOpened, decode_event
from rebate_app.wire.failure_headers import texts_of

from .small_lane import BUG, DECISIONS, DLT, EVENTS, FIRST, PARKED, REFUSED, SENT, TOLD, SmallLane

IMPRINT = Imprint("1.2.3", "abc", "http://w1", lambda: 1_700_000_000_000_000)


@pytest.fixture
def lane() -> SmallLane:
    """Return a lane with a worker's name on what it writes."""
    return SmallLane(FailurePolicy(decisions=DECISIONS, imprint=IMPRINT))


class TestDeadLetters:
    """A dead letter is the record as it came, and why."""

    def test_raw_record_and_every_header(self, lane: SmallLane) -> None:
        """Key, value, timestamp, partition and own headers are untouched; ours say all there is to say."""
        offset = lane.send(b"u1", REFUSED, [("x", b"\xff"), ("rebate-error-reason", b"forged")])
        lane.run()
        (letter,) = lane.to(DLT)
        assert (letter.key, letter.value, letter.partition) == (b"u1", REFUSED, 0)
        assert letter.timestamp_ms == lane.log[offset].timestamp
        assert letter.headers[0] == ("x", b"\xff")
        told = texts_of(letter.headers)
        at = told.pop("rebate-error-at")
        assert at == told.pop("rebate-error-first-at") == "2023-11-15T06:13:20+08:00"
        assert {name: text for name, text in told.items() if name != "x"} == {
            "rebate-error-reason": "unknown-kind",
            "rebate-error-detail": "it asks to be refused",
            "rebate-error-member": "kind",
            "rebate-error-stage": "decode",
            "rebate-error-topic": "source",
            "rebate-error-partition": "0",
            "rebate-error-offset": "0",
            "rebate-error-timestamp": "1000",
            "rebate-error-attempt": "1",
            "rebate-error-app-version": "1.2.3",
            "rebate-error-rules-hash": "abc",
            "rebate-error-worker": "http://w1",
            "rebate-error-app": "rebate",
        }
        assert len([name for name, _ in letter.headers if name == "rebate-error-reason"]) == 1

    def test_a_replay_that_fails_again_keeps_its_first_failure(self, lane: SmallLane) -> None:
        """The second letter says where it failed now, where first, when first, and how often."""
        carried = [
            ("rebate-replay-of", b"source/0/7"),
            ("rebate-replay-id", b"r1"),
            ("rebate-error-first-at", b"2020-01-01T00:00:00+08:00"),
            ("rebate-error-attempt", b"1"),
        ]
        lane.send(b"u1", REFUSED, carried)
        again = [("rebate-replay-of", b"source/0/0"), *carried[1:]]
        lane.send(b"u1", REFUSED, [*again, ("rebate-error-origin", b"source/0/7")])
        lane.run()
        first, second = (texts_of(letter.headers) for letter in lane.to(DLT))
        for told, offset in ((first, "0"), (second, "1")):
            assert told["rebate-error-offset"] == offset
            assert told["rebate-error-origin"] == "source/0/7"
            assert told["rebate-error-first-at"] == "2020-01-01T00:00:00+08:00"
            assert told["rebate-error-attempt"] == "2"
            assert told["rebate-replay-id"] == "r1"

    def test_our_bug_says_where_and_no_values(self, lane: SmallLane) -> None:
        """Type, places and names of functions; not what the exception says."""
        lane.broken = {b"u1"}
        lane.send(b"u1")
        lane.run()
        (letter,) = lane.to(DLT)
        told = texts_of(letter.headers)
        assert told["rebate-error-reason"] == "internal-error"
        assert told["rebate-error-stage"] == "fold"
        assert told["rebate-error-trace"].endswith("ZeroDivisionError")
        assert "failures/small_lane.py" in told["rebate-error-trace"]
        assert not any(BUG in text for text in told.values())

    def test_a_deep_trace_is_cut_at_its_outer_end(self) -> None:
        """At most 4 KiB, and the place where it happened is in it."""

        def fall(depth: int) -> None:
            if depth:
                fall(depth - 1)
            raise LookupError

        with pytest.raises(LookupError) as caught:
            fall(400)
        failure = failure_of(caught.value)
        assert len(failure.trace.encode()) <= TRACE_BYTES_MAX
        assert failure.trace.splitlines()[-1] == "LookupError"
        assert len(failure.fault.detail) < DETAIL_BYTES_MAX
        assert "in fall" in failure.trace.splitlines()[-2]


class TestBugs:
    """Our bug costs one key, and not a bit of any state."""

    @pytest.mark.parametrize("chunk", [1, 2, 3, 100])
    def test_a_half_done_fold_is_undone(self, lane: SmallLane, chunk: int) -> None:
        """All else of the chunk is there once; of the failed record nothing, neither state nor message."""
        lane.broken = {b"bad", b"worse"}
        keys = [b"a", b"b", b"bad", b"a", b"worse", b"b", b"bad", b"a"]
        for key in keys:
            lane.send(key)
        lane.run(chunk)
        assert lane.folded("a") == [0, 3, 7]
        assert lane.folded("b") == [1, 5]
        assert lane.folded("bad") == lane.folded("worse") == []
        assert [lane.entries(key) for key in ("a", "b", "bad", "worse")] == [[0, 3, 7], [1, 5], [], []]
        assert len(lane.to(FIRST)) == 1
        assert [int(message.value or b"") for message in lane.to(SENT)] == [0, 1, 3, 5, 7]
        assert [texts_of(letter.headers)["rebate-error-offset"] for letter in lane.to(DLT)] == ["2", "4"]

    def test_a_key_that_was_well_keeps_what_it_had(self, lane: SmallLane) -> None:
        """What was folded before the bug stays, within the chunk and before it."""
        lane.send(b"u1")
        lane.run()
        lane.send(b"u1")
        lane.send(b"u1")
        lane.broken = {b"u1"}
        lane.run()
        assert lane.folded("u1") == [0]
        parked = lane.parked("u1")
        assert parked is not None
        assert (parked.since, parked.count, parked.reason) == (1, 2, "internal-error")
        assert [copy.value for copy in lane.to(PARKED)] == [b"{}", b"{}"]
        assert [texts_of(copy.headers)["rebate-parked-from"] for copy in lane.to(PARKED)] == [
            "source/0/1",
            "source/0/2",
        ]

    def test_without_a_key_nothing_is_parked(self, lane: SmallLane) -> None:
        """A record without a key has no order to keep: it is dead-lettered only."""
        lane.broken = {b""}
        lane.send(None)
        lane.send(None)
        lane.run()
        assert len(lane.to(DLT)) == 2
        assert lane.tally.keys == 0

    def test_stop_stops(self) -> None:
        """REBATE_ON_BUG=stop raises what the fold raised."""
        lane = SmallLane(FailurePolicy(on_bug="stop"))
        lane.broken = {b"u1"}
        lane.send(b"u1")
        with pytest.raises(ZeroDivisionError):
            lane.run()
        assert lane.done == 0


class TestTelling:
    """Of a dead letter the world hears once, and of a chunk's end once, whatever was undone."""

    @pytest.mark.parametrize("chunk", [1, 2, 3, 100])
    def test_what_is_told_at_the_end_survives_roll_backs(self, lane: SmallLane, chunk: int) -> None:
        """Once a chunk, with everything that was folded in it and nothing that failed."""
        lane.broken = {b"bad", b"worse"}
        for key in (b"a", b"b", b"bad", b"a", b"worse", b"b", b"bad", b"a"):
            lane.send(key)
        lane.run(chunk)
        told = [(message.value or b"").decode().split() for message in lane.to(TOLD)]
        assert [int(offset) for offsets in told for offset in offsets] == [0, 1, 3, 5, 7]
        assert len(told) <= -(-8 // chunk)

    def test_a_dead_letter_is_told_once(self, lane: SmallLane) -> None:
        """Refused or our bug; and not again when a release fails on the same record."""
        lane.send(b"u1", REFUSED)
        lane.broken = {b"bad"}
        lane.send(b"bad")
        lane.send(b"bad")
        lane.run()
        lane.release(b"bad")
        lane.run()
        events = [decode_event(event.value) for event in lane.to(EVENTS)]
        assert [event.offset for event in events if isinstance(event, DeadLetterOpened)] == [0, 1]
        assert len(lane.to(DLT)) == 3
        assert [event.partition for event in lane.to(EVENTS)] == [0, 0]
        assert len({event.event_id for event in events}) == 2

    def test_what_failed_first_in_a_release_is_told(self, lane: SmallLane) -> None:
        """It has been waiting, so nobody was told of it yet."""
        lane.broken = {b"bad"}
        lane.send(b"bad")
        lane.run()
        lane.broken = set()
        lane.send(b"bad", REFUSED)
        lane.release(b"bad")
        lane.run()
        events = [decode_event(event.value) for event in lane.to(EVENTS)]
        assert [event.offset for event in events if isinstance(event, DeadLetterOpened)] == [0, 1]

    def test_not_of_old_records(self, lane: SmallLane) -> None:
        """The law of `since` is that of all events."""
        lane.since_ms = 1_001
        lane.send(b"u1", REFUSED)
        lane.send(b"u1", REFUSED)
        lane.run()
        assert len(lane.to(DLT)) == 2
        (event,) = lane.to(EVENTS)
        assert event.timestamp_ms == 1_001
