"""A record in the wrong partition: sent on once, folded once, whatever its headers say."""

from __future__ import annotations

import random
from itertools import count
from typing import Any

import pytest

from rebate_app.dead_letters.dead_letter import decode_dead_letter, replay_headers
from rebate_app.metrics.catalogue import REROUTED
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.streams.failures.record_kinds import REROUTED_COPIES, rerouted_key
from rebate_app.streams.failures.rerouting import COPY_BYTES_MAX, SPANS_MAX, origin_of
from rebate_app.streams.kafka.header_names import UndecodableName
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.streams.transaction.partitioner import partition_of
from tests.streams.failures.small_stream import DECISIONS, DLT, PARKED, SOURCE, SmallStream
from tests.topology_driver import LogRecord

PARTITIONS = 3
FROM = "rebate-rerouted-from"
SINCE = "rebate-rerouted-since"


def keys_of(partition: int) -> Any:
    """Yield keys of a partition."""
    return (key for key in (b"k%d" % n for n in count()) if partition_of(key, PARTITIONS) == partition)


HERE = next(keys_of(0))
ELSEWHERE = next(keys_of(2))


@pytest.fixture
def stream() -> SmallStream:
    """Return partition 0 of three."""
    return SmallStream(partitions=PARTITIONS)


def reasons(stream: SmallStream) -> list[bytes]:
    """Return the reasons of the dead letters."""
    return [dict(letter.headers)["rebate-error-reason"] for letter in stream.to(DLT)]


class TestSentOn:
    """What does not lie in the partition of its key."""

    def test_the_copy_is_the_record_and_where_it_stood(self, stream: SmallStream) -> None:
        """Key, value, timestamp and headers stay; nothing is folded where the record stands."""
        stream.send(ELSEWHERE, b"\xff no JSON at all", [("a", b"1"), ("a", b"2")])
        stream.run()
        (copy,) = stream.to(SOURCE)
        assert (copy.key, copy.value, copy.timestamp_ms) == (ELSEWHERE, b"\xff no JSON at all", 1_000)
        assert copy.headers == (("a", b"1"), ("a", b"2"), (FROM, b"0/0"))
        assert copy.partition == 2
        assert stream.folded(ELSEWHERE.decode()) == []
        assert stream.to(DLT) == []
        assert stream.window.seen == 0  # it is counted where it is folded

    def test_the_key_decides_not_the_header(self, stream: SmallStream) -> None:
        """A copy that lies wrong again goes where its key belongs, with its newest place alone."""
        stream.send(ELSEWHERE, b"{}", [(FROM, b"1/7"), ("x", b""), (SINCE, b"5")])
        stream.run()
        (copy,) = stream.to(SOURCE)
        assert copy.headers == (("x", b""), (FROM, b"0/0"))
        assert copy.partition == 2

    def test_a_tombstone_goes_on_and_no_key_stays(self, stream: SmallStream) -> None:
        """Without a value it is no other; without a key it has no partition: it is folded where it stands."""
        stream.send(ELSEWHERE, None)
        stream.send(None, b"{}")
        stream.run()
        assert [copy.value for copy in stream.to(SOURCE)] == [None]
        assert stream.folded("") == [1]

    @pytest.mark.parametrize("headers", [[(UndecodableName("\\xff"), b"1")], [("x", b"h" * COPY_BYTES_MAX)]])
    def test_what_cannot_be_copied_as_it_is_becomes_a_dead_letter(
        self, stream: SmallStream, headers: list[tuple[str, bytes]]
    ) -> None:
        """A header name that no producer can write; more than the topic takes uncompressed."""
        stream.send(ELSEWHERE, b"{}", headers)
        stream.run()
        assert stream.to(SOURCE) == []
        assert reasons(stream) == [b"limit-record"]

    def test_it_is_counted_by_topic(self, stream: SmallStream) -> None:
        """One count for those sent on, one for copies that were folded before."""
        stream.send(ELSEWHERE)
        stream.send(HERE, b"{}", [(FROM, b"1/7")])
        stream.send(HERE, b"{}", [(FROM, b"1/7")])
        collector = RecordCollector()
        processor = stream.processor(StateTransaction(stream.store), collector)
        for record in stream.log:
            processor.take(record)
        processor.finish()
        assert collector.counted == {(REROUTED, (SOURCE, "rerouted")): 1, (REROUTED, (SOURCE, "repeat")): 1}


class TestCopies:
    """What names another record as its origin."""

    def test_a_repeat_is_skipped(self, stream: SmallStream) -> None:
        """Not above the greatest offset that was folded from that partition, in one batch or in several."""
        for place in (b"1/7", b"1/7", b"1/5", b"2/5", b"1/8"):
            stream.send(HERE, b"{}", [(FROM, place)])
        assert stream.run(2) is None
        assert stream.folded(HERE.decode()) == [0, 3, 4]

    @pytest.mark.parametrize(
        "junk",
        [
            [(FROM, b"")],
            [(FROM, b"1/-1")],
            [(FROM, b"1/007")],
            [(FROM, b" 1/7")],
            [(FROM, "1/٧".encode())],
            [(FROM, b"1")],
            [(FROM, b"0/7")],  # this very partition
            [(FROM, b"3/7")],  # there are three
            [(FROM, b"1/1000000000000000000")],
            [(FROM, None)],
            [(FROM, b"1/7"), (FROM, b"1/7")],
            [(SINCE, b"7")],
            [(FROM, b"1/7"), (SINCE, b"x")],
            [(FROM, b"1/7"), (SINCE, None)],
            [(FROM, b"1/7"), (SINCE, b"8")],  # before its sender began
        ],
    )
    def test_junk_in_the_header_loses_nothing(self, stream: SmallStream, junk: list[Any]) -> None:
        """Whatever no sender of ours writes makes no copy: the record is folded, each time."""
        stream.send(HERE, b"{}", [(FROM, b"1/100")])
        stream.send(HERE, b"{}", junk)
        stream.send(HERE, b"{}", junk)
        stream.run()
        assert stream.folded(HERE.decode()) == [0, 1, 2]

    def test_apps_that_began_at_other_offsets(self, stream: SmallStream) -> None:
        """An app that reroutes from 50 on has sent nothing of before; one that is built anew sends all."""
        late = [(FROM, b"1/60"), (SINCE, b"50")]
        stream.send(HERE, b"{}", late)
        for place in (b"1/3", b"1/40", b"1/55", b"1/60", b"1/61"):  # 55: sent by the first app, too
            stream.send(HERE, b"{}", [(FROM, place)])
        stream.send(HERE, b"{}", [(FROM, b"1/61"), (SINCE, b"50")])
        stream.run(2)
        assert stream.folded(HERE.decode()) == [0, 1, 2, 5]

    def test_senders_that_nobody_can_tell_apart_are_folded(self, stream: SmallStream) -> None:
        """Forged begins take a bounded place in the state."""
        for since in range(1, SPANS_MAX + 9):
            stream.send(HERE, b"{}", [(FROM, b"1/%d" % (2 * since)), (SINCE, b"%d" % (2 * since))])
        stream.run()
        copies = REROUTED_COPIES.read(stream.store, rerouted_key(1))
        assert copies is not None
        assert len(copies.spans) == SPANS_MAX
        assert len(stream.folded(HERE.decode())) == SPANS_MAX + 8

    def test_a_limit_does_not_turn_a_copy_into_a_repeat(self) -> None:
        """A copy at which a limit stops the partition is not noted: it is taken when reading goes on."""
        overridden = False
        policy = FailurePolicy(decisions=DECISIONS, limited=True, overridden=lambda: overridden)
        stream = SmallStream(policy, PARTITIONS)
        for _ in range(99):
            stream.send(HERE, b"refuse me")
        copy = stream.send(HERE, b"refuse me", [(FROM, b"1/7")])
        assert stream.run() is not None
        assert stream.done == copy
        overridden = True
        assert stream.run() is None
        assert len(stream.to(DLT)) == 100

    def test_parking_holds_a_copy_too(self, stream: SmallStream) -> None:
        """A copy waits in the right partition behind what is parked; after the release it is folded once."""
        key = HERE.decode()
        stream.broken = {HERE}
        stream.send(HERE)
        stream.send(HERE, b"{}", [(FROM, b"1/7")])
        stream.send(HERE, b"{}", [(FROM, b"1/7")])
        stream.run()
        assert len(stream.to(PARKED)) == 2
        stream.broken = set()
        stream.release(HERE)
        stream.send(HERE, b"{}", [(FROM, b"1/7")])
        stream.run()
        assert stream.folded(key) == [0, 1]

    def test_a_replay_is_no_repeat(self, stream: SmallStream) -> None:
        """The replay of a copy's dead letter lacks the mark of a copy, and is taken whenever it comes."""
        stream.send(HERE, b"refuse me", [("x", b"1"), (FROM, b"1/7"), (SINCE, b"3")])
        stream.run()
        (sent,) = stream.to(DLT)
        stored = LogRecord(DLT, 0, 0, sent.timestamp_ms, sent.key, sent.value, sent.headers)
        headers = replay_headers(decode_dead_letter(stored, SOURCE), "id", "ann")
        assert not {FROM, SINCE} & {name for name, _ in headers}
        assert ("x", b"1") in headers
        replay = stream.send(HERE, b"mended", headers)
        stream.run()
        assert stream.folded(HERE.decode()) == [replay]

    def test_our_own_bug_keeps_the_notes(self, stream: SmallStream) -> None:
        """Rolling back the fold of a record does not forget copies that were folded before it."""
        other = [key for key, _ in zip(keys_of(0), range(2), strict=False)][1]
        stream.broken = {other}
        stream.send(HERE, b"{}", [(FROM, b"1/7")])
        stream.send(other)
        stream.send(HERE, b"{}", [(FROM, b"1/7")])
        stream.run()
        assert stream.folded(HERE.decode()) == [0]


class TestVersionBefore:
    """State that a version without the rule has written."""

    def test_a_key_that_it_parked_in_the_wrong_partition_can_be_released(
        self, stream: SmallStream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The release is for this partition, where the records wait; new records are sent on."""
        from tests.streams.failures.misplacing import NoRerouter, guard

        stream.broken = {ELSEWHERE}
        stream.send(ELSEWHERE)
        with monkeypatch.context() as before:
            before.setattr(guard, "Rerouter", NoRerouter)
            stream.run()
        assert stream.parked(ELSEWHERE.decode()) is not None
        stream.broken = set()
        stream.release(ELSEWHERE)
        stream.send(ELSEWHERE)
        stream.run()
        assert stream.parked(ELSEWHERE.decode()) is None
        assert stream.folded(ELSEWHERE.decode()) == [0]
        assert [dict(copy.headers)[FROM] for copy in stream.to(SOURCE)] == [b"0/2"]


def test_random_headers_never_raise() -> None:
    """Whatever bytes a header has, it names an origin or none."""
    rng = random.Random(3)
    for _ in range(5_000):
        value = bytes(rng.choice(b"0123456789/-x\xff") for _ in range(rng.randrange(8)))
        record = LogRecord(SOURCE, 0, 0, 0, b"k", b"", [(FROM, value)])
        found = origin_of(record, PARTITIONS)
        assert found is None or b"%d/%d" % (found.partition, found.offset) == value
