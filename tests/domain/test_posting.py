"""Posting of amounts that belong to no order line: the poster names the kind, whatever the signs."""

from __future__ import annotations

import pytest

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.account.ledger import ALWAYS, LEDGER_KINDS, Amounts, Entry, LedgerKind
from rebate_app.domain.account.posting import line_kind, post

TOY = LedgerKind("toy", "a toy is paid for", "a test")
CAUSE = (7, "toy-bought", None)


def test_an_entry_has_the_kind_of_its_poster() -> None:
    """The same signs as a clawback of a line, and another kind."""
    head = Head()
    entries = post(head, TOY, Amounts(settled=-100, release_on=ALWAYS), CAUSE)
    assert entries == [Entry(7, None, "", "", "toy", 0, -100, 0, "toy-bought", "")]
    assert line_kind(0, -100, 0).name == "clawback"


@pytest.mark.parametrize(("day", "estimated", "held", "available"), [(9, 30, 5, 0), (10, 0, 1, 20)])
def test_the_head_is_the_sum_of_what_was_posted(day: int, estimated: int, held: int, available: int) -> None:
    """Each step of the amounts is an entry and counts from its day on."""
    head = Head()
    amounts = Amounts(30, 5, 0, on=10, later_held=1, later_settled=20, release_on=10)
    entries = post(head, TOY, amounts, CAUSE)
    assert [(entry.effective_on, entry.estimated, entry.settled, entry.held) for entry in entries] == [
        (None, 30, 0, 5),
        (10, -30, 20, -4),
    ]
    balance = balance_on(head, day)
    assert (balance.estimated, balance.held, balance.available) == (estimated, held, available)


def test_the_table_has_every_kind_once() -> None:
    """Names are unique, and every row has a meaning and a poster."""
    assert [kind.name for kind in LEDGER_KINDS.values()] == list(LEDGER_KINDS)
    assert all(kind.meaning and kind.posted_by for kind in LEDGER_KINDS.values())
