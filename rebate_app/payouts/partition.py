"""One partition as the executor sees it: its table, its log, and the authority over both.

Everything is read from committed records and written through the partition's fenced producers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from msgspec import Struct

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.money_out import states
from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.money_out.money_records import MoneySummary
from rebate_app.domain.money_out.withdrawal import Withdrawal
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.failures.record_kinds import read_parked
from rebate_app.streams.state.store import Listable, Store
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.task import RUNNING, StreamTask
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.facts.payouts import Author, encode_payout_fact
from rebate_app.wire.moments import MILLISECOND_US
from tables.accounts import HEAD
from tables.money_out import ALARM, SUMMARY, TURN, TURN_KEY, WITHDRAWAL, WITHDRAWAL_BY_STATE, Turn
from tables.withdrawal_counts import PAYOUT_ENDS, UNANSWERED, first_moment_us, read_waiting

from .channel_states import now_ms
from .ports import Place, Standing

KEYS_AT_ONCE: Final = 1_000
#: Open ones that are paid or asked about; those in review wait for people.
EXECUTED_STATES: Final = (states.APPROVED, states.SENDING, states.NEEDS_USER, states.STUCK)
SETTLED_STATES: Final = (states.PAID, states.FAILED)
#: A cancelled one was never attempted.
ENDED_STATES: Final = (*SETTLED_STATES, states.RETURNED, states.REJECTED)


class WithdrawalLists:
    """The withdrawals of one partition by state, from whatever records of it can be listed."""

    def __init__(self, store: Listable) -> None:
        self._store = store

    def in_state(self, state: str) -> Iterator[tuple[str, Withdrawal]]:
        """Yield the withdrawals of a state, oldest first, with their user ids."""
        for user_id, own_id in self.places(state):
            withdrawal = self.withdrawal(user_id, own_id)
            if withdrawal is not None:
                yield user_id, withdrawal

    def places(self, state: str) -> Iterator[Place]:
        """Yield where the withdrawals of a state are, oldest first; the records may change in between."""
        prefix = WITHDRAWAL_BY_STATE.key(state, "")
        after = b""
        while keys := self._store.keys_after(prefix, after, KEYS_AT_ONCE):
            after = keys[-1]
            for key in keys:
                _, user_id, own_id = key[len(prefix) :].decode().split(" ")
                yield user_id, own_id

    def withdrawal(self, user_id: str, withdrawal_id: str) -> Withdrawal | None:
        """Return a withdrawal as it is now."""
        return WITHDRAWAL.read(self._store, WITHDRAWAL.key(user_id, withdrawal_id))


class PartitionTable(WithdrawalLists):
    """The withdrawals of one partition that is owned here (implements Accounts)."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._owned = store

    def position(self) -> int:
        """Return the last source offset that is folded, -1 for none."""
        watermark = self._owned.watermark
        return -1 if watermark is None else watermark.offset

    def open_places(self) -> Iterator[Place]:
        """Yield those that are approved, sent or stuck."""
        for state in EXECUTED_STATES:
            yield from self.places(state)

    def settled_places(self) -> Iterator[Place]:
        """Yield those that were paid or failed, whenever that was."""
        for state in SETTLED_STATES:
            yield from self.places(state)

    def ended_places(self) -> Iterator[Place]:
        """Yield all of which no more is asked by itself and that may have been attempted."""
        for state in ENDED_STATES:
            yield from self.places(state)

    def waiting(self) -> Iterator[tuple[str, int, int]]:
        """Yield (state, number, amount in fen) of every state in which withdrawals wait."""
        return read_waiting(self._store)

    def oldest_request_us(self, state: str) -> int | None:
        """Return when the oldest withdrawal of a state was requested, None without one; to the ms."""
        return first_moment_us(self._store, WITHDRAWAL_BY_STATE.key(state, ""))

    def oldest_unanswered_us(self) -> int | None:
        """Return when the oldest payout of which nothing is known was attempted, None without one."""
        return first_moment_us(self._store, UNANSWERED.prefix)

    def payout_ends(self, channel: str) -> list[tuple[int, bool]]:
        """Return (moment in µs, whether it failed) of the last payouts of a channel that ended."""
        ends = PAYOUT_ENDS.read(self._store, PAYOUT_ENDS.key(channel))
        return [] if ends is None else ends.ends

    def standing(self, user_id: str) -> Standing:
        """Return what an attempt depends on, as of today."""
        store = self._store
        summary = SUMMARY.read(store, SUMMARY.key(user_id)) or MoneySummary()
        head = HEAD.read(store, HEAD.key(user_id)) or Head()
        available = balance_on(head, day_of(now_ms() * MILLISECOND_US)).available
        return Standing(summary.blocked, read_parked(store, user_id) is not None, available)

    def contradicted_at(self, channel: str) -> int | None:
        """Return when the channel's service last contradicted itself (µs), None if it never did."""
        alarm = ALARM.read(self._store, ALARM.key(channel))
        return None if alarm is None else alarm.at

    def turn(self) -> Turn:
        """Return whether it is this app's turn in the partition, and which."""
        return TURN.read(self._store, TURN_KEY) or Turn()


class OwnershipWatch(Struct, frozen=True):
    """Whether the worker may call for a partition (implements Authority).

    `generation` is the task's opening; another one, or another task, means that it was taken over anew.
    `turn` is what the table said of this app's turn then: what was read outside of a turn, payees above all,
    is not used in it.
    """

    tasks: TaskManager
    task: StreamTask
    generation: tuple[int, int]
    table: PartitionTable
    is_active: Callable[[], bool]
    turn: Turn

    def is_owned(self) -> bool:
        """Whether the partition still runs here as it did."""
        task, tasks = self.task, self.tasks
        return (
            tasks.settled
            and tasks.partitions.get((task.stage.source, task.partition)) is task
            and task.state == RUNNING
            and task.opening_progress == self.generation
        )

    def is_current(self) -> bool:
        """Whether it does, and this app's turn is as it was."""
        return self.is_owned() and self.table.turn() == self.turn

    def has_turn(self) -> bool:
        """Whether the turn of this app, in which the watch began, goes on."""
        return self.turn.decides and self.table.turn() == self.turn

    def may_call(self) -> bool:
        """Whether lease, membership, running partition, active app and turn all hold now."""
        return (
            self.is_current()
            and self.task.halt is None
            and self.tasks.lease_holds()
            and self.is_active()
            and self.turn.decides
        )


class PartitionJournal(Struct, frozen=True):
    """The user log of a partition (implements Journal). `author()`: this app, and the log's topic id."""

    task: StreamTask
    author: Callable[[], Author]

    async def append(self, fact: PayoutAttempt | PayoutResult) -> None:
        """Write a fact through the fenced producers."""
        key, value = encode_payout_fact(fact, self.author())
        record = OutgoingRecord(self.task.stage.source, key, value, now_ms(), (), self.task.partition)
        await self.task.write_as_owner([record])
