"""The account of an attribution id: lines that belong to whoever the id is bound to (contracts.md 1).

It forwards each line, whole, to one user: the one the id is bound to, else the one whose claim
decides, else nobody. Binding anew moves every line; more than one chunk's worth of lines is moved
by messages to itself, so no record ever causes more than MOVES_MAX others.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct, field

from .facts import Bind
from .folding import Now
from .ledger import ALWAYS
from .messages import Cursor, LineTarget, Message
from .worth import CLOSED, CONFIRMED, DATED, SETTLED_PHASE, Worth

MOVES_MAX = 250  # lines moved by one record: a leaving and an arriving target each (engine.md 2: ≤ 500)


class IdLine(Struct, array_like=True):
    """One line of an attribution id (format 1)."""

    format: int
    seq: int
    line: str
    version: int = -1
    line_version: int = -1
    worth: Worth | None = None
    claim: str | None = None
    cause: str = ""
    forwarded_to: str | None = None
    by: str = ""


class IdHead(Struct, array_like=True):
    """The sums of one attribution id (format 1): lines, and net in fen by the day from which it counts.

    `claimed` and `claimed_net` are the part of it that belongs to claimants while the id is unbound.
    """

    format: int = 1
    version: int = 0
    line_count: int = 0  # that ever came
    bound: str | None = None
    binding: int = -1  # offset of the binding that holds
    moving: bool = False  # whether lines are still being moved after it
    lines: int = 0
    claimed: int = 0
    net: dict[int, int] = field(default_factory=dict)
    claimed_net: dict[int, int] = field(default_factory=dict)


class IdRecords(Protocol):
    """One attribution id's records, as the fold needs them. Getting a record allows changing it in place."""

    def head(self) -> IdHead:
        """Return the head, a fresh one for an id never seen."""
        ...

    def line(self, line: str) -> IdLine | None:
        """Return the line, None when it never came."""
        ...

    def line_at(self, seq: int) -> IdLine:
        """Return the line that came as number `seq`."""
        ...

    def add_line(self, record: IdLine) -> None:
        """Keep a line that came for the first time."""
        ...


def net_steps(worth: Worth) -> dict[int, int]:
    """Return the line's net by the day from which it counts: before settlement, and net₀ − R after it."""
    if worth.phase == CLOSED or worth.punished == CONFIRMED:
        return {}
    if worth.phase == SETTLED_PHASE:
        return {ALWAYS: worth.gross}
    steps = {ALWAYS: worth.net}
    if worth.phase == DATED and worth.from_day is not None:
        steps[worth.from_day] = worth.gross - worth.net
    return steps


def _add(sums: dict[int, int], steps: dict[int, int], sign: int) -> None:
    for day, amount in steps.items():
        total = sums.get(day, 0) + sign * amount
        if total:
            sums[day] = total
        else:
            sums.pop(day, None)


def _count(head: IdHead, record: IdLine, sign: int) -> None:
    if record.worth is None:
        return
    steps = net_steps(record.worth)
    head.lines += sign
    _add(head.net, steps, sign)
    if record.claim is not None:
        head.claimed += sign
        _add(head.claimed_net, steps, sign)


def fold_id_target(records: IdRecords, target: LineTarget, now: Now) -> list[Message]:
    """Take a line's worth and forward it to whom the line belongs."""
    head = records.head()
    record = records.line(target.line)
    if record is None:
        record = IdLine(1, head.line_count, target.line)
        head.line_count += 1
        records.add_line(record)
    if target.version < record.version:
        return []
    _count(head, record, -1)
    changed = (record.worth, record.claim) != (target.worth, target.claim)
    record.version, record.line_version = target.version, target.line_version
    record.worth, record.claim, record.cause = target.worth, target.claim, target.cause
    _count(head, record, +1)
    head.version += changed
    return forward(head, record, target.to, now, changed=changed)


def forward(head: IdHead, record: IdLine, own_id: str, now: Now, *, changed: bool) -> list[Message]:
    """Return the targets that bring the line to its user and take it from the one before."""
    to, by = desired_user(head, record)
    before = record.forwarded_to
    if before == to and not changed and by == record.by:
        return []
    messages: list[Message] = []
    if before is not None and before != to:
        cause = "reassigned"
        messages.append(
            LineTarget(before, record.line, own_id, now.offset, record.line_version, None, cause=cause)
        )
    if to is not None:
        cause = record.cause if before == to else by
        messages.append(
            LineTarget(
                to, record.line, own_id, now.offset, record.line_version, record.worth, by, None, cause
            )
        )
    record.forwarded_to, record.by = to, by
    return messages


def desired_user(head: IdHead, record: IdLine) -> tuple[str | None, str]:
    """Return (user, why) to whom the line belongs: `binding` beats `claim`; (None, "") in suspense."""
    if record.worth is None:
        return None, ""
    if head.bound is not None:
        return head.bound, "binding"
    return (None, "") if record.claim is None else (record.claim, "claim")


def net_at(sums: dict[int, int], day: int) -> int:
    """Return what the sums amount to on that day, in fen."""
    return sum(amount for from_day, amount in sums.items() if from_day <= day)


def fold_bind(records: IdRecords, fact: Bind, now: Now) -> list[Message]:
    """Bind the id from here on and begin to move its lines; the last binding in the log holds."""
    head = records.head()
    head.version += 1
    head.bound, head.binding, head.moving = fact.user_id, now.offset, True
    return _move(head, records, fact.attribution_id, 0, now)


def fold_cursor(records: IdRecords, cursor: Cursor, now: Now) -> list[Message]:
    """Go on moving lines after a binding; a newer binding makes the older one's cursor void."""
    head = records.head()
    if not head.moving or cursor.binding != head.binding:
        return []
    return _move(head, records, cursor.to, cursor.position, now)


def _move(head: IdHead, records: IdRecords, own_id: str, start: int, now: Now) -> list[Message]:
    end = min(start + MOVES_MAX, head.line_count)
    messages: list[Message] = []
    for seq in range(start, end):
        messages += forward(head, records.line_at(seq), own_id, now, changed=False)
    if end < head.line_count:
        messages.append(Cursor(own_id, head.binding, end))
    else:
        head.moving = False
    return messages
