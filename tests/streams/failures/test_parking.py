"""Parking and release: order per key, nobody else touched, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from rebate_app.streams.failures.parking import MOVES_MAX
from rebate_app.streams.failures.record_kinds import (
    DEAD_LETTER_WINDOW_KEY,
    PARKED_TOTALS_KEY,
    REROUTING_KEY,
)
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.transaction.collector import OutgoingRecord, RecordCollector
from rebate_app.wire.control import encode_cursor
from rebate_app.wire.decisions import decode_decision
from rebate_app.wire.failure_headers import Place, texts_of
from tests.streams.failures.small_stream import (
    APP,
    AT_BATCH_END,
    DECISIONS,
    DLT,
    FIRST,
    REFUSED,
    SENT,
    SOURCE,
    SmallStream,
)

KEYS = ("a", "b", "c")


def parked_lane(waiting: int = 3) -> SmallStream:
    """Return a stream with key `a` parked and so many records waiting for it."""
    stream = SmallStream()
    stream.broken = {b"a"}
    for _ in range(waiting):
        stream.send(b"a")
    stream.run()
    return stream


class TestRelease:
    """A release folds what waits, in order, as if it had never waited."""

    def test_after_the_fix_everything_is_folded_in_order(self) -> None:
        """Each with its own offset; the dead letter is closed, by whom, and by which release."""
        stream = parked_lane()
        stream.broken = set()
        release = stream.release(b"a")
        stream.send(b"a")
        stream.run()
        assert stream.folded("a") == stream.entries("a") == [0, 1, 2, 4]
        assert [message.timestamp_ms for message in stream.to(SENT)] == [1_000, 1_001, 1_002, 1_004]
        assert stream.parked("a") is None
        assert (stream.totals.keys, stream.totals.records, stream.totals.releasing) == (0, 0, 0)
        (record,) = stream.to(DECISIONS)
        letter, decision = decode_decision(record.key, record.value) or (None, None)
        assert letter == Place(SOURCE, 0, 0)
        assert decision is not None
        assert (decision.decision, decision.by, decision.why) == ("replayed", "ann", "released")
        assert decision.place == f"{SOURCE}/0/{release}"

    def test_nothing_of_it_stays_in_the_table(self) -> None:
        """Once nothing is parked, the records about it are gone, but for the totals."""
        stream = parked_lane()
        stream.broken = set()
        stream.release(b"a")
        stream.run()
        keys = {key for key, _ in stream.store.items()}
        assert {key for key in keys if not key.startswith(b"e ")} == {
            b"f a",
            b"used",
            PARKED_TOTALS_KEY,
            DEAD_LETTER_WINDOW_KEY,
            REROUTING_KEY,
        }

    def test_what_still_fails_goes_on_waiting(self) -> None:
        """The release ends at the record that fails again, with a second dead letter under the same id."""
        stream = parked_lane()
        release = stream.release(b"a")
        stream.run()
        parked = stream.parked("a")
        assert parked is not None
        assert (parked.count, parked.release) == (3, -1)
        first, second = (texts_of(letter.headers) for letter in stream.to(DLT))
        assert second["rebate-error-offset"] == first["rebate-error-offset"] == "0"
        assert second["rebate-error-release"] == f"{SOURCE}/0/{release}"
        assert second["rebate-error-attempt"] == "2"
        assert second["rebate-error-first-at"] == first["rebate-error-first-at"]
        assert not stream.to(DECISIONS)
        stream.broken = set()
        stream.release(b"a")
        stream.run()
        assert stream.folded("a") == [0, 1, 2]

    def test_what_was_discarded_is_left_out(self) -> None:
        """A release that skips the record that fails goes on with those behind it."""
        stream = parked_lane()
        stream.broken = set()
        stream.release(b"a", 0)
        stream.run()
        assert stream.folded("a") == [1, 2]
        assert stream.parked("a") is None
        assert not stream.to(DECISIONS)  # the operator's own stands

    def test_what_is_refused_meanwhile_becomes_a_dead_letter(self) -> None:
        """Code that now refuses the record refuses it as it would any other."""
        stream = parked_lane(1)
        stream.send(b"a", REFUSED)
        stream.run()
        stream.broken = set()
        stream.release(b"a")
        stream.run()
        assert [texts_of(x.headers)["rebate-error-reason"] for x in stream.to(DLT)] == [
            "internal-error",
            "unknown-kind",
        ]
        assert stream.parked("a") is None

    def test_many_are_moved_by_cursors(self) -> None:
        """No message moves more than 500; what comes meanwhile waits behind, and nothing overtakes."""
        stream = parked_lane(2 * MOVES_MAX + 200)
        stream.broken = set()
        stream.release(b"a")
        stream.step(1)
        assert 0 < len(stream.folded("a")) <= MOVES_MAX
        stream.send(b"a")
        stream.send(b"b")
        stream.run(1)
        assert len(stream.folded("a")) == 2 * MOVES_MAX + 201
        assert stream.folded("a") == sorted(stream.folded("a"))
        assert stream.parked("a") is None

    def test_one_that_sends_much_ends_the_step(self) -> None:
        """A message moves on only while it has sent fewer than 500 records.

        See docs/spec/exactness.md#effects-per-message.
        """
        stream = parked_lane(MOVES_MAX)
        stream.broken = set()
        stream.release(b"a")
        transaction, collector = StateTransaction(stream.store), RecordCollector()
        processor = stream.processor(transaction, collector)
        processor.take(stream.log[-1])
        assert len(collector.records) <= MOVES_MAX + 2

    def test_what_comes_too_late_does_nothing(self) -> None:
        """A release of what is not parked, a second one under way, a cursor of another release, nonsense."""
        stream = SmallStream()
        stream.release(b"a")
        stream.send(b"a", encode_cursor(APP, 3))
        stream.run()
        assert stream.folded("a") == []
        stream = parked_lane(MOVES_MAX + 5)
        stream.broken = set()
        stream.send(b"a", encode_cursor(APP, 3))
        stream.send(b"a", encode_cursor(APP, 3)[:-2])
        stream.run()
        assert stream.folded("a") == []
        stream.release(b"a")
        stream.release(b"a")
        stream.run(1)
        assert len(stream.folded("a")) == MOVES_MAX + 5
        assert len(stream.to(DECISIONS)) == 1
        assert not stream.to(DLT)[1:]


class Model:
    """What has to hold of one key: what was folded is a prefix of what was sent, minus what was left out."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.skipped: set[int] = set()

    def right(self) -> list[int]:
        """Return what is folded when all is well."""
        return [offset for offset in self.sent if offset not in self.skipped]


operations = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.sampled_from(KEYS)),
        st.tuples(st.just("send"), st.sampled_from(KEYS)),
        st.tuples(st.just("break"), st.sampled_from(KEYS)),
        st.tuples(st.just("mend"), st.sampled_from(KEYS)),
        st.tuples(st.just("release"), st.sampled_from(KEYS)),
        st.tuples(st.just("skip"), st.sampled_from(KEYS)),
        st.tuples(st.just("step"), st.integers(1, 9)),
    ),
    max_size=80,
)


class TestAgainstTheModel:
    """Random interleavings of records, bugs, mends, releases and batches."""

    @given(operations)
    def test_order_is_kept_and_nothing_is_lost(self, steps: list[tuple[str, str | int]]) -> None:
        """At any time each state is a prefix of its log; mended and released, it is all of it, in order."""
        stream, models = SmallStream(), {key: Model() for key in KEYS}
        for what, with_ in steps:
            if what == "step":
                stream.step(int(with_))
            else:
                act(stream, models[str(with_)], what, str(with_))
            for key, model in models.items():
                folded, right = stream.folded(key), model.right()
                assert folded == stream.entries(key) == right[: len(folded)]
        stream.broken.clear()
        stream.run()
        for key in KEYS:
            stream.release(key.encode())
        stream.run()
        assert {key: stream.folded(key) for key in KEYS} == {key: models[key].right() for key in KEYS}
        assert (stream.totals.keys, stream.totals.records, stream.totals.releasing) == (0, 0, 0)

    @given(operations)
    def test_a_fold_that_is_told_of_the_bugs_comes_to_the_same(
        self, steps: list[tuple[str, str | int]]
    ) -> None:
        """Fixed code that repeats the known failures makes the same state and messages in any batches."""
        stream = SmallStream()
        models = {key: Model() for key in KEYS}
        for what, with_ in steps:
            if what == "step":
                stream.step(int(with_))
            else:
                act(stream, models[str(with_)], what, str(with_))
        stream.run()
        bugs = {}
        for letter in stream.to(DLT):
            headers = texts_of(letter.headers)
            offset = int(headers["rebate-error-offset"])
            bugs[int(headers.get("rebate-error-release", f"/{offset}").rpartition("/")[2])] = offset
        store, sent = refold(stream, bugs)
        assert dict(plain(store)) == dict(plain(stream.store))
        assert without_first(sent) == without_first(stream.sent)


def without_first(sent: Sequence[OutgoingRecord]) -> list[tuple[str, bytes | None, bytes | None]]:
    """Return what was sent, but for cursors and what is sent once a batch."""
    return [(x.topic, x.key, x.value) for x in sent if x.topic not in (SOURCE, FIRST, AT_BATCH_END)]


def act(stream: SmallStream, model: Model, what: str, key: str) -> None:
    """Do one thing to a key, and to the model of it."""
    raw = key.encode()
    if what == "send":
        model.sent.append(stream.send(raw))
    elif what == "break":
        stream.broken.add(raw)
    elif what == "mend":
        stream.broken.discard(raw)
    elif what == "release":
        stream.release(raw)
    elif not stream.broken:
        stream.run()  # so that the release is the next thing that happens to the key
        parked = stream.parked(key)
        if parked is not None and parked.since not in stream.folded(key):
            model.skipped.add(parked.since)
        stream.release(raw, *(() if parked is None else (parked.since,)))
        stream.run()


def plain(store: MemoryStore) -> list[tuple[bytes, bytes]]:
    """Return the records that follow from the log alone."""
    return [(key, value) for key, value in store.items() if not key.startswith(b"!")]


def refold(stream: SmallStream, bugs: dict[int, int]) -> tuple[MemoryStore, list[OutgoingRecord]]:
    """Fold the engine's log again with fixed code that repeats the known failures."""
    mended = SmallStream()
    store, sent = MemoryStore(), list[OutgoingRecord]()
    for start in range(0, len(stream.log), 5):
        transaction, collector = StateTransaction(store), RecordCollector()
        processor = mended.processor(transaction, collector, bugs)
        for record in stream.log[start : start + 5]:
            processor.take(record)
        processor.finish()
        store.apply(transaction.changes, start + 1)
        sent += collector.records
    return store, sent
