"""Looks for withdrawals that have ended by the numbers of their payouts, for callbacks about them.

No record leads from a number to its withdrawal, and a callback about one that ended long ago is rare. So the
ended ones are read through, a bounded number at a time, for numbers that no partition watches.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from .ports import Accounts, Place

#: What one step reads, so that a million of them hold up no one else on the event loop.
READ_AT_ONCE: Final = 500
#: Numbers that wait to be looked for; a service that calls back about more is not followed further.
WANTED_MAX: Final = 1_000

_NOTHING: Final[Iterator[Place]] = iter(())


class NumberSearch:
    """Numbers that are looked for in the ended withdrawals of a partition."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._wanted: dict[str, None] = {}  # from the next pass on
        self._sought: set[str] = set()  # in this pass
        self._places = _NOTHING

    def want(self, payout_no: str) -> None:
        """Look for a number from now on, unless too many wait: the service repeats what is not heard."""
        if payout_no not in self._sought and len(self._wanted) < WANTED_MAX:
            self._wanted[payout_no] = None

    def step(self) -> list[tuple[str, Place]]:
        """Read some more; return the numbers that were found, and where."""
        if not self._sought:
            if not self._wanted:
                return []
            self._sought, self._wanted = set(self._wanted), {}
            self._places = self._accounts.ended_places()
        found: list[tuple[str, Place]] = []
        read = 0
        for place in islice(self._places, READ_AT_ONCE):
            read += 1
            withdrawal = self._accounts.withdrawal(*place)
            if withdrawal is not None and withdrawal.payout_no in self._sought:
                self._sought.discard(withdrawal.payout_no)
                found.append((withdrawal.payout_no, place))
        if read < READ_AT_ONCE:
            self._sought, self._places = set(), _NOTHING
        return found
