"""What a payment service knows: accepted payouts, what it really paid, and the faults that are planned.

Time is the wall clock plus what `advance` added, in seconds. A payout's states are known when it is accepted:
`steps` says from when on it is in which. Money is recorded in `transfers` once per payout that becomes paid.
"""

from __future__ import annotations

import csv
import io
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Self

DAY_SECONDS = 86_400
SHANGHAI = timezone(timedelta(hours=8))
CONFIRM_SECONDS = DAY_SECONDS  # then the service closes what nobody confirmed
PENDING, NEEDS_USER, PAID, FAILED, RETURNED = "pending", "needs-user", "paid", "failed", "returned"
FINAL = (PAID, FAILED, RETURNED)

#: Faults of a request to pay. The first group acts on the answer, the second on what becomes of the payout.
LOST_BEFORE, LOST_AFTER, HANG_BEFORE, HANG_AFTER = "lost-before", "lost-after", "hang-before", "hang-after"
ERROR_BEFORE, ERROR_AFTER, BAD_SIGNATURE = "error-before", "error-after", "bad-signature"
OTHER_AMOUNT, OTHER_NUMBER, GARBAGE = "other-amount", "other-number", "garbage"
SLOW_PAID, SLOW_FAILED, LATE_VISIBLE, THEN_RETURNED = "slow-paid", "slow-failed", "late-visible", "returned"
REFUSED, PAYER, CONFIRM, CALLBACK_FIRST = "failed", "payer", "needs-user", "callback-first"
ON_ANSWER = (
    LOST_BEFORE,
    LOST_AFTER,
    HANG_BEFORE,
    HANG_AFTER,
    ERROR_BEFORE,
    ERROR_AFTER,
    BAD_SIGNATURE,
    OTHER_AMOUNT,
    OTHER_NUMBER,
    GARBAGE,
)
ON_PAYOUT = (SLOW_PAID, SLOW_FAILED, LATE_VISIBLE, THEN_RETURNED, REFUSED, PAYER, CONFIRM, CALLBACK_FIRST)
FAULTS = (*ON_ANSWER, *ON_PAYOUT)
#: How the row of a number in the bill may differ from what was paid.
BILL_MISSING, BILL_EXTRA, BILL_AMOUNT, BILL_TWICE = "missing", "extra", "amount", "twice"
BILL_RETURNED, BILL_NOT_RETURNED = "returned", "not-returned"
BILL_DIFFERENCES = (BILL_MISSING, BILL_EXTRA, BILL_AMOUNT, BILL_TWICE, BILL_RETURNED, BILL_NOT_RETURNED)


@dataclass
class Fault:
    """What goes wrong with the next request to pay, or with that of one number; `is_query`: with a query."""

    name: str
    number: str = ""
    seconds: float = 2.0
    code: str = ""
    times: int = 1
    is_query: bool = False

    @classmethod
    def from_json(cls, members: dict[str, Any]) -> Self:
        """Return the fault of a control's body, whose members are the fields; `is_query` is named `asked`."""
        return cls(**{"is_query" if name == "asked" else name: value for name, value in members.items()})


@dataclass
class FaultsAtRandom:
    """One of these faults, by chance, with every so many-th request; queries have those of answers only."""

    every: int
    names: Sequence[str]
    seconds: float = 2.0
    seed: int = 0
    _count: int = 0

    def __post_init__(self) -> None:
        """Begin the sequence of the seed."""
        self._random = random.Random(self.seed)

    def next(self, number: str, *, is_query: bool) -> Fault | None:
        """Return the fault of the next request, None where it is spared."""
        self._count += 1
        names = [name for name in self.names if not is_query or name in ON_ANSWER]
        if self._count % self.every or not names:
            return None
        return Fault(self._random.choice(names), number, self.seconds, is_query=is_query)


@dataclass
class Payout:
    """An accepted payout. `steps`: (from when on, state), in order."""

    number: str
    amount: int
    content: str
    ref: str
    accepted_at: float
    steps: list[tuple[float, str]]
    visible_from: float
    code: str = ""
    booked: bool = False

    def state(self, now: float) -> str:
        """Return the state at a moment."""
        return [state for at, state in self.steps if at <= now][-1]


@dataclass
class Book:
    """All payouts of a service. `forgets_seconds`: older numbers are not found, and are accepted anew."""

    balance: int = 10**12
    forgets_seconds: float = 30 * DAY_SECONDS
    confirms: bool = False  # every payout waits for its user
    payouts: dict[str, Payout] = field(default_factory=dict)
    transfers: list[tuple[str, int]] = field(default_factory=list)
    returns: list[str] = field(default_factory=list)
    posts: list[str] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)
    faults: deque[Fault] = field(default_factory=deque)
    bill_differs: dict[str, str] = field(default_factory=dict)  # by number
    ahead_seconds: float = 0.0
    chances: FaultsAtRandom | None = None
    _numbered: int = 0

    def now(self) -> float:
        """Return the service's time."""
        return time.time() + self.ahead_seconds

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.ahead_seconds += seconds

    def plan(self, fault: Fault) -> None:
        """Plan a fault."""
        if fault.name not in FAULTS:
            raise ValueError(f"no such fault: {fault.name}")
        self.faults.append(fault)

    def take_fault(self, number: str, *, is_query: bool = False) -> Fault | None:
        """Return the fault of this request, and count it."""
        for fault in self.faults:
            if fault.is_query is is_query and fault.number in ("", number):
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None if self.chances is None else self.chances.next(number, is_query=is_query)

    def find(self, number: str) -> Payout | None:
        """Return a payout that a query may see."""
        payout = self.payouts.get(number)
        if (
            payout is None
            or not payout.visible_from <= self.now() < payout.accepted_at + self.forgets_seconds
        ):
            return None
        self.settle(payout)
        return payout

    def accept(self, number: str, amount: int, content: str, fault: Fault | None) -> Payout | None:
        """Return the payout of a number: a new one, or the one that it is; None for another content."""
        self.posts.append(number)
        known = self.payouts.get(number)
        if known is not None and self.now() < known.accepted_at + self.forgets_seconds:
            self.settle(known)
            return known if (known.amount, known.content) == (amount, content) else None
        now = self.now()
        self._numbered += 1
        payout = Payout(number, amount, content, f"ref-{self._numbered:08}", now, [(now, PAID)], now)
        self._shape(payout, fault, now)
        self.payouts[number] = payout
        self.settle(payout)
        return payout

    def _shape(self, payout: Payout, fault: Fault | None, now: float) -> None:
        name = fault.name if fault else ""
        later = now + (fault.seconds if fault else 0)
        if name == SLOW_PAID:
            payout.steps = [(now, PENDING), (later, PAID)]
        elif name == SLOW_FAILED:
            payout.steps, payout.code = [(now, PENDING), (later, FAILED)], (fault and fault.code) or ""
        elif name == THEN_RETURNED:
            payout.steps = [(now, PAID), (later, RETURNED)]
        elif name == REFUSED:
            payout.steps, payout.code = [(now, FAILED)], (fault and fault.code) or ""
        elif name == LATE_VISIBLE:
            payout.visible_from = later
        elif name == CONFIRM or self.confirms:
            payout.steps = [(now, NEEDS_USER), (now + CONFIRM_SECONDS, FAILED)]
            payout.code = "OVERDUE_CLOSE"

    def settle(self, payout: Payout) -> None:
        """Record what was really paid by now, and what came back."""
        passed = [state for at, state in payout.steps if at <= self.now()]
        if PAID in passed and not payout.booked:
            payout.booked = True
            self.balance -= payout.amount
            self.transfers.append((payout.number, payout.amount))
        if RETURNED in passed and payout.number not in self.returns:
            self.returns.append(payout.number)
            self.balance += payout.amount

    def confirm(self, number: str) -> bool:
        """Let the user confirm; return whether it was waiting for that."""
        return self._end_waiting(number, [(self.now(), PAID)])

    def cancel(self, number: str, seconds: float = 0.0) -> bool:
        """Cancel before the confirmation; it ends some seconds later."""
        payout = self.payouts.get(number)
        if payout is not None:
            payout.code = "CANCELLED"
        return self._end_waiting(number, [(self.now(), "cancelling"), (self.now() + seconds, FAILED)])

    def _end_waiting(self, number: str, steps: list[tuple[float, str]]) -> bool:
        payout = self.payouts.get(number)
        if payout is None or payout.state(self.now()) != NEEDS_USER:
            return False
        payout.steps = [step for step in payout.steps if step[0] <= self.now()] + steps
        self.settle(payout)
        return True

    def settle_all(self) -> None:
        """Record everything that has happened by now."""
        for payout in self.payouts.values():
            self.settle(payout)

    def paid_twice(self) -> list[str]:
        """Return the numbers that were paid more than once."""
        numbers = [number for number, _ in self.transfers]
        return sorted({number for number in numbers if numbers.count(number) > 1})

    def bill(self) -> list[tuple[str, int, str, str, float]]:
        """Return (number, amount, status, reference, time) of all that was paid."""
        self.settle_all()
        rows = [self.payouts[number] for number, _ in self.transfers]
        return [
            (each.number, each.amount, each.state(self.now()), each.ref, each.accepted_at) for each in rows
        ]

    def bill_file(self, day: str = "") -> str:
        """Return the bill of a Shanghai day (YYYY-MM-DD; "": of all) for `rebate payouts reconcile`.

        What came back has a row of its own, on the day on which it did.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(("payout_no", "amount_yuan", "status", "channel_ref", "at"))
        for number, amount, status, ref, accepted_at in self._billed():
            at = datetime.fromtimestamp(int(accepted_at), SHANGHAI).isoformat()
            if at.startswith(day):
                writer.writerow((number, f"{amount // 100}.{amount % 100:02}", status, ref, at))
        return out.getvalue()

    def _returned_at(self, number: str, paid_at: float) -> float:
        """Return when a payout came back, `paid_at` for one that did not."""
        return next((at for at, state in self.payouts[number].steps if state == RETURNED), paid_at)

    def _billed(self) -> list[tuple[str, int, str, str, float]]:
        """Return the rows of the bill, with the differences that are planned."""
        rows = []
        for number, amount, status, ref, at in self.bill():
            name = self.bill_differs.get(number, "")
            if name == BILL_MISSING:
                continue
            row = (number, amount + (name == BILL_AMOUNT), PAID, ref, at)
            rows += [row] * (2 if name == BILL_TWICE else 1)
            if name == BILL_RETURNED or (status == RETURNED and name != BILL_NOT_RETURNED):
                rows.append((number, amount, RETURNED, ref, self._returned_at(number, at)))
        rows.sort(key=lambda row: row[-1])
        extra = [number for number, name in self.bill_differs.items() if name == BILL_EXTRA]
        return rows + [(number, 100, PAID, "ref-extra", self.now()) for number in extra]
