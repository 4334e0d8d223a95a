"""Decides withdrawals again as the owner did, by the clock of that time (docs/spec/money-out.md#deciding).

The table says where each decision took effect and by which clock; the fold computes everything else anew, so
a decision that the account did not warrant is a difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from rebate_app.streams.state.store import WATERMARK_KEY, Readable, decode_watermark
from rebate_app.wire.unreadable import UnreadableValueError
from tables.money_out import WITHDRAWAL

from .table_copy import StoredRecords


class DecisionReplay:
    """What one partition's table says about the decisions; `table` is set once it is known."""

    def __init__(self) -> None:
        self.table: Readable | None = None

    def clock_us(self, user_id: str, withdrawal_id: str, offset: int) -> int | None:
        """Return the clock by which the request was decided at that place, None if it was not."""
        if self.table is None:
            return None
        withdrawal = WITHDRAWAL.read(self.table, WITHDRAWAL.key(user_id, withdrawal_id))
        if withdrawal is None or withdrawal.decided_offset != offset:
            return None
        return withdrawal.decided_at

    def topic_id(self) -> str:
        """Return the id of the log that the table was made from, "" without one."""
        stored = None if self.table is None else self.table.get(WATERMARK_KEY)
        if stored is None:
            return ""
        try:
            return decode_watermark(stored).topic_id
        except UnreadableValueError:
            return ""


def followed_decisions(fold: StoredRecords) -> Iterator[int]:
    """Yield the offsets of the decisions that took effect as facts of the log."""
    for key, value in fold.items():
        if key.startswith(WITHDRAWAL.prefix):
            withdrawal = WITHDRAWAL.decode(value, key)
            if withdrawal.decided_offset > withdrawal.request_offset:
                yield withdrawal.decided_offset
