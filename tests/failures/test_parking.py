"""Parking and release: order per key, nobody else touched, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from agents.parking import MOVES_MAX
from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.store import MemoryStore, Overlay
from rebate_app.wire.control import encode_cursor
from rebate_app.wire.decisions import decode_decision
from rebate_app.wire.failure_headers import Place, texts_of
from tables.parking import FOR_PEOPLE, TALLY_KEY, WATCH_KEY

from .small_lane import APP, DECISIONS, DLT, FIRST, REFUSED, SENT, SOURCE, TOLD, SmallLane

KEYS = ("a", "b", "c")


def parked_lane(waiting: int = 3) -> SmallLane:
    """Return a lane with key `a` parked and so many records waiting for it."""
    lane = SmallLane()
    lane.broken = {b"a"}
    for _ in range(waiting):
        lane.send(b"a")
    lane.run()
    return lane


class TestRelease:
    """A release folds what waits, in order, as if it had never waited."""

    def test_after_the_fix_everything_is_folded_in_order(self) -> None:
        """Each with its own offset; the dead letter is closed, by whom, and by which release."""
        lane = parked_lane()
        lane.broken = set()
        release = lane.release(b"a")
        lane.send(b"a")
        lane.run()
        assert lane.folded("a") == lane.entries("a") == [0, 1, 2, 4]
        assert [message.timestamp_ms for message in lane.to(SENT)] == [1_000, 1_001, 1_002, 1_004]
        assert lane.parked("a") is None
        assert (lane.tally.keys, lane.tally.records, lane.tally.releasing) == (0, 0, 0)
        (record,) = lane.to(DECISIONS)
        letter, decision = decode_decision(record.key, record.value) or (None, None)
        assert letter == Place(SOURCE, 0, 0)
        assert decision is not None
        assert (decision.decision, decision.by, decision.why) == ("replayed", "ann", "released")
        assert decision.place == f"{SOURCE}/0/{release}"

    def test_nothing_of_it_stays_in_the_table(self) -> None:
        """Once nothing is parked, the records about it are gone, but for the tally."""
        lane = parked_lane()
        lane.broken = set()
        lane.release(b"a")
        lane.run()
        keys = {key for key, _ in lane.store.items()}
        assert {key for key in keys if not key.startswith(b"e ")} == {b"f a", b"used", TALLY_KEY, WATCH_KEY}

    def test_what_still_fails_goes_on_waiting(self) -> None:
        """The release ends at the record that fails again, with a second dead letter under the same id."""
        lane = parked_lane()
        release = lane.release(b"a")
        lane.run()
        parked = lane.parked("a")
        assert parked is not None
        assert (parked.count, parked.release) == (3, -1)
        first, second = (texts_of(letter.headers) for letter in lane.to(DLT))
        assert second["rebate-error-offset"] == first["rebate-error-offset"] == "0"
        assert second["rebate-error-release"] == f"{SOURCE}/0/{release}"
        assert second["rebate-error-attempt"] == "2"
        assert second["rebate-error-first-at"] == first["rebate-error-first-at"]
        assert not lane.to(DECISIONS)
        lane.broken = set()
        lane.release(b"a")
        lane.run()
        assert lane.folded("a") == [0, 1, 2]

    def test_what_was_discarded_is_left_out(self) -> None:
        """A release that skips the record that fails goes on with those behind it."""
        lane = parked_lane()
        lane.broken = set()
        lane.release(b"a", 0)
        lane.run()
        assert lane.folded("a") == [1, 2]
        assert lane.parked("a") is None
        assert not lane.to(DECISIONS)  # the operator's own stands

    def test_what_is_refused_meanwhile_becomes_a_dead_letter(self) -> None:
        """Code that now refuses the record refuses it as it would any other."""
        lane = parked_lane(1)
        lane.send(b"a", REFUSED)
        lane.run()
        lane.broken = set()
        lane.release(b"a")
        lane.run()
        assert [texts_of(x.headers)["rebate-error-reason"] for x in lane.to(DLT)] == [
            "internal-error",
            "unknown-kind",
        ]
        assert lane.parked("a") is None

    def test_many_are_moved_by_cursors(self) -> None:
        """No message moves more than 500; what comes meanwhile waits behind, and nothing overtakes."""
        lane = parked_lane(2 * MOVES_MAX + 200)
        lane.broken = set()
        lane.release(b"a")
        lane.step(1)
        assert 0 < len(lane.folded("a")) <= MOVES_MAX
        lane.send(b"a")
        lane.send(b"b")
        lane.run(1)
        assert len(lane.folded("a")) == 2 * MOVES_MAX + 201
        assert lane.folded("a") == sorted(lane.folded("a"))
        assert lane.parked("a") is None

    def test_one_that_sends_much_ends_the_step(self) -> None:
        """A message moves on only while it has sent fewer than 500 records (engine.md 2)."""
        lane = parked_lane(MOVES_MAX)
        lane.broken = set()
        lane.release(b"a")
        overlay, outbox = Overlay(lane.store), Outbox()
        session = lane.session(overlay, outbox)
        session.take(lane.log[-1])
        assert len(outbox.records) <= MOVES_MAX + 2

    def test_what_comes_too_late_does_nothing(self) -> None:
        """A release of what is not parked, a second one under way, a cursor of another release, nonsense."""
        lane = SmallLane()
        lane.release(b"a")
        lane.send(b"a", encode_cursor(APP, 3))
        lane.run()
        assert lane.folded("a") == []
        lane = parked_lane(MOVES_MAX + 5)
        lane.broken = set()
        lane.send(b"a", encode_cursor(APP, 3))
        lane.send(b"a", encode_cursor(APP, 3)[:-2])
        lane.run()
        assert lane.folded("a") == []
        lane.release(b"a")
        lane.release(b"a")
        lane.run(1)
        assert len(lane.folded("a")) == MOVES_MAX + 5
        assert len(lane.to(DECISIONS)) == 1
        assert not lane.to(DLT)[1:]


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
    """Random interleavings of records, bugs, mends, releases and chunks."""

    @given(operations)
    def test_order_is_kept_and_nothing_is_lost(self, steps: list[tuple[str, str | int]]) -> None:
        """At any time each state is a prefix of its log; mended and released, it is all of it, in order."""
        lane, models = SmallLane(), {key: Model() for key in KEYS}
        for what, with_ in steps:
            if what == "step":
                lane.step(int(with_))
            else:
                act(lane, models[str(with_)], what, str(with_))
            for key, model in models.items():
                folded, right = lane.folded(key), model.right()
                assert folded == lane.entries(key) == right[: len(folded)]
        lane.broken.clear()
        lane.run()
        for key in KEYS:
            lane.release(key.encode())
        lane.run()
        assert {key: lane.folded(key) for key in KEYS} == {key: models[key].right() for key in KEYS}
        assert (lane.tally.keys, lane.tally.records, lane.tally.releasing) == (0, 0, 0)

    @given(operations)
    def test_a_fold_that_is_told_of_the_bugs_comes_to_the_same(
        self, steps: list[tuple[str, str | int]]
    ) -> None:
        """Mended code, told where the fold failed then, makes the same state and messages in any chunks."""
        lane = SmallLane()
        models = {key: Model() for key in KEYS}
        for what, with_ in steps:
            if what == "step":
                lane.step(int(with_))
            else:
                act(lane, models[str(with_)], what, str(with_))
        lane.run()
        bugs = {}
        for letter in lane.to(DLT):
            told = texts_of(letter.headers)
            offset = int(told["rebate-error-offset"])
            bugs[int(told.get("rebate-error-release", f"/{offset}").rpartition("/")[2])] = offset
        store, sent = refold(lane, bugs)
        assert dict(plain(store)) == dict(plain(lane.store))
        assert without_first(sent) == without_first(lane.sent)


def without_first(sent: Sequence[Outgoing]) -> list[tuple[str, bytes | None, bytes | None]]:
    """Return what was sent, but for cursors and what a chunk says once at its end."""
    return [(x.topic, x.key, x.value) for x in sent if x.topic not in (SOURCE, FIRST, TOLD)]


def act(lane: SmallLane, model: Model, what: str, key: str) -> None:
    """Do one thing to a key, and to the model of it."""
    raw = key.encode()
    if what == "send":
        model.sent.append(lane.send(raw))
    elif what == "break":
        lane.broken.add(raw)
    elif what == "mend":
        lane.broken.discard(raw)
    elif what == "release":
        lane.release(raw)
    elif not lane.broken:
        lane.run()  # so that the release is the next thing that happens to the key
        parked = lane.parked(key)
        if parked is not None and parked.since not in lane.folded(key):
            model.skipped.add(parked.since)
        lane.release(raw, *(() if parked is None else (parked.since,)))
        lane.run()


def plain(store: MemoryStore) -> list[tuple[bytes, bytes]]:
    """Return the records that follow from the log alone."""
    return [(key, value) for key, value in store.items() if not key.startswith(FOR_PEOPLE)]


def refold(lane: SmallLane, bugs: dict[int, int]) -> tuple[MemoryStore, list[Outgoing]]:
    """Fold the lane's log once more by mended code that is told where it failed."""
    mended = SmallLane()
    store, sent = MemoryStore(), list[Outgoing]()
    for start in range(0, len(lane.log), 5):
        overlay, outbox = Overlay(store), Outbox()
        session = mended.session(overlay, outbox, bugs)
        for record in lane.log[start : start + 5]:
            session.take(record)
        session.finish()
        store.apply(overlay.changes, start + 1)
        sent += outbox.records
    return store, sent
