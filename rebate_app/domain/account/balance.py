"""The balance of an account on a day, from the sums of its head.

See docs/spec/money.md#buckets and docs/spec/http.md#balance.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from .account import Head
from .ledger import Amounts


class Balance(Struct, frozen=True):
    """A user's money on one Shanghai day, in fen; `available` is signed, `maturing` sums to `confirmed`."""

    estimated: int
    confirmed: int
    held: int
    available: int
    maturing: tuple[tuple[int, int], ...]
    open: int
    settled: int
    closed: int
    frozen: int = 0
    withdrawn: int = 0

    @property
    def debt(self) -> int:
        """Return what the user owes after a clawback, 0 for most."""
        return max(0, -self.available)


def balance_on(head: Head, day: int) -> Balance:
    """Return the account on that day: dates that have come count, later ones do not yet."""
    estimated, held, settled_lines = head.estimated, head.held, 0
    for on, (change_estimated, change_held, lines) in head.later.items():
        if on <= day:
            estimated += change_estimated
            held += change_held
            settled_lines += lines
    available = 0
    maturing: dict[int, int] = {}
    for from_day, by_release in head.settled.items():
        if from_day > day:
            continue
        for release_on, amount in by_release.items():
            if release_on <= day:
                available += amount
            else:
                maturing[release_on] = maturing.get(release_on, 0) + amount
    dates = tuple(sorted((on, amount) for on, amount in maturing.items() if amount))
    return Balance(
        estimated,
        sum(amount for _, amount in dates),
        held,
        available,
        dates,
        head.open - settled_lines,
        head.settled_lines + settled_lines,
        head.closed,
        head.frozen,
        head.withdrawn,
    )


def line_buckets(amounts: Amounts, day: int) -> dict[str, int]:
    """Return one share of a line on that day, by bucket."""
    estimated, held, settled = amounts.at(day)
    released = amounts.release_on is not None and amounts.release_on <= day
    return {
        "estimated": estimated,
        "confirmed": 0 if released else settled,
        "available": settled if released else 0,
        "held": held,
    }


#: estimated, confirmed, held, available, frozen, withdrawn
Sums = tuple[int, int, int, int, int, int]


def sums_on(head: Head, day: int) -> Sums:
    """Return the account on that day, without its dates and lines."""
    estimated, held, confirmed, available = head.estimated, head.held, 0, 0
    for on, (change_estimated, change_held, _) in head.later.items():
        if on <= day:
            estimated += change_estimated
            held += change_held
    for from_day, by_release in head.settled.items():
        if from_day <= day:
            for release_on, amount in by_release.items():
                if release_on <= day:
                    available += amount
                else:
                    confirmed += amount
    return estimated, confirmed, held, available, head.frozen, head.withdrawn


class MoneyChange(NamedTuple):
    """What one posting changes: amounts before and after, and what it adds to `frozen` and `withdrawn`."""

    before: Amounts
    after: Amounts
    frozen: int = 0
    withdrawn: int = 0


def sums_without(sums: Sums, change: MoneyChange, day: int) -> Sums:
    """Return the sums without a change."""
    estimated, confirmed, held, available, frozen, withdrawn = sums
    before, after = change.before, change.after
    for amounts, sign in ((before, 1), (after, -1)):
        e, h, s = amounts.at(day)
        estimated += sign * e
        held += sign * h
        if amounts.release_on is not None:
            if amounts.release_on <= day:
                available += sign * s
            else:
                confirmed += sign * s
    return estimated, confirmed, held, available, frozen - change.frozen, withdrawn - change.withdrawn
