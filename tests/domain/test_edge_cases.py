"""Edge cases that are about facts, states and dates; each test carries its number.

See docs/spec/domain.md#edge-cases.
"""

from __future__ import annotations

import pytest

from tests.domain.story import INVITED, PAID, RECEIVED, SETTLED, money, punish, refund, snapshot, world_of
from tests.oracle.written import moment

LATER = "2026-03-01"
FEBRUARY = "2026-02-01"


class TestSnapshots:
    """Which snapshot counts, whatever came when."""

    def test_01_a_repeat_posts_nothing_and_tells_nobody(self) -> None:
        """The same fact again leaves accounts, ledgers and logs as they are."""
        world = world_of(PAID, SETTLED)
        before, sent = world.snapshot(), sum(map(len, world.stream.logs.values()))
        world.take([PAID, SETTLED, SETTLED])
        assert world.snapshot() == before
        assert sum(map(len, world.stream.logs.values())) == sent + 3

    def test_02_fewer_ids_in_a_newer_snapshot_take_nobody_away(self) -> None:
        """Each member keeps its newest value; the money is the newest snapshot's."""
        bare = snapshot("paid", "2026-01-05", 2000, user=None)
        assert money(world_of(PAID, bare), "u1", FEBRUARY) == (1300, 0, 0, 0)
        assert money(world_of(bare, PAID), "u1", FEBRUARY) == (1300, 0, 0, 0)

    def test_03_settled_before_paid(self) -> None:
        """Straight to settled; the older paid snapshot changes nothing any more."""
        world = world_of(SETTLED)
        assert money(world, "u1", FEBRUARY) == (0, 995, 0, 0)
        world.take([PAID])
        assert money(world, "u1", FEBRUARY) == (0, 995, 0, 0)

    def test_05_closed_and_then_an_older_paid(self) -> None:
        """The older one is ignored."""
        world = world_of(snapshot("closed", "2026-01-05"), PAID)
        assert money(world, "u1", FEBRUARY) == (0, 0, 0, 0)
        assert world.balance("u1", moment(FEBRUARY)).closed == 1

    def test_06_closed_and_then_a_newer_paid(self) -> None:
        """The line is open again and its estimate is back."""
        world = world_of(PAID, snapshot("closed", "2026-01-05"), snapshot("paid", "2026-01-06", 1000))
        assert money(world, "u1", FEBRUARY) == (650, 0, 0, 0)

    def test_07_equal_moments_go_by_rank_and_then_by_fetch(self) -> None:
        """Settled beats received of the same moment; of two received the later fetch holds."""
        moment = "2026-01-09 09:02:11"
        same = snapshot("settled", moment, 1791, 1000, 0, settled_at=moment)
        assert money(world_of(same, RECEIVED), "u1", FEBRUARY) == (0, 650, 0, 0)
        later = snapshot("received", moment, 3000, fetch=2)
        earlier = snapshot("received", moment, 4000, fetch=1)
        assert money(world_of(later, earlier), "u1", FEBRUARY) == (1950, 0, 0, 0)
        assert money(world_of(earlier, later), "u1", FEBRUARY) == (1950, 0, 0, 0)

    def test_08_equal_versions_go_by_the_larger_amounts(self) -> None:
        """A network that says two amounts at once is taken at the larger, in any order of arrival."""
        less, more = snapshot("paid", "2026-01-04", 1000), snapshot("paid", "2026-01-04", 1200)
        assert money(world_of(less, more), "u1", FEBRUARY) == (780, 0, 0, 0)
        assert money(world_of(more, less), "u1", FEBRUARY) == (780, 0, 0, 0)

    def test_09_an_amount_changed_between_paid_and_settled(self) -> None:
        """The estimate ends, the settled amount stands; the ledger tells both."""
        world = world_of(PAID, SETTLED)
        assert money(world, "u1", FEBRUARY) == (0, 995, 0, 0)
        entries = [(entry.kind, entry.estimated, entry.settled) for entry in world.entries("u1")]
        assert entries == [("estimate", 1047, 0), ("settle", -1047, 995)]

    def test_44_a_split_order_is_superseded_and_its_children_stand_for_themselves(self) -> None:
        """The parent is worth 0; nothing is credited twice."""
        parent = snapshot("paid", "2026-01-04", 3000, line="jd:A")
        gone = snapshot("superseded", "2026-01-05", line="jd:A")
        children = [snapshot("paid", "2026-01-05", fen, line=f"jd:A{fen}") for fen in (1000, 2000)]
        world = world_of(parent, *children, gone)
        assert money(world, "u1", FEBRUARY) == (650 + 1300, 0, 0, 0)
        assert world.balance("u1", moment(FEBRUARY)).closed == 1

    def test_46_a_deposit_is_no_estimate(self) -> None:
        """Created is worth 0 and open; paying the balance makes the estimate."""
        world = world_of(snapshot("created", "2026-01-02", paid=None))
        assert money(world, "u1", FEBRUARY) == (0, 0, 0, 0)
        assert world.balance("u1", moment(FEBRUARY)).open == 1
        world.take([PAID])
        assert money(world, "u1", FEBRUARY) == (1047, 0, 0, 0)

    def test_47_a_cart_is_one_line_an_item(self) -> None:
        """The parent order groups for people and decides nothing."""
        cart = [
            snapshot("paid", "2026-01-04", fen, line=f"taobao:{fen}") | {"parent_order_id": "P"}
            for fen in (100, 200, 300)
        ]
        assert money(world_of(*cart), "u1", FEBRUARY) == (65 + 130 + 195, 0, 0, 0)

    def test_51_a_new_status_code_keeps_what_was_posted(self) -> None:
        """`unknown` never counts beside another status, and is worth 0 alone."""
        odd = snapshot("unknown", "2026-01-20")
        assert money(world_of(SETTLED, odd), "u1", FEBRUARY) == (0, 995, 0, 0)
        assert money(world_of(odd), "u1", FEBRUARY) == (0, 0, 0, 0)


class TestRefunds:
    """Disputes after settlement: only rows of refunds move money."""

    def test_04_a_refund_before_its_order(self) -> None:
        """It is kept, and counts when the order is settled."""
        world = world_of(refund("open", "2026-01-11", 510))
        world.take([SETTLED])
        assert money(world, "u1", FEBRUARY) == (0, 663, 332, 0)

    def test_10_a_flag_without_a_row_moves_no_money(self) -> None:
        """`refund_tag` flips and the status stays: nothing, until the row of the refund comes."""
        flagged = snapshot("settled", "2026-01-20", 1791, 1701, 170, settled_at="2026-01-10")
        world = world_of(SETTLED, flagged | {"flags": {"refund_tag": True}})
        assert money(world, "u1", FEBRUARY) == (0, 995, 0, 0)
        world.take([refund("open", "2026-01-20", 510)])
        assert money(world, "u1", FEBRUARY) == (0, 663, 332, 0)

    def test_11_a_partial_refund_leaves_the_share_of_the_rest(self) -> None:
        """floor(1021 × 65 %) = 663, a difference of 332: not floor(510 × 65 %) = 331."""
        world = world_of(SETTLED, refund("success", "2026-01-23", 510))
        assert money(world, "u1", FEBRUARY) == (0, 663, 0, 0)
        assert money(world, "boss", FEBRUARY) == (0, 102, 0, 0)

    def test_12_several_disputes_add_up(self) -> None:
        """Each suit counts once, in its newest state, open ones are held."""
        suits = [refund("success", "2026-01-20", 100, "a"), refund("success", "2026-01-21", 200, "b")]
        world = world_of(SETTLED, *suits, refund("open", "2026-01-22", 300, "c"))
        whole, rest = (1531 - 300) * 65 // 100, (1531 - 600) * 65 // 100
        assert money(world, "u1", FEBRUARY) == (0, rest, whole - rest, 0)

    def test_13_refunds_beyond_the_commission_leave_nothing(self) -> None:
        """The line is worth 0, never less."""
        world = world_of(SETTLED, refund("success", "2026-01-20", 5000))
        assert money(world, "u1", LATER) == (0, 0, 0, 0)

    @pytest.mark.parametrize("end", ["failed", "restored"])
    def test_14_a_dispute_that_fails_gives_back_exactly_what_it_held(self, end: str) -> None:
        """Held goes back to where it was, to the fen."""
        world = world_of(SETTLED, refund("open", "2026-01-20", 777))
        assert money(world, "u1", FEBRUARY) != (0, 995, 0, 0)
        world.take([refund(end, "2026-01-25", 777)])
        assert money(world, "u1", FEBRUARY) == (0, 995, 0, 0)
        assert money(world, "boss", FEBRUARY) == (0, 153, 0, 0)

    def test_27_a_negative_commission_is_nobodys_debt(self) -> None:
        """Neither an estimate nor a settlement below 0 takes anything from anybody."""
        assert money(world_of(snapshot("paid", "2026-01-04", -500)), "u1", LATER) == (0, 0, 0, 0)
        minus = snapshot("settled", "2026-01-10", 1791, -500, 0, settled_at="2026-01-10")
        assert money(world_of(PAID, minus), "u1", LATER) == (0, 0, 0, 0)

    def test_28_too_little_to_share_is_shown_all_the_same(self) -> None:
        """Commission 0 or below the minimum: rebate 0, and the line counts as open or settled."""
        world = world_of(
            snapshot("paid", "2026-01-04", 1), snapshot("paid", "2026-01-04", 0, line="taobao:2")
        )
        balance = world.balance("u1", moment(LATER))
        assert (balance.estimated, balance.open) == (0, 2)

    def test_29_an_unlikely_commission_counts(self) -> None:
        """docs/spec/money.md#law knows amounts only; what looks implausible may raise flags, later."""
        world = world_of(snapshot("paid", "2026-01-04", 1_000_000_000))
        assert money(world, "u1", LATER) == (650_000_000, 0, 0, 0)


class TestDates:
    """What only the passing of days brings about."""

    def test_42_days_are_days_in_shanghai(self) -> None:
        """Settled at 23:59:59 of 31 December belongs to December, a second later to January."""
        old_year = snapshot("settled", "2026-01-02", 1000, 1000, settled_at="2026-01-31 23:59:59")
        new_month = snapshot(
            "settled", "2026-01-02", 1000, 1000, settled_at="2026-02-01", line="taobao:2", user="u2"
        )
        world = world_of(old_year, new_month)
        assert money(world, "u1", "2026-02-20 23:59:59") == (0, 650, 0, 0)
        assert money(world, "u1", "2026-02-21") == (0, 0, 0, 650)
        assert money(world, "u2", "2026-02-21") == (0, 650, 0, 0)
        assert money(world, "u2", "2026-03-20T16:00:00+00:00") == (0, 0, 0, 650)

    def test_45_jd_settles_by_date_alone(self) -> None:
        """No event comes on the day: who asks then sees it settled, and available the day after."""
        world = world_of(snapshot("received", "2026-01-09", 1000, 900, line="jd:1", expected="2026-02-20"))
        assert money(world, "u1", "2026-02-19 23:59:59") == (650, 0, 0, 0)
        assert money(world, "u1", "2026-02-20") == (0, 585, 0, 0)
        assert money(world, "u1", "2026-02-21") == (0, 0, 0, 585)
        assert money(world, "boss", "2026-02-20") == (0, 90, 0, 0)

    def test_50_release_is_a_date_and_not_a_job(self) -> None:
        """It cannot run twice or half: asking any number of times changes nothing."""
        world = world_of(SETTLED)
        before = world.snapshot()
        for _ in range(3):
            assert money(world, "u1", "2026-02-20") == (0, 995, 0, 0)
            assert money(world, "u1", "2026-02-21") == (0, 0, 0, 995)
        assert world.snapshot() == before


class TestPunishment:
    """What a network freezes, confirms and lifts."""

    def test_60_punished_and_lifted_is_as_if_nothing_had_been(self) -> None:
        """Frozen holds everything; lifted gives it back to the fen; confirmed takes it."""
        world = world_of(SETTLED, punish("frozen", "2026-01-12"))
        assert money(world, "u1", LATER) == (0, 0, 995, 0)
        world.take([punish("lifted", "2026-01-13")])
        assert money(world, "u1", LATER) == (0, 0, 0, 995)
        world.take([punish("confirmed", "2026-01-14")])
        assert money(world, "u1", LATER) == (0, 0, 0, 0)
        assert world.balance("u1", moment(LATER)).closed == 1

    def test_60_a_frozen_estimate_is_held(self) -> None:
        """An estimate is frozen like settled money, for the inviter too."""
        world = world_of(PAID, punish("frozen", "2026-01-12"), people=INVITED)
        assert money(world, "u1", LATER) == (0, 0, 1047, 0)
        assert money(world, "boss", LATER) == (0, 0, 161, 0)

    def test_60_a_punished_snapshot_freezes_while_it_is_the_newest(self) -> None:
        """A punish fact of the same moment wins, and so does any newer snapshot."""
        frozen = snapshot("punished", "2026-01-12", 1791)
        assert money(world_of(SETTLED, frozen), "u1", LATER) == (0, 0, 995, 0)
        assert money(world_of(SETTLED, frozen, punish("lifted", "2026-01-12")), "u1", LATER) == (
            0,
            0,
            0,
            995,
        )
        newer = snapshot("settled", "2026-01-13", 1791, 1701, 170, settled_at="2026-01-10")
        assert money(world_of(SETTLED, frozen, newer), "u1", LATER) == (0, 0, 0, 995)
