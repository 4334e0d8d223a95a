"""The withdrawals that the executor of a partition watches: which, since when, and whose turn it is.

The open ones and those that ended lately are listed from the table, a bounded number at a time. They have
turns in rounds; one that waits is quiet until its time has come.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from rebate_app.domain.money_out import paying
from rebate_app.domain.money_out.paying import Watched
from rebate_app.domain.money_out.withdrawal import Withdrawal

from .number_search import NumberSearch
from .ports import Accounts, Clocks, Place

SETTLED_EVERY_US: Final = paying.HOUR_US
#: What one step lists, so that thousands of withdrawals hold up no one else on the event loop.
PLACES_MAX: Final = 200

_NOTHING: Final[Iterator[Place]] = iter(())


class WatchList:
    """What a worker watches since it took the partition over."""

    def __init__(self, accounts: Accounts, clocks: Clocks) -> None:
        self._accounts = accounts
        self._clocks = clocks
        self._taken_over_us = clocks.mono_us()
        self._watched: dict[Place, Watched] = {}
        self._attempts: dict[Place, int] = {}  # the newest attempt that was seen
        self._numbers: dict[str, Place] = {}
        self._read_position = -1  # at which the open ones were last listed
        self._settled_read_us: int | None = None
        self._open = self._settled = _NOTHING  # listings under way
        self._round = _NOTHING  # the watched ones, whose turn comes in this round
        self._quiet_until_us: dict[Place, int] = {}  # not looked at before
        self._search = NumberSearch(accounts)

    def __len__(self) -> int:
        return len(self._watched)

    def __getitem__(self, place: Place) -> Watched:
        return self._watched[place]

    def take_over(self) -> None:
        """Count the time of all that was not looked at yet from now on.

        An app that becomes active has followed for long: what the one before it sent is still on its way.
        What was looked at before counts its time anew from each attempt of others (`look`).
        """
        self._taken_over_us = self._clocks.mono_us()
        for place in self._watched:
            if place not in self._attempts:
                self.restart(place)

    def prompt(self, payout_no: str, *, searches: bool = False) -> bool:
        """Let a payout be queried soon; return whether it is watched.

        `searches`: one that is not is looked for among those that have ended, and queried when it is found.
        """
        place = self._numbers.get(payout_no)
        if place is None:
            if searches:
                self._search.want(payout_no)
            return False
        self._watched[place].prompted = True
        self.wake(place)
        return True

    def search(self) -> None:
        """Look on for the payouts that were prompted and are not watched: those that ended long ago."""
        for payout_no, place in self._search.step():
            if place not in self._watched:
                self._watch(place, 0)
            self.prompt(payout_no)

    # -- turns

    def next_place(self) -> Place:
        """Return the watched withdrawal whose turn it is."""
        while True:
            for place in self._round:
                if place in self._watched:
                    return place
            self._round = iter(list(self._watched))

    def is_quiet(self, place: Place, now_us: int) -> bool:
        """Whether its time has not come yet."""
        return self._quiet_until_us.get(place, now_us) > now_us

    def wait(self, place: Place, until_us: int) -> None:
        """Let a withdrawal be quiet until a moment of the monotonic clock."""
        self._quiet_until_us[place] = until_us

    def wake(self, place: Place) -> None:
        """Let a withdrawal have its next turn."""
        self._quiet_until_us.pop(place, None)

    # -- what this worker sees and does

    def look(self, place: Place, withdrawal: Withdrawal) -> Watched:
        """Return what was seen of it; an attempt folded since the last look begins its time anew."""
        newest = len(withdrawal.attempts)
        before = self._attempts.get(place)
        self._attempts[place] = newest
        if before is not None and newest > before:
            self.restart(place)
        return self._watched[place]

    def note_send(self, place: Place, withdrawal: Withdrawal) -> None:
        """Count the time from a call that is about to be made for the newest attempt."""
        self.restart(place)
        self._attempts[place] = len(withdrawal.attempts)

    def note_query(self, place: Place) -> None:
        """Count a query that is about to be made."""
        watched = self._watched[place]
        watched.prompted = False
        watched.queries += 1
        watched.last_query_mono_us = self._clocks.mono_us()

    def restart(self, place: Place) -> None:
        """Count the time of a withdrawal from now on."""
        watched = self._watched[place]
        watched.since_mono_us = self._clocks.mono_us()
        watched.queries, watched.last_query_mono_us = 0, None

    def drop(self, place: Place) -> None:
        """Watch no more what is not in the table."""
        del self._watched[place]

    def forget(self, place: Place, withdrawal: Withdrawal) -> None:
        """Watch a withdrawal no more."""
        self._watched.pop(place, None)
        self._numbers.pop(withdrawal.payout_no, None)
        self._attempts.pop(place, None)
        self.wake(place)

    # -- listing

    def read_table(self) -> None:
        """Go on watching what is open, if anything was folded since it was listed, and what has ended."""
        position, now_us = self._accounts.position(), self._clocks.now_us()
        self._open = self._listed(self._open, 0)
        if position != self._read_position and self._open is _NOTHING:
            self._read_position = position
            self._open = self._listed(self._accounts.open_places(), 0)
        self._settled = self._listed(self._settled, now_us - paying.SETTLED_FOR_US)
        if self._settled_read_us is None or now_us >= self._settled_read_us + SETTLED_EVERY_US:
            self._settled_read_us = now_us
            self._settled = self._accounts.settled_places()

    def _listed(self, places: Iterator[Place], since_us: int) -> Iterator[Place]:
        """Watch the next of these that changed since then; return the rest, _NOTHING after the last."""
        taken = 0
        for place in islice(places, PLACES_MAX):
            taken += 1
            if place not in self._watched:
                self._watch(place, since_us)
        return places if taken == PLACES_MAX else _NOTHING

    def _watch(self, place: Place, since_us: int) -> None:
        """Watch a withdrawal; one that is new here was taken over with the partition."""
        withdrawal = self._accounts.withdrawal(*place)
        if withdrawal is not None and withdrawal.updated_at >= since_us:
            self._watched[place] = Watched(self._taken_over_us)
            self._numbers[withdrawal.payout_no] = place
