"""What follows when the share that a line brings a user changes: entries, counts, events, bonuses.

Every change of a line's share goes through here, so ledger, head, totals and pending events never differ.
"""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from ..messages import BonusTarget, Message
from .account import NOT_REPRICED, AccountLine
from .account_records import AccountRecords
from .balance import MoneyChange
from .events import PendingEvents
from .posting import PostingCause, count_line, post_line_share
from .share import InviterBonus, LineShare


def post_line_change(
    user_id: str,
    records: AccountRecords,
    record: AccountLine,
    change: tuple[LineShare, LineShare],
    cause: PostingCause,
    pending_events: PendingEvents,
) -> None:
    """Post the difference between a line's share before and after, and note the balance's event."""
    before, after = change
    head = records.head()
    record.updated_at = cause[0]
    records.move_share(record, before, after)
    entries = post_line_share(head, record, before, after, cause)
    for entry in entries:
        records.append(entry, head.entry_count)
        head.entry_count += 1
    count_line(head, record, before, after)
    if entries:
        moved = MoneyChange(before.amounts, after.amounts)
        pending_events.add_balance(user_id, head.version, entries[-1], moved)


def bonus_messages(
    line: str,
    offset: int,
    cause: tuple[str, int | UnsetType],
    before: InviterBonus | None,
    after: InviterBonus | None,
) -> list[Message]:
    """Return the targets that take the bonus from the inviter before and bring it to the one after.

    `offset` is that of the causing record, `cause` the kind of fact and the network's moment.
    """
    reason, modified_at = cause
    messages: list[Message] = []
    if before is not None and (after is None or before[:2] != after[:2]):
        to, chain, _, _, line_version = before
        messages.append(BonusTarget(to, line, chain, offset, line_version, None, reason, UNSET, modified_at))
    if after is not None and (before is None or before[:4] != after[:4]):
        to, chain, terms, repriced, line_version = after
        mark = UNSET if repriced == NOT_REPRICED else repriced
        messages.append(BonusTarget(to, line, chain, offset, line_version, terms, reason, mark, modified_at))
    return messages
