"""Figures of a partition's withdrawals in table `accounts`, kept as they change (stage 2).

A scrape reads a few records, however many withdrawals are open.

| key | record |
|---|---|
| `w#` | how many withdrawals wait in each state, and their amounts |
| `X MS U ID` | a payout that was sent and of which nothing is known, by the moment of its attempt |
| `E CHANNEL` | how the last payouts through a channel ended |
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from rebate_app.domain.money_out import states
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.streams.state.buffer import TransactionRecords
from rebate_app.streams.state.record_kind import RecordKind
from rebate_app.streams.state.store import Listable, Readable
from rebate_app.wire.moments import MILLISECOND_US

MOMENT_DIGITS = 13  # of ms since 1970, so that keys are in the order of time
#: How many of a channel's last ends are kept.
ENDS_MAX = 100


class WaitingWithdrawals(Struct, array_like=True):
    """By state: the number of withdrawals, and the sum of their amounts in fen (format 1)."""

    format: int = 1
    states: dict[str, tuple[int, int]] = field(default_factory=dict)


class PayoutEnds(Struct, array_like=True):
    """(moment in µs, whether it failed) of a channel's last payouts that were paid or failed (format 1)."""

    format: int = 1
    ends: list[tuple[int, bool]] = field(default_factory=list)


WAITING = RecordKind("w#", WaitingWithdrawals)
WAITING_KEY = b"w#"
UNANSWERED = RecordKind("X", str)
PAYOUT_ENDS = RecordKind("E", PayoutEnds)


def place_by_moment(moment_us: int, user_id: str, own_id: str) -> str:
    """Return the part of an index key by moment, then user and id."""
    return f"{max(moment_us, 0) // MILLISECOND_US:0{MOMENT_DIGITS}} {user_id} {own_id}"


class WithdrawalCounts:
    """The figures within a batch. Call `note` before a withdrawal changes, `move` for each new state."""

    def __init__(self, records: TransactionRecords) -> None:
        self._records = records
        self._noted: dict[tuple[str, str], tuple[Withdrawal, bytes | None]] = {}

    def note(self, user_id: str, withdrawal: Withdrawal) -> None:
        """Note what the index of unanswered payouts has about a withdrawal that may change."""
        place = user_id, withdrawal.withdrawal_id
        if place not in self._noted:
            self._noted[place] = withdrawal, unanswered_key(user_id, withdrawal)

    def move(self, withdrawal: Withdrawal, before: str) -> None:
        """Count a withdrawal in its new state; `before` is "" for a new one."""
        if withdrawal.state == before:
            return
        self._count(before, -1, -withdrawal.amount)
        self._count(withdrawal.state, 1, withdrawal.amount)
        if before and withdrawal.attempts and withdrawal.state in (states.PAID, states.FAILED):
            self._keep_end(withdrawal)

    def _count(self, state: str, number: int, amount: int) -> None:
        if state not in states.WAITING:
            return
        waiting = self._records.get(WAITING, WAITING_KEY)
        if waiting is None:
            waiting = WaitingWithdrawals()
            self._records.add(WAITING_KEY, waiting)
        numbers, amounts = waiting.states.get(state, (0, 0))
        waiting.states[state] = numbers + number, amounts + amount

    def _keep_end(self, withdrawal: Withdrawal) -> None:
        key = PAYOUT_ENDS.key(withdrawal.channel)
        known = self._records.get(PAYOUT_ENDS, key)
        if known is None:
            known = PayoutEnds()
            self._records.add(key, known)
        known.ends.append((withdrawal.updated_at, withdrawal.state == states.FAILED))
        del known.ends[:-ENDS_MAX]

    def flush(self) -> None:
        """Bring the index of unanswered payouts in line with the withdrawals that were noted."""
        for (user_id, _), (withdrawal, before) in self._noted.items():
            after = unanswered_key(user_id, withdrawal)
            if after != before:
                if before is not None:
                    self._records.delete(before)
                if after is not None:
                    self._records.put(after, "")
        self._noted.clear()


def is_unanswered(withdrawal: Withdrawal) -> bool:
    """Whether a payout was sent, and its service has not said what became of it.

    Payouts of an export are carried out by people, whose results come when they come.
    """
    newest = withdrawal.last_attempt
    if withdrawal.state != states.SENDING or newest is None:
        return False
    return not newest.status and not newest.export_id


def unanswered_key(user_id: str, withdrawal: Withdrawal) -> bytes | None:
    """Return the key of a withdrawal in the index of unanswered payouts, None if it is not in it."""
    if not is_unanswered(withdrawal):
        return None
    at_us = withdrawal.attempts[-1].at
    return UNANSWERED.key(place_by_moment(at_us, user_id, withdrawal.withdrawal_id))


def read_waiting(store: Readable) -> Iterator[tuple[str, int, int]]:
    """Yield (state, number, amount in fen) of every state in which withdrawals wait."""
    waiting = WAITING.read(store, WAITING_KEY) or WaitingWithdrawals()
    for state in states.WAITING:
        yield (state, *waiting.states.get(state, (0, 0)))


def first_moment_us(store: Listable, prefix: bytes) -> int | None:
    """Return the moment of the first key of an index by moment, None for an empty one; to the ms."""
    found = store.keys_after(prefix, b"", 1)
    return int(found[0][len(prefix) :].partition(b" ")[0]) * MILLISECOND_US if found else None
