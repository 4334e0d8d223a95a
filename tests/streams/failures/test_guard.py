"""The guard: what fails leaves no trace in the state, and everything of it in its dead letter."""

from __future__ import annotations

import pytest

from rebate_app.streams.failures.dead_letter import DETAIL_BYTES_MAX, TRACE_BYTES_MAX, WorkerInfo, failure_of
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.wire.events import DeadLetterOpened, decode_event
from rebate_app.wire.failure_headers import texts_of
from tests.streams.failures.small_stream import (
    AT_BATCH_END,
    BUG,
    DECISIONS,
    DLT,
    EVENTS,
    FIRST,
    HALTING,
    MUST_BE_READ,
    PARKED,
    REFUSED,
    SENT,
    SmallStream,
)

WORKER_INFO = WorkerInfo("1.2.3", "abc", "http://w1", lambda: 1_700_000_000_000_000)


@pytest.fixture
def stream() -> SmallStream:
    """Return a stream with a worker's name on what it writes."""
    return SmallStream(FailurePolicy(decisions=DECISIONS, worker_info=WORKER_INFO))


class TestHalt:
    """A fold that must not go beyond a record."""

    @pytest.mark.parametrize("batch", [1, 10])
    def test_what_comes_before_is_kept_and_nothing_of_the_record(
        self, stream: SmallStream, batch: int
    ) -> None:
        """No state, message or dead letter of it, though it raised after its work; and so again."""
        stream.send(b"u1")
        stream.send(b"u1", HALTING)
        for _ in range(2):
            halt = stream.run(batch)
            assert halt is not None
            assert (halt.code, stream.done, stream.folded("u1"), stream.to(DLT)) == ("halting", 1, [0], [])
            assert [message.value for message in stream.to(SENT)] == [b"0"]


class TestUnreadableFacts:
    """A record that may not be refused."""

    @pytest.mark.parametrize("parked", [False, True])
    def test_it_halts_also_after_a_resumption(self, parked: bool) -> None:
        """`rebate dlq resume` and the override lift limits only; it never waits behind its key."""
        policy = FailurePolicy(
            limited=True, overridden=lambda: True, resumed_through=lambda _topic, _partition: 99
        )
        stream = SmallStream(policy)
        if parked:
            stream.broken = {b"u1"}
            stream.send(b"u1")
            assert stream.run() is None
            assert stream.totals.keys == 1
        offset = stream.send(b"u1", MUST_BE_READ)
        stream.send(b"u2")
        before = len(stream.sent)
        for _ in range(2):
            halt = stream.run()
            assert halt is not None
            assert (halt.code, stream.done, len(stream.sent)) == ("unreadable-fact", offset, before)


class TestDeadLetters:
    """A dead letter is the record as it came, and why."""

    def test_raw_record_and_every_header(self, stream: SmallStream) -> None:
        """Key, value, timestamp, partition and own headers are untouched; ours say all there is to say."""
        offset = stream.send(b"u1", REFUSED, [("x", b"\xff"), ("rebate-error-reason", b"forged")])
        stream.run()
        (letter,) = stream.to(DLT)
        assert (letter.key, letter.value, letter.partition) == (b"u1", REFUSED, 0)
        assert letter.timestamp_ms == stream.log[offset].timestamp
        assert letter.headers[0] == ("x", b"\xff")
        headers = texts_of(letter.headers)
        at = headers.pop("rebate-error-at")
        assert at == headers.pop("rebate-error-first-at") == "2023-11-15T06:13:20+08:00"
        assert {name: text for name, text in headers.items() if name != "x"} == {
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

    def test_a_replay_that_fails_again_keeps_its_first_failure(self, stream: SmallStream) -> None:
        """The second letter has this failure's place, place and time of the first, and their number."""
        carried = [
            ("rebate-replay-of", b"source/0/7"),
            ("rebate-replay-id", b"r1"),
            ("rebate-error-first-at", b"2020-01-01T00:00:00+08:00"),
            ("rebate-error-attempt", b"1"),
        ]
        stream.send(b"u1", REFUSED, carried)
        again = [("rebate-replay-of", b"source/0/0"), *carried[1:]]
        stream.send(b"u1", REFUSED, [*again, ("rebate-error-origin", b"source/0/7")])
        stream.run()
        first, second = (texts_of(letter.headers) for letter in stream.to(DLT))
        for headers, offset in ((first, "0"), (second, "1")):
            assert headers["rebate-error-offset"] == offset
            assert headers["rebate-error-origin"] == "source/0/7"
            assert headers["rebate-error-first-at"] == "2020-01-01T00:00:00+08:00"
            assert headers["rebate-error-attempt"] == "2"
            assert headers["rebate-replay-id"] == "r1"

    def test_our_bug_says_where_and_no_values(self, stream: SmallStream) -> None:
        """Type, places and names of functions; not what the exception says."""
        stream.broken = {b"u1"}
        stream.send(b"u1")
        stream.run()
        (letter,) = stream.to(DLT)
        headers = texts_of(letter.headers)
        assert headers["rebate-error-reason"] == "internal-error"
        assert headers["rebate-error-stage"] == "fold"
        assert headers["rebate-error-trace"].endswith("ZeroDivisionError")
        assert "failures/small_stream.py" in headers["rebate-error-trace"]
        assert not any(BUG in text for text in headers.values())

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

    @pytest.mark.parametrize("batch", [1, 2, 3, 100])
    def test_a_half_done_fold_is_undone(self, stream: SmallStream, batch: int) -> None:
        """All else of the batch is there once; of the failed record nothing, neither state nor message."""
        stream.broken = {b"bad", b"worse"}
        keys = [b"a", b"b", b"bad", b"a", b"worse", b"b", b"bad", b"a"]
        for key in keys:
            stream.send(key)
        stream.run(batch)
        assert stream.folded("a") == [0, 3, 7]
        assert stream.folded("b") == [1, 5]
        assert stream.folded("bad") == stream.folded("worse") == []
        assert [stream.entries(key) for key in ("a", "b", "bad", "worse")] == [[0, 3, 7], [1, 5], [], []]
        assert len(stream.to(FIRST)) == 1
        assert [int(message.value or b"") for message in stream.to(SENT)] == [0, 1, 3, 5, 7]
        assert [texts_of(letter.headers)["rebate-error-offset"] for letter in stream.to(DLT)] == ["2", "4"]

    def test_a_key_that_was_well_keeps_what_it_had(self, stream: SmallStream) -> None:
        """What was folded before the bug stays, within the batch and before it."""
        stream.send(b"u1")
        stream.run()
        stream.send(b"u1")
        stream.send(b"u1")
        stream.broken = {b"u1"}
        stream.run()
        assert stream.folded("u1") == [0]
        parked = stream.parked("u1")
        assert parked is not None
        assert (parked.since, parked.count, parked.reason) == (1, 2, "internal-error")
        assert [copy.value for copy in stream.to(PARKED)] == [b"{}", b"{}"]
        assert [texts_of(copy.headers)["rebate-parked-from"] for copy in stream.to(PARKED)] == [
            "source/0/1",
            "source/0/2",
        ]

    def test_without_a_key_nothing_is_parked(self, stream: SmallStream) -> None:
        """A record without a key has no order to keep: it is dead-lettered only."""
        stream.broken = {b""}
        stream.send(None)
        stream.send(None)
        stream.run()
        assert len(stream.to(DLT)) == 2
        assert stream.totals.keys == 0

    def test_stop_stops(self) -> None:
        """REBATE_ON_BUG=stop raises what the fold raised."""
        stream = SmallStream(FailurePolicy(on_bug="stop"))
        stream.broken = {b"u1"}
        stream.send(b"u1")
        with pytest.raises(ZeroDivisionError):
            stream.run()
        assert stream.done == 0


class TestBatchEnd:
    """A dead letter has one event, and a batch's end sends once, whatever was rolled back."""

    @pytest.mark.parametrize("batch", [1, 2, 3, 100])
    def test_what_is_sent_at_the_end_survives_roll_backs(self, stream: SmallStream, batch: int) -> None:
        """Once a batch, with everything that was folded in it and nothing that failed."""
        stream.broken = {b"bad", b"worse"}
        for key in (b"a", b"b", b"bad", b"a", b"worse", b"b", b"bad", b"a"):
            stream.send(key)
        stream.run(batch)
        sent = [(message.value or b"").decode().split() for message in stream.to(AT_BATCH_END)]
        assert [int(offset) for offsets in sent for offset in offsets] == [0, 1, 3, 5, 7]
        assert len(sent) <= -(-8 // batch)

    def test_a_dead_letter_has_one_event(self, stream: SmallStream) -> None:
        """Refused or our bug; and not again when a release fails on the same record."""
        stream.send(b"u1", REFUSED)
        stream.broken = {b"bad"}
        stream.send(b"bad")
        stream.send(b"bad")
        stream.run()
        stream.release(b"bad")
        stream.run()
        events = [decode_event(event.value) for event in stream.to(EVENTS)]
        assert [event.offset for event in events if isinstance(event, DeadLetterOpened)] == [0, 1]
        assert len(stream.to(DLT)) == 3
        assert [event.partition for event in stream.to(EVENTS)] == [0, 0]
        assert len({event.event_id for event in events}) == 2

    def test_a_record_that_fails_first_in_a_release_has_an_event(self, stream: SmallStream) -> None:
        """It was waiting, so it had no event yet."""
        stream.broken = {b"bad"}
        stream.send(b"bad")
        stream.run()
        stream.broken = set()
        stream.send(b"bad", REFUSED)
        stream.release(b"bad")
        stream.run()
        events = [decode_event(event.value) for event in stream.to(EVENTS)]
        assert [event.offset for event in events if isinstance(event, DeadLetterOpened)] == [0, 1]

    def test_not_of_old_records(self, stream: SmallStream) -> None:
        """Events start at `since`, those of dead letters too."""
        stream.since_ms = 1_001
        stream.send(b"u1", REFUSED)
        stream.send(b"u1", REFUSED)
        stream.run()
        assert len(stream.to(DLT)) == 2
        (event,) = stream.to(EVENTS)
        assert event.timestamp_ms == 1_001
