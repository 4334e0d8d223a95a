"""Compares the balances that workers answer with the folded accounts.

An answer is comparable if its `version` is that of the folded head; then every member has to be right for
the moment `at` that the answer itself names. Amounts are in fen. A worker that does not answer, or not yet,
is no difference; the user counts as not comparable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Protocol

from msgspec import Struct

from rebate_app.domain.account.account import Head
from rebate_app.domain.account.balance import balance_on
from rebate_app.domain.pricing.calendar import day_of
from rebate_app.streams.state.store import Readable
from rebate_app.wire.balance import balance_members
from rebate_app.wire.moments import parse_moment
from tables.accounts import HEAD

from .findings import WRONG_BALANCE, Finding, Findings

CONCURRENT_REQUESTS_MAX = 16
ROUNDS_MAX = 3  # requests for a user whose account keeps changing, each at a later cut
BEHIND_TRIES_MAX = 5
BEHIND_WAIT_SECONDS = 0.2
OK = 200
UNAVAILABLE = (0, 502, 503, 504)  # nobody answers, or nobody may answer yet


class WorkerAnswer(Struct, frozen=True):
    """An answer: its HTTP status, 0 for none, and its document."""

    status: int
    body: Any


class BalanceWorkers(Protocol):
    """Workers that answer balances; any of them answers for any user."""

    async def balance(self, user_id: str) -> WorkerAnswer:
        """Return the user's balance as it is answered now."""
        ...


def expected_balance(user_id: str, head: Head, day: int) -> dict[str, Any]:
    """Return the document that a worker has to answer for a head on a day, without `at` and `as_of`.

    See docs/spec/http.md#balance.
    """
    return balance_members(user_id, head.version, balance_on(head, day))


class BalanceCheck:
    """Requests and compares the balances of one partition's users after another's."""

    def __init__(self, workers: BalanceWorkers, findings: Findings) -> None:
        self.compared = 0
        self._workers = workers
        self._findings = findings

    async def compare(self, where: str, fold: Readable, users: Iterable[str]) -> list[str]:
        """Compare the users' balances with the fold; return the users who were not comparable."""
        waiting = iter(list(users))
        missed: list[str] = []

        async def compare_next() -> None:
            for user_id in waiting:
                head = HEAD.read(fold, HEAD.key(user_id)) or Head()
                if await self._compare_user(where, user_id, head):
                    self.compared += 1
                else:
                    missed.append(user_id)

        await asyncio.gather(*(compare_next() for _ in range(CONCURRENT_REQUESTS_MAX)))
        return missed

    async def _compare_user(self, where: str, user_id: str, head: Head) -> bool:
        """Request until the answer has the head's version; False when it is newer, or none comes."""
        for _ in range(BEHIND_TRIES_MAX):
            answer = await self._workers.balance(user_id)
            body = answer.body
            version = body.get("version") if isinstance(body, dict) else None
            if answer.status == OK and version == head.version:
                self._compare_members(where, user_id, head, body)
                return True
            if answer.status not in (OK, *UNAVAILABLE) or (
                answer.status == OK and not isinstance(version, int)
            ):
                self._add_finding(where, user_id, f"status {answer.status}", body, None)
                return True
            if isinstance(version, int) and version > head.version:
                return False
            await asyncio.sleep(BEHIND_WAIT_SECONDS)
        return False

    def _compare_members(self, where: str, user_id: str, head: Head, body: dict[str, Any]) -> None:
        try:
            day = day_of(parse_moment(body["at"]))
        except (KeyError, TypeError, ValueError):
            self._add_finding(where, user_id, "no moment `at`", body, None)
            return
        expected = expected_balance(user_id, head, day)
        wrong = [name for name, value in expected.items() if body.get(name) != value]
        if wrong:
            self._add_finding(where, user_id, "wrong " + ", ".join(wrong), body, expected)

    def _add_finding(self, where: str, user_id: str, fault: str, body: Any, expected: Any) -> None:
        text = f"the balance of {user_id} is answered with {fault}"
        self._findings.add(Finding(WRONG_BALANCE, where, text, user_id, table=body, fold=expected))
