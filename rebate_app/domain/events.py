"""What an account has to tell the world: its lines' turns at once, its balance once a chunk.

Law: what is told follows from the user's log alone. An event tells of a record whose timestamp is not before
`since`; all other records change the account as well and are never told. It is separate from the folds
because they decide about money, and this only says what they did.

Buckets are sums of step functions of the day, so the balance before a chunk is the balance after it
without the differences that the chunk has posted: nothing is copied when an account is first touched.
"""

from __future__ import annotations

from msgspec import Struct

from .account import AccountLine, Contribution, Effective, Head, chain_of, sender_of, worth_of
from .balance import sums_on, sums_without
from .calendar import day_of
from .ledger import NOTHING, Amounts, Entry, kind_of
from .messages import BonusTarget, LineTarget
from .posting import BUYER, INVITER, role_of
from .worth import CLOSED, CONFIRMED, DATED, OPEN, SETTLED_PHASE

ATTRIBUTED = "line.attributed"
SETTLED = "line.settled"
LINE_CLOSED = "line.closed"
CLAWED_BACK = "line.clawed-back"

PUNISHED = "punished"
#: Why a line is closed → what that means. A line of unknown status is worth 0 and yet not closed.
CLOSED_WHY = {
    "closed": "the network closed it",
    "superseded": "other lines stand for it",
    PUNISHED: "the network confirmed a punishment",
}
#: A line that stays in such a phase, with the share that it had, has taken no turn.
_NO_TURN_WITHIN = (OPEN, SETTLED_PHASE)
_TAKEN_BACK = ("clawback", "settle-reversal")


class Buckets(Struct, array_like=True, frozen=True, gc=False):
    """A user's money on one day, in fen (contracts.md 4)."""

    estimated: int
    confirmed: int
    held: int
    available: int


class Cause(Struct, frozen=True, gc=False):
    """What a line's event follows from: its user, the moment in µs, and the place of the target that came.

    `sender` and `line_version` name the target. `again` is its version where that sender had said something
    about this version of the line before, else -1: then the rest names the target already, and does so
    without the offsets of a user log, which differ from app to app.
    """

    user_id: str
    line: str
    at: int
    sender: str
    line_version: int
    again: int
    reason: str


class LineEvent(Struct, frozen=True, gc=False):
    """A turn of one line. Amounts in fen, days as days since 1970-01-01; what a kind does not have is None.

    `settled` and `held` of a settled line, `amount` of what was taken back, `why` of a closed one.
    """

    kind: str
    cause: Cause
    role: str = BUYER
    depth: int = 0
    by: str = ""
    why: str = ""
    settled: int = 0
    held: int = 0
    effective_on: int | None = None
    release_on: int | None = None
    amount: int = 0


#: What was posted of a line, and what is.
Difference = tuple[Amounts, Amounts]


class Change(Struct, gc=False):
    """How one account's balance has changed within a chunk, up to the last record that is told of.

    `version` and `entry` are of that record; from `was` to `becomes` is the first difference, `more` are
    the others up to it, `behind` those of records after it that are too old to be told of. Nearly every
    change has one difference, and so no list.
    """

    version: int
    entry: Entry
    was: Amounts
    becomes: Amounts
    more: list[Difference] | None = None
    behind: list[Difference] | None = None

    def copy(self) -> Change:
        """Return the same, apart from this one."""
        more = None if self.more is None else list(self.more)
        behind = None if self.behind is None else list(self.behind)
        return Change(self.version, self.entry, self.was, self.becomes, more, behind)

    def go_on(self, version: int, entry: Entry, difference: Difference) -> None:
        """Take one difference more, and those that were left behind: they are part of it now."""
        self.more = [] if self.more is None else self.more
        if self.behind is not None:
            self.more += self.behind
        self.more.append(difference)
        self.version, self.entry, self.behind = version, entry, None

    def leave_behind(self, difference: Difference) -> None:
        """Take one that is too old to be told of."""
        self.behind = [] if self.behind is None else self.behind
        self.behind.append(difference)


class BalanceEvent(Struct, frozen=True, gc=False):
    """A balance that changed: both buckets are as of `entry.at`, the moment of the last cause."""

    user_id: str
    version: int
    before: Buckets
    after: Buckets
    entry: Entry


class News:
    """What the records of a chunk have to tell; `since` in µs."""

    def __init__(self, since: int = 0, changes: dict[str, Change] | None = None) -> None:
        self.lines: list[LineEvent] = []
        self.changes = {} if changes is None else changes
        self._since = since

    def copy(self) -> News:
        """Return news that go on from here, apart from these."""
        return News(self._since, {user_id: known.copy() for user_id, known in self.changes.items()})

    def changed(self, user_id: str, version: int, was: Amounts, becomes: Amounts, entry: Entry) -> None:
        """Note that a line's share has changed, and with which entry."""
        known = self.changes.get(user_id)
        if entry.at < self._since:
            if known is not None:
                known.leave_behind((was, becomes))
        elif known is None:
            self.changes[user_id] = Change(version, entry, was, becomes)
        else:
            known.go_on(version, entry, (was, becomes))

    def turned(
        self,
        user_id: str,
        target: LineTarget | BonusTarget,
        known: Contribution | None,
        at: int,
        before: LineWas,
        record: AccountLine,
        held: Effective | None,
    ) -> None:
        """Note the turns that the line has taken with that target; `known` is what its sender said before."""
        bought = held is not None and held[1].terms is None
        same = before.bought and before.counted == record.counted and record.counted in _NO_TURN_WITHIN
        if at < self._since or (before.posted is record.posted and (same or not bought)):
            return
        again = -1 if known is None or known.line_version < target.line_version else target.version
        sender = sender_of(target)
        cause = Cause(user_id, record.line, at, sender, target.line_version, again, target.cause)
        if before.posted is not record.posted:
            self._taken_back(cause, before, record, held)
        if held is not None and bought:
            self._bought(cause, before, record, held)

    def _bought(self, cause: Cause, before: LineWas, record: AccountLine, held: Effective) -> None:
        if not before.bought:
            self.lines.append(LineEvent(ATTRIBUTED, cause, by=held[1].by))
        day = day_of(cause.at)
        now_settled, effective_on = _settlement(record.counted, record.counted_day, day)
        if now_settled and (True, effective_on) != _settlement(before.counted, before.counted_day, day):
            self.lines.append(_settled(cause, record.posted, effective_on))
        if record.counted == CLOSED:
            why = closed_why(held)
            if why and not (before.bought and before.closed):
                self.lines.append(LineEvent(LINE_CLOSED, cause, why=why))

    def _taken_back(self, cause: Cause, before: LineWas, record: AccountLine, held: Effective | None) -> None:
        role = role_of(held)
        becomes = record.posted if role in ("", before.role) else NOTHING
        day = day_of(cause.at)
        estimated, in_dispute, settled = before.posted.at(day)
        estimated_now, in_dispute_now, settled_now = becomes.at(day)
        amount = settled + in_dispute - settled_now - in_dispute_now
        kind = kind_of(estimated_now - estimated, settled_now - settled, in_dispute_now - in_dispute)
        if amount > 0 and kind in _TAKEN_BACK:
            role, depth = (BUYER, 0) if before.role == BUYER else (INVITER, before.depth)
            self.lines.append(LineEvent(CLAWED_BACK, cause, role=role, depth=depth, amount=amount))


class LineWas(Struct, frozen=True, gc=False):
    """A line of an account before a target came: what was posted as whom, and what had been told."""

    posted: Amounts
    role: str
    depth: int
    bought: bool
    closed: str
    counted: str
    counted_day: int | None


#: A line that had never come.
NEVER_HERE = LineWas(NOTHING, "", 0, bought=False, closed="", counted="", counted_day=None)


def line_was(record: AccountLine, held: Effective | None) -> LineWas:
    """Return the line as it is now; `held` is the contribution that holds."""
    if held is None and record.posted is NOTHING:
        return NEVER_HERE
    bought = held is not None and held[1].terms is None
    return LineWas(
        record.posted,
        record.role,
        0 if held is None or bought else len(chain_of(held[0])),
        bought,
        closed_why(held) if held is not None and record.counted == CLOSED else "",
        record.counted,
        record.counted_day,
    )


def closed_why(held: Effective) -> str:
    """Return why the line is closed, a key of CLOSED_WHY; "" when it is not."""
    worth = worth_of(held[1])
    if worth.punished == CONFIRMED:
        return PUNISHED
    return worth.status if worth.phase == CLOSED and worth.status in CLOSED_WHY else ""


def _settlement(counted: str, counted_day: int | None, day: int) -> tuple[bool, int | None]:
    """Return whether the line is settled or has a day on which it will be, and that day if it is ahead."""
    if counted == DATED:
        return True, counted_day if counted_day is not None and counted_day > day else None
    return counted == SETTLED_PHASE, None


def _settled(cause: Cause, posted: Amounts, effective_on: int | None) -> LineEvent:
    """Return the settlement with the share as it is from the day on from which it counts."""
    _, held, settled = posted.at(day_of(cause.at) if effective_on is None else effective_on)
    return LineEvent(
        SETTLED, cause, settled=settled, held=held, effective_on=effective_on, release_on=posted.release_on
    )


def balance_event(user_id: str, head: Head, change: Change) -> BalanceEvent:
    """Return what has changed, which may be nothing; `head` holds everything that was posted."""
    entry = change.entry
    day = day_of(entry.at)
    after = sums_on(head, day)
    for was, becomes in change.behind or ():
        after = sums_without(after, was, becomes, day)
    before = sums_without(after, change.was, change.becomes, day)
    for was, becomes in change.more or ():
        before = sums_without(before, was, becomes, day)
    return BalanceEvent(user_id, change.version, Buckets(*before), Buckets(*after), entry)
