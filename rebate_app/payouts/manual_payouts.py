"""Payouts by hand: the rows of an export, and results from a file, done by the owner of a partition.

An export writes attempts that carry its id, and its rows are those withdrawals whose attempt counted under
it: the same id gives the same rows again, and of two exports at once each withdrawal is in one.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

from msgspec import Struct

from rebate_app.domain.money_out import paying, states
from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.money_out.states import TRANSITIONS
from rebate_app.domain.money_out.withdrawal import Result, Withdrawal
from rebate_app.wire.moments import MILLISECOND_US, SECOND_US

from .channels.channel_file import ChannelSpec
from .partition import PartitionTable
from .payees.book import PayeeBook
from .ports import Journal

FOLD_SECONDS_MAX: Final = 10.0
POLL_SECONDS: Final = 0.05
ATTEMPTED_STATES: Final = (
    states.APPROVED,
    states.SENDING,
    states.NEEDS_USER,
    states.STUCK,
    states.PAID,
    states.FAILED,
    states.RETURNED,
    states.REJECTED,
)
IMPORTED_STATUSES: Final = ("paid", "failed", "returned")


class ExportRow(Struct, frozen=True):
    """One payout for people to carry out, `amount` in fen; account and name in clear."""

    payout_no: str
    amount: int
    account: str
    name: str
    memo: str


class ResultRow(Struct, frozen=True):
    """What a file states about a payout, `amount` in fen; `row` counts from 1.

    `at`: when that happened (µs), None where the file does not say.
    """

    row: int
    payout_no: str
    status: str
    amount: int
    channel_ref: str
    code: str
    at: int | None = None


class RowVerdict(Struct, frozen=True):
    """What became of a row: "" for accepted, `unchanged`, or why it is refused."""

    row: int
    verdict: str


class ManualPayouts:
    """One partition's payouts by hand."""

    def __init__(self, table: PartitionTable, journal: Journal, payees: PayeeBook) -> None:
        self._table = table
        self._journal = journal
        self._payees = payees

    async def export(self, spec: ChannelSpec, export_id: str, *, is_open: bool) -> list[ExportRow]:
        """Attempt what is ready under an export, and return all rows of it."""
        if is_open:
            for user_id, withdrawal in list(self._of((spec.name,), (states.APPROVED,))):
                if not self._hold(user_id, withdrawal, spec):
                    await self._attempt(user_id, withdrawal, spec, export_id)
        rows = []
        for user_id, withdrawal in self._of((spec.name,), ATTEMPTED_STATES):
            if any(attempt.export_id == export_id for attempt in withdrawal.attempts):
                rows.append(self._row(user_id, withdrawal))
        return rows

    def exports(self, channel: str) -> dict[str, int]:
        """Return how many payouts of each export are still open."""
        found: dict[str, int] = {}
        for _, withdrawal in self._of((channel,), (states.SENDING, states.NEEDS_USER, states.STUCK)):
            newest = withdrawal.last_attempt
            if newest is not None and newest.export_id:
                found[newest.export_id] = found.get(newest.export_id, 0) + 1
        return found

    def check(self, channels: Collection[str], rows: Sequence[ResultRow]) -> list[RowVerdict]:
        """Return what would become of the rows that are about these channels' payouts in this partition."""
        known = {withdrawal.payout_no: withdrawal for _, withdrawal in self._of(channels, ATTEMPTED_STATES)}
        return [
            RowVerdict(row.row, _verdict(known[row.payout_no], row)) for row in rows if row.payout_no in known
        ]

    async def take(self, channels: Collection[str], rows: Sequence[ResultRow]) -> list[RowVerdict]:
        """Write the results of the rows that can be taken; return what became of each of this partition."""
        places = {each.payout_no: (user_id, each) for user_id, each in self._of(channels, ATTEMPTED_STATES)}
        verdicts = []
        for row in rows:
            if row.payout_no not in places:
                continue
            user_id, withdrawal = places[row.payout_no]
            now = self._table.withdrawal(user_id, withdrawal.withdrawal_id) or withdrawal
            verdict = _verdict(now, row)
            if not verdict:
                await self._write(user_id, now, row)
            verdicts.append(RowVerdict(row.row, verdict))
        return verdicts

    def _of(self, channels: Collection[str], wanted: Sequence[str]) -> Iterator[tuple[str, Withdrawal]]:
        for state in wanted:
            for user_id, withdrawal in self._table.in_state(state):
                if withdrawal.channel in channels:
                    yield user_id, withdrawal

    def _hold(self, user_id: str, withdrawal: Withdrawal, spec: ChannelSpec) -> str:
        standing = self._table.standing(user_id)
        conditions = paying.Conditions(
            terms=paying.ChannelTerms(spec.channel.identity, 0, 0),
            is_open=True,
            blocked=standing.blocked,
            parked=standing.parked,
            available=standing.available,
            has_payee=self._payees.find(user_id, withdrawal.payee_id) is not None,
        )
        return paying.hold(withdrawal, conditions)

    async def _attempt(self, user_id: str, withdrawal: Withdrawal, spec: ChannelSpec, export_id: str) -> None:
        number, own_id = paying.next_attempt(withdrawal), withdrawal.withdrawal_id
        fact = PayoutAttempt(user_id, own_id, number, spec.name, spec.channel.identity, export_id, _now_us())
        await self._journal.append(fact)
        await self._until(user_id, own_id, lambda each: paying.next_attempt(each) > number)

    async def _write(self, user_id: str, withdrawal: Withdrawal, row: ResultRow) -> None:
        newest = withdrawal.attempts[-1]
        fact = PayoutResult(
            user_id,
            withdrawal.withdrawal_id,
            newest.attempt,
            row.status,  # type: ignore[arg-type] # checked before
            withdrawal.net,
            row.code,
            row.channel_ref,
            "",
            _moment_of(withdrawal, row, _now_us()),
        )
        await self._journal.append(fact)
        await self._until(user_id, withdrawal.withdrawal_id, lambda each: _is_result(each.result, fact))

    async def _until(self, user_id: str, own_id: str, reached: Callable[[Withdrawal], bool]) -> None:
        """Wait until what was written is folded, within a bound."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FOLD_SECONDS_MAX):
                while (now := self._table.withdrawal(user_id, own_id)) is None or not reached(now):  # noqa: ASYNC110
                    await asyncio.sleep(POLL_SECONDS)

    def _row(self, user_id: str, withdrawal: Withdrawal) -> ExportRow:
        payee = self._payees.find(user_id, withdrawal.payee_id)
        account, name = ("", "") if payee is None else (payee.account, payee.name)
        return ExportRow(withdrawal.payout_no, withdrawal.net, account, name, withdrawal.memo)


def _verdict(withdrawal: Withdrawal, row: ResultRow) -> str:
    """Return why a row cannot be taken, "" if it can."""
    if row.status not in IMPORTED_STATUSES:
        return "status"
    if row.amount != withdrawal.net:
        return "amount"
    if not withdrawal.attempts:
        return "not-exported"
    last = withdrawal.result
    if last is not None and (last.status, last.channel_ref) == (row.status, row.channel_ref):
        return "unchanged"
    step = TRANSITIONS.get((withdrawal.state, f"result-{row.status}"))
    return "" if step is not None else "wrong-state"


def _moment_of(withdrawal: Withdrawal, row: ResultRow, now_us: int) -> int:
    """Return when a row's result came about: what the file says where that can be, else now.

    Nothing comes about before the first attempt, whose second files may cut, or in the future.
    """
    begun_us = withdrawal.attempts[0].at // SECOND_US * SECOND_US
    if row.at is None or not begun_us <= row.at <= now_us:
        return now_us
    return row.at // MILLISECOND_US * MILLISECOND_US


def _is_result(result: Result | None, fact: PayoutResult) -> bool:
    """Whether a withdrawal's last result is that of the fact."""
    stated = fact.attempt, fact.status, fact.channel_ref, fact.at
    return result is not None and (result.attempt, result.status, result.channel_ref, result.at) == stated


def _now_us() -> int:
    return time.time_ns() // 1_000_000 * MILLISECOND_US
