"""Totals of a partition in table `accounts`: records by day, their view in a batch, their scan, their sums.

| key | record |
|---|---|
| `T now` | what counts at once |
| `T d DAY` | what that day changes |
| `T b BLOCK` | the sum over the days of a block |
| `t` | how many days with records each block has |

A block is DAYS_IN_BLOCK days, so that a sum up to any day reads a record for each block before it and for
each day of its own block, however long the history is. A record that changes nothing is not kept: which
records there are, and their bytes, follow from the accounts alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct, field
from msgspec.json import encode

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.attribution_account import IdHead
from rebate_app.domain.account.ledger import ALWAYS, Amounts
from rebate_app.domain.account.share import LineShare
from rebate_app.domain.account.totals import (
    MoneyTotals,
    Steps,
    Sums,
    Totals,
    TotalsChange,
    changes_available,
    debt_steps,
    suspense_steps,
)
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import BuildProgress
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import Readable

DAYS_IN_BLOCK = 32
NO_PLATFORM = ""  # of amounts that belong to no line


class TotalsBlocks(Struct, array_like=True):
    """The number of days that have a record, by block (format 1); a block without any is left out."""

    format: int = 1
    days: dict[int, int] = field(default_factory=dict)


TOTALS = RecordKind("T", Totals)
AT_ONCE_KEY = TOTALS.key("now")
BLOCKS = RecordKind("", TotalsBlocks)
BLOCKS_KEY = b"t"


def block_of(day: int) -> int:
    """Return the block that a day is in."""
    return day // DAYS_IN_BLOCK


class TotalsView:
    """The totals within a batch: collects what the batch changes, of accounts that `progress` covers.

    Call `before_head` and `before_id` before an account changes, `move_share` for every share that moves.
    """

    def __init__(self, transaction: StateTransaction, progress: BuildProgress) -> None:
        self._transaction = transaction
        self._progress = progress
        self._change = TotalsChange()
        self._debts: dict[str, tuple[Head, Steps]] = {}
        self._ids: dict[str, tuple[IdHead, Steps]] = {}

    def move_share(
        self, user_id: str, head: Head, sequence: int, platform: str, shares: tuple[LineShare, LineShare]
    ) -> None:
        """Move the share of the user's line of that number; called before the head changes."""
        progress = self._progress
        if not progress.done and not progress.covers(f"h {user_id}", sequence):
            return
        self._change.move_share(platform, *shares)
        if user_id not in self._debts and changes_available(shares[0].amounts, shares[1].amounts):
            self.before_head(user_id, head)

    def move_amounts(self, user_id: str, head: Head, amounts: Amounts) -> None:
        """Add amounts that belong to no line, such as a withdrawal's; called before the head changes.

        A scan counts lines, and stores of the versions that it is for have no other amounts.
        """
        self._change.add_amounts(NO_PLATFORM, amounts)
        self.before_head(user_id, head)

    def move_money(self, money: MoneyTotals) -> None:
        """Add money of withdrawals, adjustments and openings; a scan finds none, as `move_amounts` says."""
        self._change.add_money(money)

    def before_head(self, user_id: str, head: Head) -> None:
        """Note what the user owes before his account changes in a way that can change that."""
        if user_id not in self._debts and (self._progress.done or self._progress.covers(f"h {user_id}")):
            self._debts[user_id] = head, debt_steps(head)

    def before_id(self, attribution_id: str, head: IdHead) -> None:
        """Note what an attribution id keeps in suspense before it changes."""
        if attribution_id in self._ids:
            return
        if self._progress.done or self._progress.covers(f"H {attribution_id}"):
            self._ids[attribution_id] = head, suspense_steps(head)

    def flush(self) -> None:
        """Write what changed to the transaction."""
        for head, steps in self._debts.values():
            self._change.add_debt(steps, -1)
            self._change.add_debt(debt_steps(head), +1)
        for id_head, steps in self._ids.values():
            self._change.add_suspense(steps, -1)
            self._change.add_suspense(suspense_steps(id_head), +1)
        write_change(self._transaction, self._change)
        self._change = TotalsChange()
        self._debts.clear()
        self._ids.clear()


def write_change(transaction: StateTransaction, change: TotalsChange) -> None:
    """Add a change to the records of its days and of their blocks."""
    blocks: dict[int, Totals] = {}
    appeared: dict[int, int] = {}
    for day, totals in change.days.items():
        if day == ALWAYS:
            _add(transaction, AT_ONCE_KEY, totals)
            continue
        block = block_of(day)
        more = _add(transaction, TOTALS.key("d", day), totals)
        if more:
            appeared[block] = appeared.get(block, 0) + more
        blocks.setdefault(block, Totals()).add(totals)
    for block, totals in blocks.items():
        _add(transaction, TOTALS.key("b", block), totals)
    if any(appeared.values()):
        _count_days(transaction, appeared)


def _count_days(transaction: StateTransaction, appeared: Mapping[int, int]) -> None:
    known = BLOCKS.read(transaction, BLOCKS_KEY) or TotalsBlocks()
    for block, more in appeared.items():
        known.days[block] = known.days.get(block, 0) + more
    known.days = {block: count for block, count in sorted(known.days.items()) if count}
    if known.days:
        transaction.put(BLOCKS_KEY, encode(known))
    else:
        transaction.delete(BLOCKS_KEY)


def _add(transaction: StateTransaction, key: bytes, totals: Totals) -> int:
    """Add to the record under the key; return 1 if it is new, -1 if it is gone, else 0."""
    before = transaction.get(key)
    total = Totals() if before is None else TOTALS.decode(before, key)
    total.add(totals)
    if total.is_empty:
        if before is None:
            return 0
        transaction.delete(key)
        return -1
    after = encode(total)
    if after != before:
        transaction.put(key, after)
    return int(before is None)


def read_sums(store: Readable, day: int) -> Sums:
    """Return the partition's totals on a day, without its number of users."""
    sums = Sums()
    at_once = TOTALS.read(store, AT_ONCE_KEY)
    if at_once is not None:
        sums.take(at_once, day)
    blocks = BLOCKS.read(store, BLOCKS_KEY) or TotalsBlocks()
    for block in blocks.days:
        if block < block_of(day):
            whole = TOTALS.read(store, TOTALS.key("b", block))
            if whole is not None:
                sums.take(whole, day)
            continue
        for on, totals in _days_of(store, block):
            if on <= day:
                sums.take(totals, day)
            else:
                sums.take_later(on, totals, day)
    return sums


def _days_of(store: Readable, block: int) -> Iterator[tuple[int, Totals]]:
    for day in range(block * DAYS_IN_BLOCK, (block + 1) * DAYS_IN_BLOCK):
        totals = TOTALS.read(store, TOTALS.key("d", day))
        if totals is not None:
            yield day, totals
