"""An account at a moment: the sums of its head, looked at on one day (contracts.md 3 and 4)."""

from __future__ import annotations

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

    @property
    def debt(self) -> int:
        """Return what the user owes after a clawback, 0 for most."""
        return max(0, -self.available)


def balance_on(head: Head, day: int) -> Balance:
    """Return the account on that day: dates that have come count, later ones do not yet."""
    estimated, held, turned = head.estimated, head.held, 0
    for on, (change_estimated, change_held, lines) in head.later.items():
        if on <= day:
            estimated += change_estimated
            held += change_held
            turned += lines
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
        head.open - turned,
        head.settled_lines + turned,
        head.closed,
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


#: estimated, confirmed, held, available
Sums = tuple[int, int, int, int]


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
    return estimated, confirmed, held, available


def sums_without(sums: Sums, was: Amounts, becomes: Amounts, day: int) -> Sums:
    """Return what the sums were before a share turned from one into the other."""
    estimated, confirmed, held, available = sums
    for amounts, sign in ((was, 1), (becomes, -1)):
        e, h, s = amounts.at(day)
        estimated += sign * e
        held += sign * h
        if amounts.release_on is not None:
            if amounts.release_on <= day:
                available += sign * s
            else:
                confirmed += sign * s
    return estimated, confirmed, held, available
