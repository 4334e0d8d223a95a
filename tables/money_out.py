"""Money out in table `accounts`: withdrawals, adjustments, openings, and what finds them (stage 2).

| key | record |
|---|---|
| `m U` | summary: counts, open withdrawals, block, last business refusals |
| `k U DAY` | the user's requests of a Shanghai day |
| `w U ID` / `j U N` | withdrawal / id of the user's N-th one |
| `W STATE MS U ID` | a withdrawal in that state, by the moment of its request |
| `y U PAYEE` | something was paid to that payee |
| `a U ID` / `b U N` | adjustment / id of the user's N-th one |
| `A STATE MS U ID` | an adjustment in that state |
| `o U ID` | opening |
| `O BATCH U ID` | an opening of that batch |
| `C CHANNEL` | last time a payment service contradicted itself |
| `U N` | the partition's N-th undecided request: user and id |
| `U#` | how many undecided requests there were, and the first that may still be |
| `!D` | whether it is this app's turn to decide |

Figures of withdrawals are in `withdrawal_counts.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from rebate_app.domain.money_out.money_records import Adjustment, DayCount, MoneySummary, OpeningRecord
from rebate_app.domain.money_out.withdrawal import NOT_QUEUED, Withdrawal
from rebate_app.domain.now import Now
from rebate_app.streams.state.buffer import TransactionRecords
from rebate_app.streams.state.record_kind import RecordKind

from .withdrawal_counts import WithdrawalCounts, place_by_moment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rebate_app.streams.state.buffer import StateTransaction


class Alarm(Struct, array_like=True):
    """The last payout of a channel about which its service contradicts what it said (format 1).

    `offset` and `at` (µs) are those of the record that says so. Whoever pays closes the channel.
    """

    format: int
    offset: int
    at: int
    user_id: str
    withdrawal_id: str


class UndecidedQueue(Struct, array_like=True):
    """Numbers of undecided requests: `first` is the first that may still be there (format 1)."""

    format: int = 1
    first: int = 0
    next: int = 0


class Turn(Struct, array_like=True):
    """Whether this app decides in the partition (format 1); see agents/active_app.py.

    `announced` names the activation that this state has sent; `decides`: its record was folded, and no end
    after it. `ended` names the last activation of this app that was ended: it never begins again.
    """

    format: int = 1
    announced: str = ""
    decides: bool = False
    ended: str = ""


SUMMARY = RecordKind("m", MoneySummary)
DAY_COUNT = RecordKind("k", DayCount)
WITHDRAWAL = RecordKind("w", Withdrawal)
WITHDRAWAL_ID = RecordKind("j", str)
WITHDRAWAL_BY_STATE = RecordKind("W", str)
PAID_PAYEE = RecordKind("y", str)
ADJUSTMENT = RecordKind("a", Adjustment)
ADJUSTMENT_ID = RecordKind("b", str)
ADJUSTMENT_BY_STATE = RecordKind("A", str)
OPENING = RecordKind("o", OpeningRecord)
OPENING_BY_BATCH = RecordKind("O", str)
ALARM = RecordKind("C", Alarm)
UNDECIDED = RecordKind("U", str)
QUEUE = RecordKind("U#", UndecidedQueue)
QUEUE_KEY = b"U#"
TURN = RecordKind("!D", Turn)
TURN_KEY = b"!D"


class MoneyOutRecords:
    """One user's records of money out within a batch (the rest of the domain's port MoneyRecords)."""

    def __init__(self, records: TransactionRecords, counts: WithdrawalCounts, user_id: str) -> None:
        self._records = records
        self._counts = counts
        self._user_id = user_id

    def summary(self) -> MoneySummary:
        """Return the summary, a fresh one for a user without."""
        key = SUMMARY.key(self._user_id)
        summary = self._records.get(SUMMARY, key)
        if summary is None:
            summary = MoneySummary()
            self._records.add(key, summary)
        return summary

    def day(self, day: int) -> DayCount:
        """Return the counts of a Shanghai day."""
        key = DAY_COUNT.key(self._user_id, day)
        count = self._records.get(DAY_COUNT, key)
        if count is None:
            count = DayCount()
            self._records.add(key, count)
        return count

    def withdrawal(self, withdrawal_id: str) -> Withdrawal | None:
        """Return a withdrawal, None for an unknown one."""
        withdrawal = self._records.get(WITHDRAWAL, WITHDRAWAL.key(self._user_id, withdrawal_id))
        if withdrawal is not None:
            self._counts.note(self._user_id, withdrawal)
        return withdrawal

    def add_withdrawal(self, withdrawal: Withdrawal) -> None:
        """Keep a new withdrawal, its place in the user's list and in that of its state."""
        own_id = withdrawal.withdrawal_id
        self._counts.note(self._user_id, withdrawal)
        self._counts.move(withdrawal, "")
        self._records.add(WITHDRAWAL.key(self._user_id, own_id), withdrawal)
        self._records.put(WITHDRAWAL_ID.key(self._user_id, withdrawal.number), own_id)
        self._records.put(self._withdrawal_place(withdrawal, withdrawal.state), "")

    def move_withdrawal(self, withdrawal: Withdrawal, before: str) -> None:
        """Move a withdrawal to the list of its state."""
        self._counts.move(withdrawal, before)
        if withdrawal.state != before:
            self._records.delete(self._withdrawal_place(withdrawal, before))
            self._records.put(self._withdrawal_place(withdrawal, withdrawal.state), "")

    def _withdrawal_place(self, withdrawal: Withdrawal, state: str) -> bytes:
        part = place_by_moment(withdrawal.requested_at, self._user_id, withdrawal.withdrawal_id)
        return WITHDRAWAL_BY_STATE.key(state, part)

    def queue(self, withdrawal: Withdrawal) -> None:
        """Queue a request that nobody has decided."""
        queue = self._records.get(QUEUE, QUEUE_KEY)
        if queue is None:
            queue = UndecidedQueue()
            self._records.add(QUEUE_KEY, queue)
        withdrawal.queued = queue.next
        self._records.add(UNDECIDED.key(queue.next), f"{self._user_id} {withdrawal.withdrawal_id}")
        queue.next += 1

    def unqueue(self, withdrawal: Withdrawal) -> None:
        """Take a decided request out of the queue; those before the first that is left are gone."""
        if withdrawal.queued == NOT_QUEUED:
            return
        self._records.delete(UNDECIDED.key(withdrawal.queued))
        withdrawal.queued = NOT_QUEUED
        queue = self._records.get(QUEUE, QUEUE_KEY)
        if queue is None:
            return
        while queue.first < queue.next and self._records.peek(UNDECIDED, UNDECIDED.key(queue.first)) is None:
            queue.first += 1

    def has_been_paid(self, payee_id: str) -> bool:
        """Return whether anything was ever paid to this payee of the user."""
        return self._records.peek(PAID_PAYEE, PAID_PAYEE.key(self._user_id, payee_id)) is not None

    def note_paid(self, payee_id: str) -> None:
        """Note that something was paid to this payee of the user."""
        if not self.has_been_paid(payee_id):
            self._records.add(PAID_PAYEE.key(self._user_id, payee_id), "")

    def raise_alarm(self, withdrawal: Withdrawal, now: Now) -> None:
        """Note that the payment service contradicts itself."""
        alarm = Alarm(1, now.offset, now.at, self._user_id, withdrawal.withdrawal_id)
        self._records.add(ALARM.key(withdrawal.channel), alarm)

    def adjustment(self, adjustment_id: str) -> Adjustment | None:
        """Return an adjustment, None for an unknown one."""
        return self._records.get(ADJUSTMENT, ADJUSTMENT.key(self._user_id, adjustment_id))

    def add_adjustment(self, adjustment: Adjustment) -> None:
        """Keep a new adjustment, its place in the user's list and in that of its state."""
        own_id = adjustment.adjustment_id
        self._records.add(ADJUSTMENT.key(self._user_id, own_id), adjustment)
        self._records.put(ADJUSTMENT_ID.key(self._user_id, adjustment.number), own_id)
        self._records.put(self._adjustment_place(adjustment, adjustment.state), "")

    def move_adjustment(self, adjustment: Adjustment, before: str) -> None:
        """Move an adjustment to the list of its state."""
        self._records.delete(self._adjustment_place(adjustment, before))
        self._records.put(self._adjustment_place(adjustment, adjustment.state), "")

    def _adjustment_place(self, adjustment: Adjustment, state: str) -> bytes:
        part = place_by_moment(adjustment.proposed_at, self._user_id, adjustment.adjustment_id)
        return ADJUSTMENT_BY_STATE.key(state, part)

    def opening(self, opening_id: str) -> OpeningRecord | None:
        """Return an opening, None for an unknown one."""
        return self._records.get(OPENING, OPENING.key(self._user_id, opening_id))

    def add_opening(self, opening: OpeningRecord) -> None:
        """Keep a new opening, and its place in its batch."""
        self._records.add(OPENING.key(self._user_id, opening.opening_id), opening)
        part = f"{self._user_id} {opening.opening_id}"
        self._records.put(OPENING_BY_BATCH.key(opening.batch, part), "")


class UndecidedRequests:
    """The undecided requests of a partition within a batch."""

    def __init__(self, records: TransactionRecords) -> None:
        self._records = records

    def __iter__(self) -> Iterator[tuple[str, str]]:
        """Yield user and id of each, in the order of the log; those that are decided meanwhile may go."""
        queue = self._records.peek(QUEUE, QUEUE_KEY) or UndecidedQueue()
        for number in range(queue.first, queue.next):
            found = self._records.peek(UNDECIDED, UNDECIDED.key(number))
            if found is not None:
                user_id, _, own_id = found.partition(" ")
                yield user_id, own_id


def read_turn(transaction: StateTransaction) -> Turn:
    """Return whether it is this app's turn in the partition."""
    return TURN.read(transaction, TURN_KEY) or Turn()
