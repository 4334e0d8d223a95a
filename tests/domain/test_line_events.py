"""Line events follow from what is booked: none is missing, none is doubled, whatever the batches."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.account.events import CLOSED_WHY
from rebate_app.domain.pricing.calendar import DAY_US, day_of
from rebate_app.wire.events import BalanceChanged, LineAttributed, LineClawedBack, LineClosed, LineSettled
from rebate_app.wire.moments import format_moment
from tests.domain.event_lines import events_in, kinds, lines, lived, refolded
from tests.domain.story import (
    PAID,
    RECEIVED,
    RULES,
    SETTLED,
    bind,
    know,
    profile,
    punish,
    refund,
    snapshot,
    world_of,
)
from tests.domain.world import NOW_US, Document, World, book_of
from tests.topology_driver import TopologyDriver, at_random


class TestLines:
    """Each turn of a line is told once, to whom it concerns."""

    def test_a_life(self) -> None:
        """Attributed when it comes, settled when it is, and clawed back from buyer and inviter alike."""
        refunded = refund("success", "2026-02-01", 700)
        world = world_of(PAID, RECEIVED, SETTLED, refunded, refunded)
        assert kinds(world, "u1") == ["line.attributed", "line.settled", "line.clawed-back"]
        assert kinds(world, "boss") == ["line.clawed-back"]
        attributed, settled, back = lines(world, "u1")
        assert isinstance(attributed, LineAttributed)
        assert (attributed.by, attributed.order_line_id) == ("user_id", "1")
        assert isinstance(settled, LineSettled)
        assert (settled.settled, settled.held, settled.effective_on, settled.release_on) == (
            995,
            0,
            None,
            "2026-02-21",
        )
        assert isinstance(back, LineClawedBack)
        after = balance_on(world.head("u1"), day_of(NOW_US)).available
        assert (back.amount, back.role, back.depth, back.reason) == (
            995 - after,
            "buyer",
            UNSET,
            "refund-success",
        )
        (share,) = lines(world, "boss")
        assert isinstance(share, LineClawedBack)
        assert (share.role, share.depth, share.amount) == ("inviter", 1, 153 - 83)

    @pytest.mark.parametrize(
        ("documents", "why"),
        [
            ([PAID, snapshot("closed", "2026-01-05", 0)], "closed"),
            ([PAID, snapshot("superseded", "2026-01-05", 0)], "superseded"),
            ([PAID, punish("confirmed", "2026-01-05")], "punished"),
            ([punish("confirmed", "2026-01-05"), PAID], "punished"),
            ([snapshot("unknown", "2026-01-02", 0), snapshot("closed", "2026-01-05", 0)], "closed"),
        ],
    )
    def test_closed(self, documents: list[Document], why: str) -> None:
        """Once, with the reason; what comes after it closes nothing again."""
        again = [snapshot("closed", "2026-01-06", 0), punish("confirmed", "2026-01-07")]
        world = world_of(*documents, *again)
        closed = [event for event in lines(world, "u1") if isinstance(event, LineClosed)]
        assert [event.why for event in closed] == [why]
        assert why in CLOSED_WHY

    def test_a_status_that_nobody_knows_closes_nothing(self) -> None:
        """Such a line is worth nothing, and may be worth something again."""
        assert kinds(world_of(snapshot("unknown", "2026-01-02", 0)), "u1") == ["line.attributed"]

    def test_settled_by_a_date(self) -> None:
        """Told at the fact that decides the date, with the date while it is ahead; and again if it moves."""
        world = World([RULES], 2)
        world.know([profile("u1")])
        for expected, day in (("2026-09-15", 0), ("2026-09-20", 1), ("2026-09-20", 2)):
            world.take([dated("received", expected, day)], NOW_US + day * DAY_US)
        world.take([dated("settled", "2026-09-20", 80)], NOW_US + 80 * DAY_US)
        settled = [event for event in lines(world, "u1") if isinstance(event, LineSettled)]
        assert [event.effective_on for event in settled] == ["2026-09-15", "2026-09-20"]
        assert [event.release_on for event in settled] == ["2026-09-16", "2026-09-21"]
        assert [event.settled for event in settled] == [650, 650]

    def test_a_line_that_moves(self) -> None:
        """The new owner is told that it came, the old one what was taken back, each time that it happens."""
        world = world_of(snapshot("settled", "2026-01-10", 1_000, 1_000, user=None, special_id="77"))
        for user_id in ("u1", "u2", "u1", "u1"):
            know(world, bind("taobao:special_id:77", user_id))
        assert kinds(world, "u1") == [
            "line.attributed",
            "line.settled",
            "line.clawed-back",
            "line.attributed",
            "line.settled",
        ]
        assert kinds(world, "u2") == ["line.attributed", "line.settled", "line.clawed-back"]
        ids = [event.event_id for event in events_in(world.stream)]
        assert len(ids) == len(set(ids))

    def test_money_that_is_held_and_free_again_is_not_taken_back(self) -> None:
        """A dispute holds, and gives back; only what is gone is clawed back."""
        opened, failed = refund("open", "2026-02-01", 700), refund("failed", "2026-02-02", 700)
        assert kinds(world_of(SETTLED, opened, failed), "u1") == ["line.attributed", "line.settled"]

    @given(seed=st.integers(0, 10_000), batch=st.integers(1, 60))
    @settings(max_examples=20)
    def test_chunks_do_not_matter(self, seed: int, batch: int) -> None:
        """Lines are told of alike, byte by byte, in any batches; and no id is there twice."""
        world = lived(seed, days=3)
        one, other = (
            [r for log in stream.events.values() for r in log if b"balance.changed" not in (r.value or b"")]
            for stream in (refolded(world, 1), refolded(world, batch))
        )
        assert [(r.key, r.value, r.timestamp) for r in one] == [(r.key, r.value, r.timestamp) for r in other]
        ids = [event.event_id for event in events_in(world.stream)]
        assert len(ids) == len(set(ids))

    @given(seed=st.integers(0, 10_000))
    @settings(max_examples=20)
    def test_the_id_does_not_depend_on_the_app(self, seed: int) -> None:
        """Lines that snapshots name a user for have the same ids, whichever app folds them, in any order."""
        rng = random.Random(seed)
        orders = [snapshot("paid", "2026-01-04", 1_000, line=f"jd:{n}", user=f"u{n % 3}") for n in range(9)]
        orders += [snapshot("closed", "2026-01-05", 0, line=f"jd:{n}", user=f"u{n % 3}") for n in range(5)]
        found = []
        for app in ("rebate", "other"):
            stream = TopologyDriver(2, book_of([RULES]), app=app)
            for document in orders:
                stream.send_order(document, NOW_US)
            stream.run(at_random(rng))
            found.append({e.event_id for e in events_in(stream) if not isinstance(e, BalanceChanged)})
        assert found[0] == found[1]
        assert len(found[0]) == 14


def dated(status: str, expected: str, day: int) -> Document:
    """Write a snapshot of a jd line with an expected date, said so many days after now."""
    modified = format_moment(NOW_US + day * DAY_US - 3_600_000_000)
    return snapshot(
        status, modified, 1_000, 1_000, line="jd:1", expected=expected, settled_at=modified, user="u1"
    )
