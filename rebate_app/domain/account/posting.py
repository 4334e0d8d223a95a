"""Posting: ledger entries and the sums of the head, always together.

The head is the sum of everything that was posted. Whoever posts names the kind of its entries; only the
poster of order lines derives it, from the direction in which a share moves
(docs/how-to/add-a-ledger-kind.md).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..order.value import CLOSED, DATED, OPEN, SETTLED_PHASE
from .account import AccountLine, Head
from .ledger import (
    ADJUST,
    ALWAYS,
    CLAWBACK,
    ENTRY_FORMAT,
    ESTIMATE,
    ESTIMATE_VOID,
    HOLD,
    NOTHING,
    SETTLE,
    SETTLE_REVERSAL,
    UNHOLD,
    Amounts,
    Entry,
    LedgerKind,
    differences,
)
from .share import LineShare

#: Why something is posted: the record's timestamp in µs, the kind of fact, and the network's moment, compact.
PostingCause = tuple[int, str, int | None]


def post(head: Head, kind: LedgerKind, amounts: Amounts, cause: PostingCause) -> list[Entry]:
    """Add amounts that belong to no order line to the account; return their entries, all of that kind."""
    at, reason, modified_at = cause
    _add_amounts(head, amounts, +1)
    return [
        Entry(at, day, "", "", kind.name, estimated, settled, held, reason, "", ENTRY_FORMAT, modified_at)
        for day, estimated, settled, held in differences(NOTHING, amounts)
    ]


def post_money(
    head: Head,
    kind: LedgerKind,
    own_id: str,
    amounts: Sequence[Amounts],
    beside: tuple[int, int],
    cause: PostingCause,
    rule: str,
) -> Entry:
    """Add money that belongs to no line, and `beside` (frozen, withdrawn), in one entry about `own_id`."""
    at, reason, _ = cause
    frozen, withdrawn = beside
    for each in amounts:
        _add_amounts(head, each, +1)
    head.frozen += frozen
    head.withdrawn += withdrawn
    settled = sum(each.settled for each in amounts)
    return Entry(
        at,
        None,
        "",
        "",
        kind.name,
        0,
        settled,
        0,
        reason,
        rule,
        frozen=frozen,
        withdrawn=withdrawn,
        own_id=own_id,
    )


def post_line_share(
    head: Head, record: AccountLine, before: LineShare, after: LineShare, cause: PostingCause
) -> list[Entry]:
    """Move a line's share from `before`, which is posted, to `after`; return one entry per difference.

    A reversal carries the role and rule version of the entries that it reverses, so a buyer who becomes an
    inviter of the line gets entries of both roles.
    """
    old, new = before.amounts, after.amounts
    old_rule = before.rule or ""
    moved = old != new
    if after.role in ("", before.role) or old == NOTHING:
        steps = [(after.role or before.role, after.rule or old_rule, old, new)] if moved else []
    else:
        steps = [(before.role, old_rule, old, NOTHING), (after.role, after.rule or "", NOTHING, new)]
    if moved:
        _add_amounts(head, old, -1)
        _add_amounts(head, new, +1)
    record.posted, record.role, record.rule = new, after.role or before.role, after.rule or old_rule
    at, reason, moment = cause
    line = record.line
    return [
        Entry(at, day, line, role, line_kind(e, s, h).name, e, s, h, reason, rule, ENTRY_FORMAT, moment)
        for role, rule, step_before, step_after in steps
        for day, e, s, h in differences(step_before, step_after)
    ]


def line_kind(estimated: int, settled: int, held: int) -> LedgerKind:
    """Return the kind of an order line's entry, from the direction in which its money moves."""
    if estimated and not settled and not held:
        return ESTIMATE if estimated > 0 else ESTIMATE_VOID
    if settled > 0:
        return SETTLE if estimated < 0 else UNHOLD if held < 0 else ADJUST
    if estimated > 0:
        return SETTLE_REVERSAL if settled < 0 else UNHOLD if held < 0 else ADJUST
    return HOLD if held > 0 else CLAWBACK


def _add_amounts(head: Head, amounts: Amounts, sign: int) -> None:
    head.estimated += sign * amounts.estimated
    head.held += sign * amounts.held
    if amounts.settled and amounts.release_on is not None:
        _add_settled(head, ALWAYS, amounts.release_on, sign * amounts.settled)
    if amounts.on is None:
        return
    if amounts.later_settled and amounts.release_on is not None:
        _add_settled(head, amounts.on, amounts.release_on, sign * amounts.later_settled)
    _shift(head, amounts.on, -sign * amounts.estimated, sign * (amounts.later_held - amounts.held), 0)


def _add_settled(head: Head, from_day: int, release_on: int, amount: int) -> None:
    by_release = head.settled.setdefault(from_day, {})
    by_release[release_on] = by_release.get(release_on, 0) + amount
    if not by_release[release_on]:
        del by_release[release_on]
    if not by_release:
        del head.settled[from_day]


def _shift(head: Head, day: int, estimated: int, held: int, lines: int) -> None:
    before = head.later.get(day, (0, 0, 0))
    after = (before[0] + estimated, before[1] + held, before[2] + lines)
    if after == (0, 0, 0):
        head.later.pop(day, None)
    else:
        head.later[day] = after


def count_line(head: Head, record: AccountLine, before: LineShare, after: LineShare) -> None:
    """Count the line under open, settled or closed for its buyer, and no more when it has left."""
    if after.phase == before.phase and after.phase_day == before.phase_day:
        return
    _count(head, before.phase, before.phase_day, -1)
    _count(head, after.phase, after.phase_day, +1)
    record.counted, record.counted_day = after.phase, after.phase_day


def _count(head: Head, phase: str, day: int | None, sign: int) -> None:
    if phase in (OPEN, DATED):
        head.open += sign
    elif phase == SETTLED_PHASE:
        head.settled_lines += sign
    elif phase == CLOSED:
        head.closed += sign
    if day is not None:
        _shift(head, day, 0, 0, sign)
