"""The payouts of one partition: what `domain.money_out.paying` decides, done.

An attempt is written and folded before the service is called, and the authority to call is asked immediately
before each call. One thing happens to a withdrawal at a time. Nothing here books money: results are facts,
and the fold of the partition decides what they mean. A crash at any point leaves an attempt that is queried
(docs/payouts.md#crash-points).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from msgspec import Struct

from rebate_app.domain.money_out import answers, paying
from rebate_app.domain.money_out.answers import ChannelAnswer
from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.money_out.paying import ChannelTerms, Conditions, Verdict
from rebate_app.domain.money_out.withdrawal import Attempt, Withdrawal
from rebate_app.wire.moments import MILLISECOND_US

from .channels.channel_file import ChannelSpec
from .channels.port import PayoutOrder
from .ports import Accounts, CallAuthority, ChannelDesk, Clocks, Journal, PartitionPayees, Place
from .watch_list import WatchList

POLL_SECONDS: Final = 0.05
IDLE_SECONDS: Final = 0.25
#: Folding what was written takes this long at most, else nothing is assumed.
FOLD_SECONDS_MAX: Final = 10.0
IN_FLIGHT_MAX: Final = 64
#: What one step looks at, so that thousands of withdrawals hold up no one else on the event loop.
LOOKS_MAX: Final = 50
#: One that has to wait is looked at again after so long.
HELD_LOOK_US: Final = paying.SECOND_US
SECOND_US: Final = paying.SECOND_US
#: In the order in which one payout passes them (docs/payouts.md#crash-points); `asked` after each query.
CRASH_POINTS: Final = (
    "attempt-begun",
    "attempt-written",
    "attempt-folded",
    "answered",
    "asked",
    "result-begun",
    "result-written",
)

log = logging.getLogger(__name__)


def _ignore(*words: str) -> None:
    """Do nothing."""
    del words


async def _no_fault(point: str) -> None:
    """Do nothing; the fault rig of the tests passes another function."""
    del point


class ExecutorContext(Struct, frozen=True):
    """What the executors of all partitions share.

    `count`: counts outcomes, by channel, `call` or `question`, and outcome. `fault`: awaited at each crash
    point (CRASH_POINTS). `drop`: counts what is left out of answers, by channel and member.
    """

    desk: ChannelDesk
    clocks: Clocks = Clocks()
    count: Callable[[str, str, str], None] = _ignore
    fault: Callable[[str], Awaitable[None]] = _no_fault
    drop: Callable[[str, str], None] = _ignore


class NotCalledError(Exception):
    """The service is not called: this worker may not, or the attempt is too old or not legal."""


class PartitionExecutor:
    """Pays the withdrawals of one partition from take-over to release."""

    def __init__(
        self,
        accounts: Accounts,
        journal: Journal,
        payees: PartitionPayees,
        authority: CallAuthority,
        context: ExecutorContext,
    ) -> None:
        self._accounts = accounts
        self._journal = journal
        self._payees = payees
        self._authority = authority
        self._context = context
        self._watch_list = WatchList(accounts, context.clocks)
        self._may_call = False  # at the last look
        self._busy: dict[Place, asyncio.Task[None]] = {}
        self.held: dict[Place, str] = {}  # why open ones wait
        self._waiting_for: dict[str, set[Place]] = {}  # by the channel that was not open

    async def run(self) -> None:
        """Pay until cancelled."""
        try:
            while True:
                self.begin_due()
                await asyncio.sleep(IDLE_SECONDS)
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Cancel everything in flight: the next owner queries it."""
        tasks = list(self._busy.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def prompt(self, payout_no: str, *, searches: bool = False) -> bool:
        """Query a payout soon, since its service has called back; return whether it is one of these.

        `searches`: one that has ended and is not watched any more is looked for, and queried once.
        """
        return self._watch_list.prompt(payout_no, searches=searches)

    async def settle(self) -> None:
        """Wait until nothing is in flight (for tests and the end of a worker)."""
        while self._busy:
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    def begin_due(self) -> None:
        """Begin what is due, of a bounded number of withdrawals in turn; nothing where no call is allowed."""
        if not self._note_authority():
            return
        self._watch_list.read_table()
        self._watch_list.search()
        for channel in [name for name in self._waiting_for if self._context.desk.is_open(name)]:
            for place in self._waiting_for.pop(channel):
                self._watch_list.wake(place)
        now_us, looks = self._context.clocks.mono_us(), LOOKS_MAX
        for _ in range(len(self._watch_list)):
            if not looks or len(self._busy) >= IN_FLIGHT_MAX:
                return
            place = self._watch_list.next_place()
            if place not in self._busy and not self._watch_list.is_quiet(place, now_us):
                looks -= 1
                self._begin_one(place)
            if not len(self._watch_list):
                return

    def _note_authority(self) -> bool:
        """Return whether calls are allowed now. Where they were not before, this is the takeover."""
        before, self._may_call = self._may_call, self._authority.may_call()
        if self._may_call and not before:
            self._watch_list.take_over()
        return self._may_call

    def _begin_one(self, place: Place) -> None:
        withdrawal = self._accounts.withdrawal(*place)
        if withdrawal is None:
            self._watch_list.drop(place)
            return
        watched, clocks = self._watch_list.look(place, withdrawal), self._context.clocks
        due_us = paying.query_due(withdrawal, watched, clocks.now_us(), clocks.mono_us())
        if due_us is not None:
            if due_us <= clocks.mono_us():
                self._start(place, self._query(place, withdrawal))
            else:
                self._watch_list.wait(place, due_us)
            return
        if not withdrawal.is_open:
            self._watch_list.forget(place, withdrawal)
            self.held.pop(place, None)
            return
        reason = self._hold(place, withdrawal)
        if reason:
            self.held[place] = reason
            self._watch_list.wait(place, clocks.mono_us() + HELD_LOOK_US)
            if not self._context.desk.is_open(withdrawal.channel):
                self._waiting_for.setdefault(withdrawal.channel, set()).add(place)
        else:
            self._start(place, self._attempt(place, withdrawal))

    def _start(self, place: Place, work: Coroutine[Any, Any, None]) -> None:
        self.held.pop(place, None)
        self._watch_list.wake(place)
        task = asyncio.create_task(self._guarded(place, work), name=f"payout-{place[1]}")
        self._busy[place] = task
        task.add_done_callback(lambda _: self._busy.pop(place, None))

    async def _guarded(self, place: Place, work: Coroutine[Any, Any, None]) -> None:
        """Log what fails: the withdrawal is queried later, as after a crash."""
        try:
            await work
        except NotCalledError as error:
            log.info("payout %s of %s is not sent: %s", place[1], place[0], error)
        except Exception:
            log.exception("payout %s of %s: it is asked about later", place[1], place[0])
            self._watch_list.restart(place)

    # -- what is known before a call

    def _terms(self, spec: ChannelSpec) -> ChannelTerms:
        return ChannelTerms(
            spec.channel.identity,
            round(spec.not_found_after_seconds * SECOND_US),
            round(spec.remembers_seconds * SECOND_US),
        )

    def _hold(self, place: Place, withdrawal: Withdrawal, *, sends_again: bool = False) -> str:
        """Return why no attempt may be written now, "" if one may."""
        spec = self._context.desk.spec(withdrawal.channel)
        if spec is not None and not spec.channel.is_automatic:
            return paying.CHANNEL_NOT_OPEN  # people pay these: the export writes their attempts
        if spec is not None and not self._context.desk.is_open(withdrawal.channel):
            return paying.CHANNEL_NOT_OPEN  # thousands may wait for that, so nothing else is read
        standing = self._accounts.standing(place[0])
        conditions = Conditions(
            terms=None if spec is None else self._terms(spec),
            is_open=self._context.desk.is_open(withdrawal.channel),
            blocked=standing.blocked,
            parked=standing.parked,
            available=standing.available,
            has_payee=self._payees.find(place[0], withdrawal.payee_id) is not None,
        )
        return paying.hold(withdrawal, conditions, sends_again=sends_again)

    def _require_authority(self) -> None:
        if not self._authority.may_call():
            raise NotCalledError("this worker may not call for the partition now")

    # -- attempting

    async def _attempt(self, place: Place, withdrawal: Withdrawal, *, sends_again: bool = False) -> None:
        """Write an attempt, fold it, then call."""
        spec = self._context.desk.spec(withdrawal.channel)
        if spec is None or self._hold(place, withdrawal, sends_again=sends_again):
            return
        await self._context.desk.admit(spec)
        self._require_authority()
        at_us = self._context.clocks.now_us() // MILLISECOND_US * MILLISECOND_US
        number = paying.next_attempt(withdrawal)
        fact = PayoutAttempt(
            *place, number, withdrawal.channel, spec.channel.identity, export_id="", at=at_us
        )
        await self._context.fault("attempt-begun")
        await self._journal.append(fact)
        await self._context.fault("attempt-written")
        folded = await self._folded(place, number, at_us)
        await self._context.fault("attempt-folded")
        called_us = self._context.clocks.now_us()
        answer = await self._send(place, folded, spec, at_us)
        await self._context.fault("answered")
        await self._take_answer(place, spec, answer, called_us, is_query=False)

    async def _folded(self, place: Place, number: int, at_us: int) -> Withdrawal:
        """Return the withdrawal once this very attempt is its newest one; NotCalledError if it is not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLD_SECONDS_MAX):
                while True:
                    withdrawal = self._accounts.withdrawal(*place)
                    newest = withdrawal.last_attempt if withdrawal is not None else None
                    if withdrawal is not None and newest is not None and newest.attempt >= number:
                        return _with_own(withdrawal, newest, number, at_us)
                    await asyncio.sleep(POLL_SECONDS)
        raise NotCalledError("its attempt had no effect")

    async def _send(
        self, place: Place, withdrawal: Withdrawal, spec: ChannelSpec, at_us: int
    ) -> ChannelAnswer:
        payee = self._payees.find(place[0], withdrawal.payee_id)
        self._watch_list.note_send(place, withdrawal)
        if payee is None or not self._context.desk.is_open(withdrawal.channel):
            raise NotCalledError("its payee is gone, or its channel does not send any more")
        if not paying.may_send(at_us, self._context.clocks.now_us()):
            raise NotCalledError("its attempt is too old")
        self._require_authority()
        order = _order_of(place, withdrawal, payee.account, payee.name)
        self._context.desk.begin_call(spec.name)
        try:
            return await spec.channel.send(order, at_us // SECOND_US)
        finally:
            self._context.desk.end_call(spec.name)

    # -- querying

    async def _query(self, place: Place, withdrawal: Withdrawal) -> None:
        """Query once; the answer may lead to a result, or to the next attempt."""
        self._watch_list.note_query(place)
        spec = self._context.desk.spec(withdrawal.channel)
        if spec is None:
            self.held[place] = paying.CHANNEL_MISSING
            return
        if not spec.channel.is_automatic:
            return
        await self._context.desk.admit(spec)
        self._require_authority()
        called_us = self._context.clocks.now_us()
        answer = await spec.channel.query(_order_of(place, withdrawal, "", ""))
        await self._context.fault("asked")
        if await self._take_answer(place, spec, answer, called_us, is_query=True):
            now = self._accounts.withdrawal(*place)
            if now is not None and len(now.attempts) == len(withdrawal.attempts):
                await self._attempt(place, now, sends_again=True)

    async def _take_answer(
        self, place: Place, spec: ChannelSpec, answer: ChannelAnswer, called_us: int, *, is_query: bool
    ) -> bool:
        """Write what an answer means; return whether the number is to be sent again.

        What is new pauses the channel unless somebody has opened it since `called_us`; what a query only
        repeats, unless somebody has opened it since the attempt and so knows of it.
        """
        self._context.count(spec.name, "question" if is_query else "call", answer.outcome)
        for member in answer.dropped:
            self._context.drop(spec.name, member)
        withdrawal, clocks = self._accounts.withdrawal(*place), self._context.clocks
        newest = withdrawal.last_attempt if withdrawal is not None else None
        if withdrawal is None or newest is None:
            return False
        watched = self._watch_list[place]
        query_us = (
            watched.last_query_mono_us
            if is_query and watched.last_query_mono_us is not None
            else clocks.mono_us()
        )
        verdict = paying.judge(
            withdrawal, answer, self._terms(spec), watched, clocks.now_us(), query_us, is_query=is_query
        )
        await self._write(place, withdrawal, newest, verdict)
        if verdict.pauses:
            reason = answers.MISMATCH if answer.outcome == answers.MISMATCH else answers.PAYER
            is_new = bool(verdict.status) or not is_query
            await self._context.desk.pause(spec.name, reason, called_us if is_new else newest.at)
        return verdict.sends_again

    async def _write(self, place: Place, withdrawal: Withdrawal, newest: Attempt, verdict: Verdict) -> None:
        """Write a result and wait until it is folded, so that the next answer is compared with it."""
        if not verdict.status:
            return
        at_us = self._context.clocks.now_us() // MILLISECOND_US * MILLISECOND_US
        fact = PayoutResult(
            *place,
            newest.attempt,
            verdict.status,  # type: ignore[arg-type] # judge returns no other
            withdrawal.net,
            verdict.code,
            verdict.channel_ref,
            verdict.needs_user_url,
            at_us,
        )
        await self._context.fault("result-begun")
        await self._journal.append(fact)
        await self._context.fault("result-written")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLD_SECONDS_MAX):
                while not self._has_result(place, fact):  # noqa: ASYNC110 - the table has no events
                    await asyncio.sleep(POLL_SECONDS)

    def _has_result(self, place: Place, fact: PayoutResult) -> bool:
        now = self._accounts.withdrawal(*place)
        return now is None or (now.result is not None and now.result.at >= fact.at)


def _with_own(withdrawal: Withdrawal, newest: Attempt, number: int, at_us: int) -> Withdrawal:
    if newest.attempt != number or newest.at != at_us:
        raise NotCalledError("another attempt stands in the log before it")
    return withdrawal


def _order_of(place: Place, withdrawal: Withdrawal, account: str, name: str) -> PayoutOrder:
    return PayoutOrder(
        payout_no=withdrawal.payout_no,
        amount=withdrawal.net,
        account=account,
        name=name,
        user_id=place[0],
        withdrawal_id=place[1],
        memo=withdrawal.memo,
    )
