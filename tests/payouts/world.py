"""A partition in memory, and an executor that pays its withdrawals.

Attempts and results are folded by the product's table of states; the channel is a real one and talks HTTP to
a simulated service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from rebate_app.domain.money_out import paying, states
from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.money_out.states import TRANSITIONS
from rebate_app.domain.money_out.withdrawal import Attempt, Result, Withdrawal
from rebate_app.payouts.channels.channel_file import ChannelSpec
from rebate_app.payouts.executor import ExecutorContext, PartitionExecutor
from rebate_app.payouts.ports import Clocks, Payee, Place, Standing

USER = "u1"
T0 = 1_800_000_000 * paying.SECOND_US


class Fenced(Exception):  # noqa: N818 - what a zombie's write meets
    """Another worker writes this partition."""


@dataclass
class Log:
    """The partition's log and the state that it folds to, shared by all who believe to own it.

    A minimal fold of attempts and results, written from the table of states.
    """

    withdrawals: dict[str, Withdrawal] = field(default_factory=dict)
    facts: list[PayoutAttempt | PayoutResult] = field(default_factory=list)
    blocked: bool = False
    available: int = 0
    epoch: int = 0
    paid: int = 0

    def request(self, own_id: str = "w1", amount: int = 1_000, channel: str = "http") -> Withdrawal:
        """Add an approved withdrawal."""
        made = Withdrawal(1, own_id, 0, amount, channel, "p1", "", "user:u1", 1, T0, T0)
        made.state, made.net = states.APPROVED, amount - 5
        made.payout_no = f"{len(self.withdrawals):032}"
        self.withdrawals[own_id] = made
        return made

    def fold(self, fact: PayoutAttempt | PayoutResult) -> None:
        """Append a fact and let it take effect."""
        self.facts.append(fact)
        withdrawal = self.withdrawals[fact.withdrawal_id]
        if isinstance(fact, PayoutAttempt):
            step = TRANSITIONS.get((withdrawal.state, states.ATTEMPT))
            if step is None or self.blocked or fact.attempt != paying.next_attempt(withdrawal):
                return
            place = len(self.facts)
            withdrawal.attempts.append(
                Attempt(fact.attempt, fact.at, place, fact.at, fact.channel_identity, fact.export_id)
            )
            withdrawal.state = step.to
            return
        newest = bool(withdrawal.attempts) and fact.attempt == withdrawal.attempts[-1].attempt
        for attempt in withdrawal.attempts:
            if attempt.attempt == fact.attempt:
                attempt.status = fact.status
        result = (fact.attempt, fact.status, fact.amount, fact.code, fact.channel_ref, fact.needs_user_url)
        withdrawal.result = Result(*result, fact.at)
        withdrawal.answered = withdrawal.answered or fact.status not in ("payer", "stuck")
        withdrawal.updated_at = fact.at
        if fact.status in ("failed", "payer") and not newest:
            return
        step = TRANSITIONS.get((withdrawal.state, f"result-{fact.status}"))
        if step is not None:
            withdrawal.state = step.to
            self.paid += sum(move.withdrawn for move in step.moves) * withdrawal.net


class World:
    """One worker that owns the partition, with clocks that a test moves."""

    def __init__(self, log: Log, spec: ChannelSpec | None, ahead_us: int = 0) -> None:
        self.log = log
        self.specs = {} if spec is None else {spec.name: spec}
        self.opened, self.opened_at_us = True, 0
        self.pauses: list[tuple[str, str]] = []
        self.allowed = True
        self.payees = {"p1": Payee("http", "a@example.com", "张三丰")}
        self.offset_us = 0
        self.ahead_us = ahead_us  # of the wall clock: a wrong one
        self.frozen_at = ""  # a point at which this worker dies
        self.sleeps_at = ""  # a point at which it freezes, once
        self.fell_asleep, self.woken = asyncio.Event(), asyncio.Event()
        self.counted: list[tuple[str, str, str]] = []
        log.epoch += 1
        self.epoch = log.epoch
        clocks = Clocks(now_us=self.now_us, mono_us=lambda: self.offset_us)
        self.dropped: list[tuple[str, str]] = []
        context = ExecutorContext(
            self,
            clocks,
            lambda *words: self.counted.append(words),
            self.fault,
            lambda *words: self.dropped.append(words),
        )
        self.executor = PartitionExecutor(self, self, self, self, context)

    def now_us(self) -> int:
        """Return the wall clock: that of the services, unless a test says otherwise."""
        return time.time_ns() // 1_000 + self.ahead_us

    def advance(self, seconds: float) -> None:
        """Let this worker's monotonic time pass."""
        self.offset_us += round(seconds * paying.SECOND_US)

    async def turn(self) -> None:
        """Do what is due, to its end."""
        self.executor.begin_due()
        await self.executor.settle()

    async def pass_time(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in steps, doing what is due."""
        for _ in range(round(seconds / step)):
            self.advance(step)
            await self.turn()

    # -- the ports

    async def fault(self, point: str) -> None:
        """Die at a point, or sleep there until the test wakes this worker."""
        if point == self.frozen_at:
            raise Fenced(point)
        if point == self.sleeps_at:
            self.sleeps_at = ""
            self.fell_asleep.set()
            await self.woken.wait()

    def position(self) -> int:
        """Return how much is folded."""
        return len(self.log.facts) + len(self.log.withdrawals)

    def open_places(self) -> Iterator[Place]:
        """Yield the open ones."""
        return iter([(USER, each.withdrawal_id) for each in self.log.withdrawals.values() if each.is_open])

    def settled_places(self) -> Iterator[Place]:
        """Yield those that ended."""
        ended = (states.PAID, states.FAILED)
        found = [each.withdrawal_id for each in self.log.withdrawals.values() if each.state in ended]
        return iter([(USER, own_id) for own_id in found])

    def ended_places(self) -> Iterator[Place]:
        """Yield those that ended, after an attempt or before it."""
        return iter(
            [(USER, each.withdrawal_id) for each in self.log.withdrawals.values() if not each.is_open]
        )

    def withdrawal(self, user_id: str, withdrawal_id: str) -> Withdrawal | None:
        """Return one."""
        return self.log.withdrawals.get(withdrawal_id)

    def standing(self, user_id: str) -> Standing:
        """Return the user's standing."""
        return Standing(self.log.blocked, parked=False, available=self.log.available)

    async def append(self, fact: PayoutAttempt | PayoutResult) -> None:
        """Write through the fence."""
        if self.epoch != self.log.epoch:
            raise Fenced("another worker has taken the partition over")
        self.log.fold(fact)

    def find(self, user_id: str, payee_id: str) -> Payee | None:
        """Return a payee."""
        return self.payees.get(payee_id)

    def spec(self, channel: str) -> ChannelSpec | None:
        """Return a channel."""
        return self.specs.get(channel)

    def is_open(self, channel: str) -> bool:
        """Whether it sends."""
        return self.opened

    def begin_call(self, channel: str) -> None:
        """Note a call."""

    def end_call(self, channel: str) -> None:
        """Note its end."""

    async def pause(self, channel: str, reason: str, known_since_us: int) -> None:
        """Pause it, unless it was opened after that."""
        if self.opened_at_us > known_since_us:
            return
        self.opened = False
        self.pauses.append((channel, reason))

    async def admit(self, spec: ChannelSpec) -> None:
        """Admit at once."""

    def may_call(self) -> bool:
        """Whether the lease holds."""
        return self.allowed
