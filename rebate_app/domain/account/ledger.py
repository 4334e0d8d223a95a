"""The ledger: amounts over time, entries for every change of them, and the kinds of entries.

See docs/spec/money.md#ledger. A share is a step function of the day with at most three steps: an estimate,
settlement by an expected date, release. An account is the sum of such functions, so dates move money without
a timer. The sum of a line's entries is the line's share. Amounts are signed, in fen; days since 1970-01-01.
"""

from __future__ import annotations

from msgspec import Struct

ALWAYS = -(1 << 40)  # a day before every day: what counts without waiting for a date


class Amounts(Struct, array_like=True, frozen=True, gc=False):
    """One beneficiary's share of a line, in fen.

    Before `on`: `estimated`, `held`, `settled`. From the start of day `on`: `later_held` and
    `later_settled`, nothing estimated. `settled` money is available from `release_on` on.
    """

    estimated: int = 0
    held: int = 0
    settled: int = 0
    on: int | None = None
    later_held: int = 0
    later_settled: int = 0
    release_on: int | None = None

    def at(self, day: int) -> tuple[int, int, int]:
        """Return (estimated, held, settled) on that day."""
        if self.on is not None and day >= self.on:
            return 0, self.later_held, self.later_settled
        return self.estimated, self.held, self.settled

    def steps(self) -> dict[int | None, tuple[int, int, int]]:
        """Return what is added at once (None) and at the start of a day: (estimated, settled, held)."""
        steps: dict[int | None, tuple[int, int, int]] = {None: (self.estimated, self.settled, self.held)}
        if self.on is not None:
            steps[self.on] = (
                -self.estimated,
                self.later_settled - self.settled,
                self.later_held - self.held,
            )
        return steps


NOTHING = Amounts()


#: What differs from a day on (None: at once): (effective_on, estimated, settled, held).
Difference = tuple[int | None, int, int, int]

ORDER_LINES = "order lines"  # posting.post_line_share
WITHDRAWALS = "withdrawals"  # money_out.booking
STAFF = "staff"  # money_out.booking


class LedgerKind(Struct, frozen=True):
    """A kind of entry: its name in stores and answers, what it means, and what posts it."""

    name: str
    meaning: str
    posted_by: str


ESTIMATE = LedgerKind("estimate", "an estimate rises", ORDER_LINES)
ESTIMATE_VOID = LedgerKind("estimate-void", "an estimate falls or ends", ORDER_LINES)
SETTLE = LedgerKind("settle", "an estimate ends and money is settled or held in its place", ORDER_LINES)
SETTLE_REVERSAL = LedgerKind(
    "settle-reversal",
    "a settlement is taken back or moved to another date, and the estimate returns",
    ORDER_LINES,
)
HOLD = LedgerKind("hold", "money is held while a dispute or punishment is open", ORDER_LINES)
UNHOLD = LedgerKind("unhold", "held money is free again", ORDER_LINES)
CLAWBACK = LedgerKind("clawback", "settled or held money is taken back", ORDER_LINES)
ADJUST = LedgerKind("adjust", "settled or held money rises", ORDER_LINES)
WITHDRAW = LedgerKind("withdraw", "available money is frozen for a withdrawal that is accepted", WITHDRAWALS)
WITHDRAW_BACK = LedgerKind(
    "withdraw-back",
    "frozen money is available again: the withdrawal is rejected, cancelled or failed",
    WITHDRAWALS,
)
WITHDRAW_PAID = LedgerKind("withdraw-paid", "the money of a withdrawal was paid out", WITHDRAWALS)
WITHDRAW_RETURNED = LedgerKind(
    "withdraw-returned", "a payout came back, and its money is available again", WITHDRAWALS
)
ADJUSTMENT = LedgerKind("adjustment", "staff changes available money; two people agree", STAFF)
OPENING = LedgerKind("opening", "a user brings money along from another system; two people agree", STAFF)

#: Every kind of entry by its name, in the order of docs/http.md.
LEDGER_KINDS = {
    kind.name: kind
    for kind in (
        ESTIMATE,
        ESTIMATE_VOID,
        SETTLE,
        SETTLE_REVERSAL,
        HOLD,
        UNHOLD,
        CLAWBACK,
        ADJUST,
        WITHDRAW,
        WITHDRAW_BACK,
        WITHDRAW_PAID,
        WITHDRAW_RETURNED,
        ADJUSTMENT,
        OPENING,
    )
}

ENTRY_FORMAT = 3


class Entry(Struct, array_like=True, frozen=True, gc=False):
    """One posting: signed changes in fen, effective at once or from a day on, and why.

    `at` is the causing record's timestamp in µs; `kind` the name of a LedgerKind; `cause` the kind of fact;
    `rule` the version that priced the share, or decided the withdrawal. `modified_at` is the network's moment
    of that fact, compact (compact_moment.py), None where no network's fact caused the entry; format 1 does
    not have it. `own_id` is that of the withdrawal, adjustment or opening, "" for a line; formats 1 and 2
    have neither it nor `frozen` and `withdrawn`.
    """

    at: int
    effective_on: int | None
    line: str
    role: str
    kind: str
    estimated: int
    settled: int
    held: int
    cause: str
    rule: str
    format: int = ENTRY_FORMAT
    modified_at: int | None = None
    frozen: int = 0
    withdrawn: int = 0
    own_id: str = ""


def differences(before: Amounts, after: Amounts) -> list[Difference]:
    """Return the differences that turn one step function into the other, by day."""
    if before == after:
        return []
    if before.on is None and after.on is None:
        at_once = (
            after.estimated - before.estimated,
            after.settled - before.settled,
            after.held - before.held,
        )
        return [(None, *at_once)] if any(at_once) else []
    old, new = before.steps(), after.steps()
    found: list[Difference] = []
    for day in sorted(old.keys() | new.keys(), key=lambda day: ALWAYS if day is None else day):
        old_step, new_step = old.get(day, (0, 0, 0)), new.get(day, (0, 0, 0))
        estimated, settled, held = (b - a for a, b in zip(old_step, new_step, strict=True))
        if estimated or settled or held:
            found.append((day, estimated, settled, held))
    return found
