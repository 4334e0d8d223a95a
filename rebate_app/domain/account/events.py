"""Events of an account: transitions of its lines at once, its balance once per user and batch.

Events follow from the user's log alone. A record whose timestamp is before `since` changes the account and
emits nothing. An account is the sum of step functions of the day, so the balance before a batch is the
balance after it minus what the batch posted: nothing is copied when an account is first touched.
Amounts are in fen, moments in µs, days since 1970-01-01.
"""

from __future__ import annotations

from msgspec import Struct

from ..messages import BonusTarget, LineTarget
from ..money_out.money_events import MoneyEvent
from ..order.value import CLOSED, CONFIRMED, DATED, OPEN, SETTLED_PHASE
from ..pricing.calendar import day_of
from .account import Contribution, Head, chain_of, sender_of, value_of
from .balance import MoneyChange, sums_on, sums_without
from .ledger import CLAWBACK, NOTHING, SETTLE_REVERSAL, Amounts, Entry
from .posting import line_kind
from .share import BUYER, INVITER, LineShare

ATTRIBUTED = "line.attributed"
SETTLED = "line.settled"
LINE_CLOSED = "line.closed"
CLAWED_BACK = "line.clawed-back"

#: The kind of fact behind an entry that a repricing posts, and the sender of the line's events.
REPRICED = "repriced"
PUNISHED = "punished"
#: Why a line is closed → what that means. A line of unknown status has the value 0 and is not closed.
CLOSED_WHY = {
    "closed": "the network closed it",
    "superseded": "other lines stand for it",
    PUNISHED: "the network confirmed a punishment",
}
#: A line that stays in such a phase with an equal share makes no transition.
_STABLE_PHASES = (OPEN, SETTLED_PHASE)
_TAKEN_BACK = (CLAWBACK, SETTLE_REVERSAL)


class BalanceBuckets(Struct, array_like=True, frozen=True, gc=False):
    """A user's money on one day, in fen (docs/spec/http.md#balance)."""

    estimated: int
    confirmed: int
    held: int
    available: int
    frozen: int = 0
    withdrawn: int = 0


class EventCause(Struct, frozen=True, gc=False):
    """The cause of a line's event: its user, the moment, and the target that came.

    `sender` and `line_version` identify the target without offsets of a user log, which differ from app to
    app. `repeat_version` is the target's version if this sender already reported this line version, else -1.
    """

    user_id: str
    line: str
    at: int
    sender: str
    line_version: int
    repeat_version: int
    reason: str


class LineEvent(Struct, frozen=True, gc=False):
    """A transition of one line; members that a kind does not have keep their defaults.

    `settled` and `held` of a settled line, `amount` that was taken back, `why` of a closed one.
    """

    kind: str
    cause: EventCause
    role: str = BUYER
    depth: int = 0
    by: str = ""
    why: str = ""
    settled: int = 0
    held: int = 0
    effective_on: int | None = None
    release_on: int | None = None
    amount: int = 0


class BalanceChange(Struct, gc=False):
    """How one account's balance changes within a batch, up to the last record that emits an event.

    `version` and `entry` are of that record, which the first `covered` of the `changes` lead up to. The rest
    are those of later records that are too old to emit; a further record that emits covers them too.
    """

    version: int
    entry: Entry
    changes: list[MoneyChange]
    covered: int = 1

    def copy(self) -> BalanceChange:
        """Return an independent copy."""
        return BalanceChange(self.version, self.entry, list(self.changes), self.covered)

    def extend(self, version: int, entry: Entry, change: MoneyChange) -> None:
        """Add the change of a record that emits an event."""
        self.changes.append(change)
        self.version, self.entry, self.covered = version, entry, len(self.changes)


class BalanceEvent(Struct, frozen=True, gc=False):
    """A balance that changed: both buckets are as of `entry.at`, the moment of the last cause."""

    user_id: str
    version: int
    before: BalanceBuckets
    after: BalanceBuckets
    entry: Entry


class PendingEvents:
    """The events that the records of a batch lead to; those of a moment before `since` (µs) lead to none."""

    def __init__(self, since: int = 0, changes: dict[str, BalanceChange] | None = None) -> None:
        self.lines: list[LineEvent] = []
        self.money: list[MoneyEvent] = []
        self.changes = {} if changes is None else changes
        self.since = since

    def copy(self) -> PendingEvents:
        """Return pending events with independent copies of the balance changes, and no events of lines."""
        return PendingEvents(self.since, {user_id: change.copy() for user_id, change in self.changes.items()})

    def add_balance(self, user_id: str, version: int, entry: Entry, change: MoneyChange) -> None:
        """Add what changed, and the last ledger entry about it."""
        known = self.changes.get(user_id)
        if entry.at < self.since:
            if known is not None:
                known.changes.append(change)
        elif known is None:
            self.changes[user_id] = BalanceChange(version, entry, [change])
        else:
            known.extend(version, entry, change)


def line_events(
    user_id: str,
    target: LineTarget | BonusTarget,
    known: Contribution | None,
    at: int,
    before: LineShare,
    after: LineShare,
) -> list[LineEvent]:
    """Return the line's transitions with that target; `known` is the sender's target before it."""
    if not _may_be_transition(before, after):
        return []
    repeat_version = -1 if known is None or known.line_version < target.line_version else target.version
    cause = EventCause(
        user_id, target.line, at, sender_of(target), target.line_version, repeat_version, target.cause
    )
    return _transitions(cause, before, after)


def repricing_events(
    user_id: str, line: str, at: int, offset: int, before: LineShare, after: LineShare
) -> list[LineEvent]:
    """Return the line's transitions when the buyer's fact at that offset and moment priced it anew."""
    if not _may_be_transition(before, after):
        return []
    return _transitions(EventCause(user_id, line, at, REPRICED, offset, -1, REPRICED), before, after)


def _may_be_transition(before: LineShare, after: LineShare) -> bool:
    if before.amounts != after.amounts:
        return True
    stable = before.phase == after.phase and after.phase in _STABLE_PHASES
    return after.phase != "" and not stable


def _transitions(cause: EventCause, before: LineShare, after: LineShare) -> list[LineEvent]:
    events: list[LineEvent] = []
    if before.amounts != after.amounts:
        _add_taken_back(events, cause, before, after)
    if after.phase:
        _add_buyer_events(events, cause, before, after)
    return events


def _add_taken_back(events: list[LineEvent], cause: EventCause, before: LineShare, after: LineShare) -> None:
    amounts = after.amounts if after.role in ("", before.role) else NOTHING
    day = day_of(cause.at)
    estimated, held, settled = before.amounts.at(day)
    estimated_now, held_now, settled_now = amounts.at(day)
    amount = settled + held - settled_now - held_now
    if amount <= 0:
        return
    if line_kind(estimated_now - estimated, settled_now - settled, held_now - held) not in _TAKEN_BACK:
        return
    depth = 0 if before.effective is None else len(chain_of(before.effective[0]))
    role = BUYER if before.role == BUYER else INVITER
    events.append(LineEvent(CLAWED_BACK, cause, role=role, depth=depth, amount=amount))


def _add_buyer_events(
    events: list[LineEvent], cause: EventCause, before: LineShare, after: LineShare
) -> None:
    if not before.phase and after.effective is not None:
        events.append(LineEvent(ATTRIBUTED, cause, by=after.effective[1].by))
    day = day_of(cause.at)
    settlement = _settlement(after, day)
    if settlement[0] and settlement != _settlement(before, day):
        events.append(_settled(cause, after.amounts, settlement[1]))
    why = closed_why(after)
    if why and not closed_why(before):
        events.append(LineEvent(LINE_CLOSED, cause, why=why))


def closed_why(share: LineShare) -> str:
    """Return why the line is closed for its buyer, a key of CLOSED_WHY; "" when it is not."""
    if share.phase != CLOSED or share.effective is None:
        return ""
    line_value = value_of(share.effective[1])
    if line_value.punished == CONFIRMED:
        return PUNISHED
    return line_value.status if line_value.status in CLOSED_WHY else ""


def _settlement(share: LineShare, day: int) -> tuple[bool, int | None]:
    """Return whether the line is settled or has a day on which it will be, and that day if it is ahead."""
    if share.phase == DATED:
        return True, share.phase_day if share.phase_day is not None and share.phase_day > day else None
    return share.phase == SETTLED_PHASE, None


def _settled(cause: EventCause, amounts: Amounts, effective_on: int | None) -> LineEvent:
    """Return the settlement with the share as it is from the day on from which it counts."""
    _, held, settled = amounts.at(day_of(cause.at) if effective_on is None else effective_on)
    return LineEvent(
        SETTLED, cause, settled=settled, held=held, effective_on=effective_on, release_on=amounts.release_on
    )


def balance_event(user_id: str, head: Head, change: BalanceChange) -> BalanceEvent:
    """Return the event of a change, which may leave the balance as it is; `head` has everything posted."""
    entry = change.entry
    day = day_of(entry.at)
    after = sums_on(head, day)
    for later in change.changes[change.covered :]:
        after = sums_without(after, later, day)
    before = after
    for covered in change.changes[: change.covered]:
        before = sums_without(before, covered, day)
    return BalanceEvent(user_id, change.version, BalanceBuckets(*before), BalanceBuckets(*after), entry)
