"""What a change of a line does to its account: ledger entries, and the sums of the head.

Separate from account.py: there it is decided what a line is worth to the user, here it is booked.
"""

from __future__ import annotations

from .account import AccountLine, Effective, Head, worth_of
from .ledger import ALWAYS, NOTHING, Amounts, Entry, kind_of, postings
from .worth import CLOSED, CONFIRMED, DATED, OPEN, SETTLED_PHASE

BUYER = "buyer"
INVITER = "inviter"


def role_of(effective: Effective | None) -> str:
    """Return as whom the user has the line now, "" for not at all."""
    if effective is None:
        return ""
    return BUYER if effective[1].terms is None else INVITER


def post(
    head: Head, record: AccountLine, role: str, after: Amounts, *, at: int, cause: str, rule: str | None
) -> list[Entry]:
    """Move the line's share from what was posted to `after`; return one entry per difference.

    An entry says as whom and under which rule version: what is taken back is taken back as what it
    was given, so a buyer who becomes an inviter of the line gets entries of both roles. `role` "" and
    `rule` None: the line is no longer the user's, or priced by nothing.
    """
    before, same = record.posted, record.posted == after
    if role in ("", record.role) or before == NOTHING:
        steps = [] if same else [(role or record.role, rule or record.rule, before, after)]
    else:
        steps = [(record.role, record.rule, before, NOTHING), (role, rule or "", NOTHING, after)]
    if role:
        record.role = role
    record.rule = rule or record.rule
    if not same:
        _add(head, before, -1)
        _add(head, after, +1)
        record.posted = after
    return [
        Entry(at, day, record.line, said_role, kind_of(e, s, h), e, s, h, cause, priced_by)
        for said_role, priced_by, was, becomes in steps
        for day, e, s, h in postings(was, becomes)
    ]


def _add(head: Head, amounts: Amounts, sign: int) -> None:
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
    was = head.later.get(day, (0, 0, 0))
    becomes = (was[0] + estimated, was[1] + held, was[2] + lines)
    if becomes == (0, 0, 0):
        head.later.pop(day, None)
    else:
        head.later[day] = becomes


def count_line(head: Head, record: AccountLine, effective: Effective | None) -> None:
    """Count the line under open, settled or closed for its buyer, and no more when it left."""
    phase, day = "", None
    if effective is not None and effective[1].terms is None:
        worth = worth_of(effective[1])
        phase = CLOSED if worth.punished == CONFIRMED else worth.phase
        day = worth.from_day if phase == DATED else None
    if (phase, day) == (record.counted, record.counted_day):
        return
    _count(head, record.counted, record.counted_day, -1)
    _count(head, phase, day, +1)
    record.counted, record.counted_day = phase, day


def _count(head: Head, phase: str, day: int | None, sign: int) -> None:
    if phase in (OPEN, DATED):
        head.open += sign
    elif phase == SETTLED_PHASE:
        head.settled_lines += sign
    elif phase == CLOSED:
        head.closed += sign
    if day is not None:
        _shift(head, day, 0, 0, sign)
