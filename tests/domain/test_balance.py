"""An account on a day: what dates do to it, and what is owed."""

from __future__ import annotations

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import balance_on, line_buckets
from rebate_app.domain.account.ledger import ALWAYS, LEDGER_KINDS, NOTHING, ORDER_LINES, Amounts, differences
from rebate_app.domain.account.posting import line_kind


class TestBalance:
    """Sums by date, looked at on one day."""

    def test_what_is_available_below_zero_is_debt(self) -> None:
        """`available` is signed; what is owed is never negative."""
        owing = balance_on(Head(settled={ALWAYS: {10: -300}}), 10)
        assert (owing.available, owing.debt, owing.confirmed) == (-300, 300, 0)
        fine = balance_on(Head(settled={ALWAYS: {10: 300}}), 10)
        assert (fine.available, fine.debt) == (300, 0)

    def test_a_date_counts_from_its_start(self) -> None:
        """The day before nothing of it counts, on the day all of it does."""
        head = Head(estimated=100, held=5, settled={20: {25: 90}}, later={20: (-100, 10, 1)}, open=1)
        before, then, released = (balance_on(head, day) for day in (19, 20, 25))
        assert (before.estimated, before.held, before.confirmed, before.open) == (100, 5, 0, 1)
        assert (then.estimated, then.held, then.confirmed, then.settled) == (0, 15, 90, 1)
        assert then.maturing == ((25, 90),)
        assert (released.available, released.maturing) == (90, ())

    def test_amounts_of_one_release_day_mature_together(self) -> None:
        """What cancels out is not told."""
        head = Head(settled={ALWAYS: {25: 90, 26: 7}, 20: {25: -90, 26: 3}})
        assert balance_on(head, 20).maturing == ((26, 10),)


class TestLines:
    """One share of a line on a day."""

    def test_buckets_follow_both_dates(self) -> None:
        """Estimated, then confirmed from settlement, then available from release."""
        share = Amounts(100, 0, 0, 20, 10, 80, 25)
        assert line_buckets(share, 19) == {"estimated": 100, "confirmed": 0, "available": 0, "held": 0}
        assert line_buckets(share, 20) == {"estimated": 0, "confirmed": 80, "available": 0, "held": 10}
        assert line_buckets(share, 25) == {"estimated": 0, "confirmed": 0, "available": 80, "held": 10}


class TestPostings:
    """Differences between two shares, and the words for them."""

    def test_no_difference_is_no_entry(self) -> None:
        """An equal share posts nothing, not even zeros."""
        share = Amounts(100, 0, 0, 20, 10, 80, 25)
        assert differences(share, share) == []
        assert differences(NOTHING, NOTHING) == []

    def test_dates_that_move_are_taken_back_and_given_anew(self) -> None:
        """Each date has its own entry; what holds at once comes first."""
        old, new = Amounts(100, 0, 0, 20, 0, 80, 25), Amounts(110, 0, 0, 22, 0, 85, 25)
        assert differences(old, new) == [(None, 10, 0, 0), (20, 100, -80, 0), (22, -110, 85, 0)]

    def test_only_the_release_day_moves_no_money(self) -> None:
        """Release is no posting: the money stays settled."""
        assert differences(Amounts(settled=80, release_on=25), Amounts(settled=80, release_on=26)) == []

    def test_every_change_has_a_word(self) -> None:
        """Signs decide; every word is in the catalogue, and every word of it is used."""
        signs = (-1, 0, 1)
        changes = [(e, s, h) for e in signs for s in signs for h in signs if any((e, s, h))]
        words = {kind.name for kind in LEDGER_KINDS.values() if kind.posted_by == ORDER_LINES}
        assert {line_kind(*change).name for change in changes} == words

    def test_words(self) -> None:
        """The changes that there are in practice."""
        words = {
            (5, 0, 0): "estimate",
            (-5, 0, 0): "estimate-void",
            (-5, 4, 0): "settle",
            (-5, 3, 1): "settle",
            (5, -4, 0): "settle-reversal",
            (0, -3, 3): "hold",
            (-5, 0, 5): "hold",
            (0, 3, -3): "unhold",
            (5, 0, -5): "unhold",
            (0, -3, 0): "clawback",
            (0, 0, -3): "clawback",
            (-1, -1, 0): "clawback",
            (0, 3, 0): "adjust",
            (1, 0, 1): "adjust",
        }
        assert {change: line_kind(*change).name for change in words} == words
