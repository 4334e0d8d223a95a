"""Books money out: ledger entry, sums of the head, totals and the balance's event, always together.

See docs/spec/money-out.md#buckets. Money that belongs to no line is available from ALWAYS on, so that an
account keeps one sum for it, however many withdrawals there were.
"""

from __future__ import annotations

from msgspec import Struct

from ..account.account import HEAD_FORMAT, Head
from ..account.balance import MoneyChange
from ..account.events import PendingEvents
from ..account.ledger import (
    ALWAYS,
    NOTHING,
    WITHDRAW,
    WITHDRAW_BACK,
    WITHDRAW_PAID,
    WITHDRAW_RETURNED,
    Amounts,
    LedgerKind,
)
from ..account.posting import post_money
from ..account.totals import MoneyTotals
from .money_records import MoneyRecords
from .states import FREEZE, GIVE_BACK, PAY, PAY_AFTER_BACK, RETURN, Move

#: Which kind of entry a move of money makes.
KIND_OF_MOVE: dict[Move, LedgerKind] = {
    FREEZE: WITHDRAW,
    GIVE_BACK: WITHDRAW_BACK,
    PAY: WITHDRAW_PAID,
    RETURN: WITHDRAW_RETURNED,
    PAY_AFTER_BACK: WITHDRAW_PAID,
}


class Booking(Struct, frozen=True):
    """One entry: its kind, the id of what it is about, the fact that causes it, and the money that moves.

    `parts`: (day, amount), confirmed until that day; ALWAYS is available at once. `rule`: the version that
    decided. `totals`: what is added to the totals over accounts, besides `frozen` and `withdrawn`.
    """

    kind: LedgerKind
    own_id: str
    cause: str
    at: int
    parts: tuple[tuple[int, int], ...] = ()
    frozen: int = 0
    withdrawn: int = 0
    rule: str = ""
    adjustments: int = 0
    openings: int = 0


def grown_head(records: MoneyRecords) -> Head:
    """Return the head of an account that is about to change, with its next version."""
    head = records.head()
    if head.format != HEAD_FORMAT:
        records.upgrade_head()
    head.version += 1
    return head


def book(user_id: str, records: MoneyRecords, booking: Booking, pending_events: PendingEvents) -> None:
    """Book one entry."""
    head = grown_head(records)
    amounts = [Amounts(settled=amount, release_on=day) for day, amount in booking.parts if amount]
    for each in amounts:
        records.move_amounts(each)
    frozen, withdrawn = booking.frozen, booking.withdrawn
    records.move_money(MoneyTotals(frozen, withdrawn, booking.adjustments, booking.openings))
    cause = (booking.at, booking.cause, None)
    entry = post_money(head, booking.kind, booking.own_id, amounts, (frozen, withdrawn), cause, booking.rule)
    records.append(entry, head.entry_count)
    head.entry_count += 1
    first = MoneyChange(NOTHING, amounts[0] if amounts else NOTHING, frozen, withdrawn)
    pending_events.add_balance(user_id, head.version, entry, first)
    for each in amounts[1:]:
        pending_events.add_balance(user_id, head.version, entry, MoneyChange(NOTHING, each))


def moved(move: Move, amount: int) -> tuple[tuple[tuple[int, int], ...], int, int]:
    """Return (parts, frozen, withdrawn) of a move."""
    available = move.available * amount
    parts = ((ALWAYS, available),) if available else ()
    return parts, move.frozen * amount, move.withdrawn * amount
