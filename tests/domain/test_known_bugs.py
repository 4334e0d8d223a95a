"""The bugs of twenty other systems (docs/spec/domain.md#known-bugs), each as a law that ours keeps.

Numbers 14 and 15 are about withdrawals and wait for them; docs/edge-cases.md says so.
"""

from __future__ import annotations

from random import Random

import pytest

from rebate_app.domain.money import floor_share
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.networks.amounts import fen_of_yuan
from tests.domain.story import (
    INVITED,
    PAID,
    RECEIVED,
    SETTLED,
    book,
    money,
    profile,
    refund,
    snapshot,
    world_of,
)
from tests.domain.world import NOW_US, Document
from tests.topology_driver import LINES

LATER = "2026-03-01"


def settled(line: str, fen: int, modified: str = "2026-01-10", user: str = "u1") -> Document:
    """Return a settled snapshot of another line, without a service fee."""
    return snapshot("settled", modified, fen, fen, line=line, settled_at="2026-01-10", user=user)


class TestInviters:
    """What an inviter gets is added, and taken back with the buyer's share."""

    def test_01_a_bonus_is_added_to_what_the_inviter_has(self) -> None:
        """The second invited order adds; it does not set the balance to its own bonus."""
        world = world_of(settled("taobao:1", 1000), settled("taobao:2", 3000))
        assert money(world, "boss", LATER) == (0, 0, 0, 100 + 300)

    def test_16_a_refund_takes_back_cashback_and_bonus(self) -> None:
        """Both of them, for exactly the difference of the targets."""
        world = world_of(PAID, SETTLED, refund("success", "2026-01-23", 510))
        assert money(world, "u1", "2026-02-01") == (0, 663, 0, 0)
        assert money(world, "boss", "2026-02-01") == (0, 102, 0, 0)
        assert book(world, "u1")[-1] == ("buyer", "clawback", 0, -332, 0)
        assert book(world, "boss")[-1] == ("inviter", "clawback", 0, -51, 0)


class TestAfterRelease:
    """Nothing is final because a date has passed."""

    def test_02_a_refund_after_release_is_clawed_back(self) -> None:
        """A line whose money is available already is no exception."""
        world = world_of(SETTLED)
        assert money(world, "u1", LATER) == (0, 0, 0, 995)
        world.take([refund("success", "2026-03-02", 510)])
        assert money(world, "u1", "2026-03-03") == (0, 0, 0, 663)

    def test_17_a_full_clawback_is_credited_by_no_other_path(self) -> None:
        """Repeats, and a settlement told once more, give nothing back."""
        full = refund("success", "2026-01-23", 1531)
        again = snapshot("settled", "2026-01-24", 1791, 1701, 170, settled_at="2026-01-10")
        world = world_of(SETTLED, full, SETTLED, full, again, PAID, RECEIVED)
        assert money(world, "u1", LATER) == (0, 0, 0, 0)
        assert money(world, "boss", LATER) == (0, 0, 0, 0)

    def test_19_a_settlement_before_the_after_sale_rows_is_put_right_by_them(self) -> None:
        """Rows of disputes that come in weeks late count as if they had come in time."""
        late = world_of(SETTLED)
        assert money(late, "u1", LATER) == (0, 0, 0, 995)
        late.take([refund("open", "2026-01-20", 510), refund("success", "2026-01-23", 510)])
        early = world_of(refund("open", "2026-01-20", 510), refund("success", "2026-01-23", 510), SETTLED)
        assert money(late, "u1", LATER) == money(early, "u1", LATER) == (0, 0, 0, 663)


class TestAmounts:
    """The amount that counts is the settled one, net, exact, and floored for each."""

    def test_03_the_settled_amount_is_released_not_the_estimate(self) -> None:
        """1701 − 170 was settled, 1791 − 179 was estimated."""
        assert money(world_of(PAID, SETTLED), "u1", LATER) == (0, 0, 0, 995)

    def test_04_sums_of_many_lines_are_exact(self) -> None:
        """A hundred lines of 1.15 yuan are a hundred times the share of one."""
        world = world_of(*(settled(f"taobao:{number}", 115) for number in range(100)))
        assert money(world, "u1", LATER) == (0, 0, 0, 100 * 74)
        assert money(world, "boss", LATER) == (0, 0, 0, 100 * 11)

    def test_05_an_amount_that_changes_under_the_same_status_counts(self) -> None:
        """A newer snapshot of the same status restates the money."""
        restated = snapshot("settled", "2026-01-15", 1791, 1000, 0, settled_at="2026-01-10")
        assert money(world_of(SETTLED, restated), "u1", LATER) == (0, 0, 0, 650)

    def test_06_what_the_network_keeps_is_not_shared(self) -> None:
        """The service fee comes off before anybody gets a share."""
        assert money(world_of(SETTLED), "u1", LATER)[3] == (1701 - 170) * 6500 // 10_000

    def test_08_nobody_gets_more_than_was_earned(self) -> None:
        """A commission of one fen is no rebate of one fen: shares are floored, and 0 below the minimum."""
        assert money(world_of(settled("taobao:1", 1)), "u1", LATER) == (0, 0, 0, 0)
        assert money(world_of(settled("taobao:1", 2)), "u1", LATER) == (0, 0, 0, 1)

    @pytest.mark.parametrize(("text", "fen"), [("0.29", 29), ("1.15", 115), ("19.99", 1999)])
    def test_11_yuan_become_fen_without_floats(self, text: str, fen: int) -> None:
        """`int(0.29 * 100)` is 28; ours is 29, and the share of it is one of 29."""
        assert fen_of_yuan(text) == fen
        assert money(world_of(settled("taobao:1", fen)), "u1", LATER)[3] == fen * 65 // 100

    def test_12_income_accumulates(self) -> None:
        """The sum that an addition returns is kept: every line makes the balance larger."""
        world = world_of()
        for number, expected in enumerate((650, 1300, 1950)):
            world.take([settled(f"taobao:{number}", 1000)])
            assert money(world, "u1", LATER)[3] == expected

    def test_13_a_settled_amount_of_zero_is_zero(self) -> None:
        """It is not an absent one that the estimate would have to stand in for."""
        nothing = snapshot("settled", "2026-01-10", 1791, 0, 0, settled_at="2026-01-10")
        assert money(world_of(PAID, nothing), "u1", LATER) == (0, 0, 0, 0)

    def test_20_money_is_never_a_float(self) -> None:
        """No amount of an account is one, and the greatest amounts are exact to the fen."""
        world = world_of(settled("taobao:1", 999_999_999), settled("taobao:2", 1_000_000_000))
        found = money(world, "u1", LATER)
        assert found == (0, 0, 0, 649_999_999 + 650_000_000)
        assert {type(amount) for amount in found} == {int}
        assert floor_share(10**18 + 1, 9_999) == (10**18 + 1) * 9_999 // 10_000


class TestAtomicity:
    """A crash between two writes has no between here."""

    def test_07_a_chunk_that_was_not_finished_never_happened(self) -> None:
        """Neither the order is marked nor the balance moved; done again, both are, once."""
        world = world_of()
        record = world.stream.send_order(SETTLED, NOW_US)
        stage, store = world.stream.stages[LINES], world.stream.stores[LINES, record.partition]
        processor = stage.processor(StateTransaction(store), RecordCollector())
        processor.take(record)
        processor.finish()  # and the worker dies before the state transaction is applied
        assert world.line("taobao:1") is None
        world.stream.run(Random(7))
        assert money(world, "u1", LATER) == (0, 0, 0, 995)


class TestStatuses:
    """No status is the last word; the version order is."""

    def test_09_neither_a_refund_nor_a_revival_is_lost_under_an_equal_or_closed_status(self) -> None:
        """Closed is not absorbing, and a dispute counts though the status stays `settled`."""
        closed = snapshot("closed", "2026-01-11")
        revived = snapshot("settled", "2026-01-12", 1791, 1701, 170, settled_at="2026-01-10")
        world = world_of(SETTLED, closed)
        assert money(world, "u1", LATER) == (0, 0, 0, 0)
        world.take([revived, refund("success", "2026-01-13", 510)])
        assert money(world, "u1", LATER) == (0, 0, 0, 663)

    def test_10_each_line_of_a_cart_lives_for_itself(self) -> None:
        """Two items of one order and buyer both earn; closing one leaves the other; it may come back."""
        first = snapshot("paid", "2026-01-04", 1000, line="taobao:11") | {"parent_order_id": "10"}
        second = snapshot("paid", "2026-01-04", 2000, line="taobao:12") | {"parent_order_id": "10"}
        world = world_of(first, second)
        assert money(world, "u1", LATER) == (650 + 1300, 0, 0, 0)
        world.take([snapshot("closed", "2026-01-05", line="taobao:11")])
        assert money(world, "u1", LATER) == (1300, 0, 0, 0)
        world.take([snapshot("paid", "2026-01-06", 1000, line="taobao:11")])
        assert money(world, "u1", LATER) == (650 + 1300, 0, 0, 0)

    def test_18_a_reversal_waits_for_its_sale(self) -> None:
        """A refund that comes before the order counts from the order's settlement on."""
        world = world_of(refund("success", "2026-01-23", 510))
        assert money(world, "u1", LATER) == (0, 0, 0, 0)
        world.take([PAID])
        assert money(world, "u1", LATER) == (1047, 0, 0, 0)
        world.take([SETTLED])
        assert money(world, "u1", LATER) == (0, 0, 0, 663)


class TestProfiles:
    """Bonuses of people who were invited by the same one add up, whoever comes first."""

    def test_01_bonuses_of_several_buyers_meet_at_one_inviter(self) -> None:
        """Two buyers, one inviter: the sum of both."""
        people = [*INVITED, profile("u2", "vip", "boss")]
        world = world_of(settled("taobao:1", 1000), settled("taobao:2", 1000, user="u2"), people=people)
        assert money(world, "boss", LATER) == (0, 0, 0, 200)
