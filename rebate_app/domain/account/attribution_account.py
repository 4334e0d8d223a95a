"""The account of an attribution id (docs/spec/facts.md#attribution).

It forwards each line, whole, to one user: the one to whom the id is bound, else the claimant, else nobody
(suspense). A new binding moves every line; where there are more than MOVES_MAX lines, messages to itself
continue, so the effects of one record are bounded.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import UNSET, Struct, UnsetType, field

from ..facts import Bind
from ..messages import Cursor, LineTarget, Message
from ..now import Now
from ..order.value import CLOSED, CONFIRMED, DATED, SETTLED_PHASE, LineValue
from .ledger import ALWAYS

#: Lines moved by one record: a leaving and an arriving target each
#: (docs/spec/exactness.md#effects-per-message: ≤ 500).
MOVES_MAX = 250


class IdLine(Struct, array_like=True):
    """One line of an attribution id (format 1)."""

    format: int
    sequence: int
    line: str
    version: int = -1
    line_version: int = -1
    line_value: LineValue | None = None
    claim: str | None = None
    cause: str = ""
    forwarded_to: str | None = None
    by: str = ""


class IdHead(Struct, array_like=True):
    """The sums of one attribution id (format 1): lines, and net in fen by the day from which it counts.

    `claimed` and `claimed_net` are the part that belongs to claimants while the id is unbound.
    """

    format: int = 1
    version: int = 0
    line_count: int = 0  # of all lines that ever came
    bound: str | None = None
    binding: int = -1  # offset of the binding in force
    moving: bool = False  # whether lines are still being moved after it
    lines: int = 0
    claimed: int = 0
    net: dict[int, int] = field(default_factory=dict)
    claimed_net: dict[int, int] = field(default_factory=dict)


class IdRecords(Protocol):
    """One attribution id's records, as the folds need them; records may be changed in place."""

    def head(self) -> IdHead:
        """Return the head, a fresh one for an id never seen."""
        ...

    def line(self, line: str) -> IdLine | None:
        """Return the line, None for a new one."""
        ...

    def line_at(self, sequence: int) -> IdLine:
        """Return the line that came as number `sequence`."""
        ...

    def add_line(self, record: IdLine) -> None:
        """Keep a line that came for the first time."""
        ...


def net_steps(line_value: LineValue) -> dict[int, int]:
    """Return the line's net by the day from which it counts: before settlement, and net₀ − R after it."""
    if line_value.phase == CLOSED or line_value.punished == CONFIRMED:
        return {}
    if line_value.phase == SETTLED_PHASE:
        return {ALWAYS: line_value.gross}
    steps = {ALWAYS: line_value.net}
    if line_value.phase == DATED and line_value.from_day is not None:
        steps[line_value.from_day] = line_value.gross - line_value.net
    return steps


def _add(sums: dict[int, int], steps: dict[int, int], sign: int) -> None:
    for day, amount in steps.items():
        total = sums.get(day, 0) + sign * amount
        if total:
            sums[day] = total
        else:
            sums.pop(day, None)


def _count(head: IdHead, record: IdLine, sign: int) -> None:
    if record.line_value is None:
        return
    steps = net_steps(record.line_value)
    head.lines += sign
    _add(head.net, steps, sign)
    if record.claim is not None:
        head.claimed += sign
        _add(head.claimed_net, steps, sign)


def fold_id_target(records: IdRecords, target: LineTarget, now: Now) -> list[Message]:
    """Fold a target: keep the line's value, and forward it to the user to whom the line belongs."""
    head = records.head()
    record = records.line(target.line)
    if record is None:
        record = IdLine(1, head.line_count, target.line)
        head.line_count += 1
        records.add_line(record)
    if target.version < record.version:
        return []
    _count(head, record, -1)
    changed = (record.line_value, record.claim) != (target.line_value, target.claim)
    record.version, record.line_version = target.version, target.line_version
    record.line_value, record.claim, record.cause = target.line_value, target.claim, target.cause
    _count(head, record, +1)
    head.version += changed
    return forward(head, record, target.to, now, changed=changed, modified_at=target.modified_at)


def forward(
    head: IdHead,
    record: IdLine,
    own_id: str,
    now: Now,
    *,
    changed: bool,
    modified_at: int | UnsetType = UNSET,
) -> list[Message]:
    """Return the targets that bring the line to its user and take it from the one before.

    `modified_at` is the network's moment of the causing fact; a binding has none.
    """
    to, by = desired_user(head, record)
    before = record.forwarded_to
    if before == to and not changed and by == record.by:
        return []
    messages: list[Message] = []
    place = (record.line, own_id, now.offset, record.line_version)
    if before is not None and before != to:
        messages.append(LineTarget(before, *place, None, cause="reassigned", modified_at=modified_at))
    if to is not None:
        cause = record.cause if before == to else by
        messages.append(LineTarget(to, *place, record.line_value, by, None, cause, modified_at))
    record.forwarded_to, record.by = to, by
    return messages


def desired_user(head: IdHead, record: IdLine) -> tuple[str | None, str]:
    """Return (user, why) to whom the line belongs: `binding` beats `claim`; (None, "") in suspense."""
    if record.line_value is None:
        return None, ""
    if head.bound is not None:
        return head.bound, "binding"
    return (None, "") if record.claim is None else (record.claim, "claim")


def net_at(sums: dict[int, int], day: int) -> int:
    """Return the sum on that day, in fen."""
    return sum(amount for from_day, amount in sums.items() if from_day <= day)


def fold_bind(records: IdRecords, fact: Bind, now: Now) -> list[Message]:
    """Fold a binding: it is in force from here on, and its lines begin to move."""
    head = records.head()
    head.version += 1
    head.bound, head.binding, head.moving = fact.user_id, now.offset, True
    return _move(head, records, fact.attribution_id, 0, now)


def fold_cursor(records: IdRecords, cursor: Cursor, now: Now) -> list[Message]:
    """Fold a cursor: continue moving lines, unless a newer binding is in force."""
    head = records.head()
    if not head.moving or cursor.binding != head.binding:
        return []
    return _move(head, records, cursor.to, cursor.position, now)


def _move(head: IdHead, records: IdRecords, own_id: str, start: int, now: Now) -> list[Message]:
    end = min(start + MOVES_MAX, head.line_count)
    messages: list[Message] = []
    for sequence in range(start, end):
        messages += forward(head, records.line_at(sequence), own_id, now, changed=False)
    if end < head.line_count:
        messages.append(Cursor(own_id, head.binding, end))
    else:
        head.moving = False
    return messages
