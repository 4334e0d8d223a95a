"""Totals over accounts, kept by differences: what a partition owes on any day (docs/spec/money.md#totals).

A total is a step function of the day, like an account: one `Totals` record has what counts at once, one
record per day has what that day changes. So a posting changes a few records, however many users there are,
and a total at a moment is a sum over days.

Money of line shares is linear, and is added as shares move. Debt is not: it is Σ max(0, −available) over
users. What makes it exact is that each user's debt is a step function of the day too (`debt_steps`), and a
posting changes the total by the difference of that user's steps after and before. The same holds for what an
attribution id keeps in suspense. Amounts are signed, in fen; days since 1970-01-01.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from msgspec import Struct, field

from ..order.value import CLOSED, DATED, OPEN, SETTLED_PHASE
from .account import Head
from .attribution_account import IdHead
from .ledger import ALWAYS, Amounts
from .share import LineShare

TOTALS_FORMAT = 2

#: What a day changes: day (ALWAYS: at once) → difference in fen.
Steps = Mapping[int, int]
NO_STEPS: Steps = {}


class PlatformTotals(Struct, array_like=True):
    """Shares of one platform's lines in the record of a day.

    `estimated` and `held`: what the day changes. `settled`: money that the day releases, by the day from
    which it counts as settled.
    """

    estimated: int = 0
    held: int = 0
    settled: dict[int, int] = field(default_factory=dict)

    def add(self, other: PlatformTotals) -> None:
        """Add another one; a day whose amounts cancel out is dropped, and days are in order."""
        self.estimated += other.estimated
        self.held += other.held
        if other.settled:
            for from_day, amount in other.settled.items():
                self.settled[from_day] = self.settled.get(from_day, 0) + amount
            self.settled = {day: amount for day, amount in sorted(self.settled.items()) if amount}

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return not (self.estimated or self.held or self.settled)


class MoneyTotals(NamedTuple):
    """Money of withdrawals, adjustments and openings, in fen."""

    frozen: int = 0
    withdrawn: int = 0
    adjustments: int = 0
    openings: int = 0


class Totals(Struct, array_like=True):
    """What a day changes in the totals of a partition (format 2); `open` to `closed` count buyers' lines.

    Money of `frozen` to `openings` is in the record of what counts at once; format 1 does not have them.
    """

    format: int = TOTALS_FORMAT
    platforms: dict[str, PlatformTotals] = field(default_factory=dict)
    open: int = 0
    settled_lines: int = 0
    closed: int = 0
    debt: int = 0
    suspense: int = 0
    frozen: int = 0
    withdrawn: int = 0
    adjustments: int = 0
    openings: int = 0

    def add(self, other: Totals) -> None:
        """Add another one. The result depends on the sum alone, not on the order of what was added."""
        self.format = TOTALS_FORMAT
        for platform, totals in other.platforms.items():
            self.platforms.setdefault(platform, PlatformTotals()).add(totals)
        self.platforms = {name: each for name, each in sorted(self.platforms.items()) if not each.is_empty}
        self.open += other.open
        self.settled_lines += other.settled_lines
        self.closed += other.closed
        self.debt += other.debt
        self.suspense += other.suspense
        self.add_money(other.money)

    @property
    def money(self) -> MoneyTotals:
        """Return what belongs to no line."""
        return MoneyTotals(self.frozen, self.withdrawn, self.adjustments, self.openings)

    def add_money(self, money: MoneyTotals) -> None:
        """Add money that belongs to no line."""
        self.frozen += money.frozen
        self.withdrawn += money.withdrawn
        self.adjustments += money.adjustments
        self.openings += money.openings

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing: such a record is not kept."""
        counts = (self.open, self.settled_lines, self.closed, self.debt, self.suspense)
        return not (self.platforms or any(counts) or any(self.money))


class TotalsChange:
    """What some postings change in the totals, by day."""

    __slots__ = ("days",)

    def __init__(self) -> None:
        self.days: dict[int, Totals] = {}

    def move_share(self, platform: str, before: LineShare, after: LineShare) -> None:
        """Move one line's share; `before` is what was posted and counted."""
        old, new = before.amounts, after.amounts
        if old != new:
            self.add_amounts(platform, old, -1)
            self.add_amounts(platform, new, +1)
        if after.phase != before.phase or after.phase_day != before.phase_day:
            self.count_line(before.phase, before.phase_day, -1)
            self.count_line(after.phase, after.phase_day, +1)

    def add_amounts(self, platform: str, amounts: Amounts, sign: int = 1) -> None:
        """Add a share, or take it away, as `posting` adds it to a head."""
        if amounts.estimated or amounts.held:
            at_once = self._platform(ALWAYS, platform)
            at_once.estimated += sign * amounts.estimated
            at_once.held += sign * amounts.held
        release_on = amounts.release_on
        if amounts.settled and release_on is not None:
            self._settle(platform, release_on, ALWAYS, sign * amounts.settled)
        if amounts.on is None:
            return
        if amounts.later_settled and release_on is not None:
            self._settle(platform, release_on, amounts.on, sign * amounts.later_settled)
        later = self._platform(amounts.on, platform)
        later.estimated -= sign * amounts.estimated
        later.held += sign * (amounts.later_held - amounts.held)

    def _settle(self, platform: str, release_on: int, from_day: int, amount: int) -> None:
        settled = self._platform(release_on, platform).settled
        settled[from_day] = settled.get(from_day, 0) + amount

    def count_line(self, phase: str, day: int | None, sign: int) -> None:
        """Count a line of its buyer under its phase, and from `day` on as settled."""
        if phase in (OPEN, DATED):
            self._day(ALWAYS).open += sign
        elif phase == SETTLED_PHASE:
            self._day(ALWAYS).settled_lines += sign
        elif phase == CLOSED:
            self._day(ALWAYS).closed += sign
        if day is not None:
            later = self._day(day)
            later.open -= sign
            later.settled_lines += sign

    def add_debt(self, steps: Steps, sign: int) -> None:
        """Add one user's debt, or take it away."""
        for day, amount in steps.items():
            self._day(day).debt += sign * amount

    def add_suspense(self, steps: Steps, sign: int) -> None:
        """Add what one attribution id keeps in suspense, or take it away."""
        for day, amount in steps.items():
            self._day(day).suspense += sign * amount

    def add_money(self, money: MoneyTotals) -> None:
        """Add money of withdrawals, adjustments and openings."""
        if any(money):
            self._day(ALWAYS).add_money(money)

    def _day(self, day: int) -> Totals:
        found = self.days.get(day)
        if found is None:
            found = self.days[day] = Totals()
        return found

    def _platform(self, day: int, platform: str) -> PlatformTotals:
        platforms = self._day(day).platforms
        found = platforms.get(platform)
        if found is None:
            found = platforms[platform] = PlatformTotals()
        return found


def changes_available(before: Amounts, after: Amounts) -> bool:
    """Return whether moving a share can change on some day what is available."""
    return (
        before.settled != after.settled
        or before.later_settled != after.later_settled
        or before.release_on != after.release_on
        or before.on != after.on
    )


def debt_steps(head: Head) -> Steps:
    """Return a user's debt by the day from which it changes; none for a user who never owes.

    Without a negative amount nothing can be owed: that is nearly every account, and costs one pass.
    """
    if not any(amount < 0 for by_release in head.settled.values() for amount in by_release.values()):
        return NO_STEPS
    changes: dict[int, int] = {}
    for from_day, by_release in head.settled.items():
        for release_on, amount in by_release.items():
            day = max(from_day, release_on)
            changes[day] = changes.get(day, 0) + amount
    steps: dict[int, int] = {}
    available = owed = 0
    for day in sorted(changes):
        available += changes[day]
        if max(0, -available) != owed:
            steps[day], owed = max(0, -available) - owed, max(0, -available)
    return steps


def suspense_steps(head: IdHead) -> Steps:
    """Return the net of an id's lines that wait for an owner; none of an id that is bound."""
    if head.bound is not None or not head.net:
        return NO_STEPS
    steps = dict(head.net)
    for day, amount in head.claimed_net.items():
        steps[day] = steps.get(day, 0) - amount
    return steps


class PlatformSums(Struct):
    """Shares of one platform's lines on a day, in fen."""

    estimated: int = 0
    confirmed: int = 0
    held: int = 0
    available: int = 0

    def add(self, other: PlatformSums) -> None:
        """Add another one."""
        self.estimated += other.estimated
        self.confirmed += other.confirmed
        self.held += other.held
        self.available += other.available


class Sums(Struct):
    """Totals on a day: lines counted by their buyers, money in fen, `maturing` sums to what is confirmed."""

    users: int = 0
    open: int = 0
    settled: int = 0
    closed: int = 0
    debt: int = 0
    suspense: int = 0
    frozen: int = 0
    withdrawn: int = 0
    adjustments: int = 0
    openings: int = 0
    platforms: dict[str, PlatformSums] = field(default_factory=dict)
    maturing: dict[int, int] = field(default_factory=dict)

    def take(self, totals: Totals, day: int) -> None:
        """Take the record of a day that has come, or of several."""
        self.open += totals.open
        self.settled += totals.settled_lines
        self.closed += totals.closed
        self.debt += totals.debt
        self.suspense += totals.suspense
        self._add_money(totals.money)
        for platform, each in totals.platforms.items():
            sums = self.platforms.setdefault(platform, PlatformSums())
            sums.estimated += each.estimated
            sums.held += each.held
            sums.available += sum(amount for from_day, amount in each.settled.items() if from_day <= day)

    def take_later(self, on: int, totals: Totals, day: int) -> None:
        """Take the record of a day `on` that has not come: what it will release of what is settled."""
        for platform, each in totals.platforms.items():
            amount = sum(amount for from_day, amount in each.settled.items() if from_day <= day)
            if amount:
                self.platforms.setdefault(platform, PlatformSums()).confirmed += amount
                self.maturing[on] = self.maturing.get(on, 0) + amount

    def add(self, other: Sums) -> None:
        """Add the sums of another partition."""
        self.users += other.users
        self.open += other.open
        self.settled += other.settled
        self.closed += other.closed
        self.debt += other.debt
        self.suspense += other.suspense
        self._add_money(MoneyTotals(other.frozen, other.withdrawn, other.adjustments, other.openings))
        for platform, sums in other.platforms.items():
            self.platforms.setdefault(platform, PlatformSums()).add(sums)
        for on, amount in other.maturing.items():
            self.maturing[on] = self.maturing.get(on, 0) + amount

    def _add_money(self, money: MoneyTotals) -> None:
        self.frozen += money.frozen
        self.withdrawn += money.withdrawn
        self.adjustments += money.adjustments
        self.openings += money.openings

    @property
    def total(self) -> PlatformSums:
        """Return the money of all platforms."""
        total = PlatformSums()
        for sums in self.platforms.values():
            total.add(sums)
        return total
