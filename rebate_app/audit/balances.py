"""What workers answer, held against the folded heads.

Law: an answer is comparable exactly if its `version` is that of the folded head; then every member has
to be right for the moment that the answer itself names. It is separate because it asks the system, where
all the rest of the audit reads logs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from msgspec import Struct

from rebate_app.domain.account import Head
from rebate_app.domain.balance import balance_on
from rebate_app.domain.calendar import day_of
from rebate_app.lane.store import Readable
from rebate_app.wire.moments import format_date, parse_moment
from tables.accounts import HEAD

from .findings import WRONG_BALANCE, Finding, Findings

ASKED_AT_ONCE_MAX = 16
ROUNDS_MAX = 3  # how often somebody whose account moves on is asked again, at a later cut
BEHIND_TRIES_MAX = 5
BEHIND_WAIT_S = 0.2
OK = 200
AWAY = (0, 502, 503, 504)  # nobody there, or nobody who may answer yet
_HEAD_PREFIX = b"h "


class Said(Struct, frozen=True):
    """An answer: its HTTP status, 0 for none, and its document."""

    status: int
    body: Any


class Workers(Protocol):
    """Any worker, asked for balances."""

    async def balance(self, user_id: str) -> Said:
        """Return what is answered now."""
        ...


def users_of(keys: Iterable[bytes]) -> Iterator[str]:
    """Iterate over the users that have an account, of the keys of a partition's records."""
    cut = len(_HEAD_PREFIX)
    return (key[cut:].decode() for key in keys if key.startswith(_HEAD_PREFIX))


def balance_in_words(user_id: str, head: Head, day: int) -> dict[str, Any]:
    """Return what has to be answered for a head on a day: contracts.md 4 without `at` and `as_of`."""
    balance = balance_on(head, day)
    return {
        "user_id": user_id,
        "currency": "CNY",
        "unit": "fen",
        "estimated": balance.estimated,
        "confirmed": sum(amount for _, amount in balance.maturing),
        "held": balance.held,
        "available": balance.available,
        "frozen": 0,
        "withdrawn": 0,
        "debt": max(0, -balance.available),
        "maturing": [{"on": format_date(on), "amount": amount} for on, amount in balance.maturing],
        "lines": {"open": balance.open, "settled": balance.settled, "closed": balance.closed},
        "version": head.version,
    }


class Balances:
    """Asks for the users of one partition after another."""

    def __init__(self, workers: Workers, findings: Findings) -> None:
        self.compared = 0
        self._workers = workers
        self._findings = findings

    async def compare(self, where: str, fold: Readable, users: Iterable[str]) -> list[str]:
        """Compare the users' answers with the fold; return who was not comparable."""
        waiting = iter(list(users))
        missed: list[str] = []

        async def ask_on() -> None:
            for user_id in waiting:
                head = HEAD.read(fold, HEAD.key(user_id)) or Head()
                if await self._comparable(where, user_id, head):
                    self.compared += 1
                else:
                    missed.append(user_id)

        await asyncio.gather(*(ask_on() for _ in range(ASKED_AT_ONCE_MAX)))
        return missed

    async def _comparable(self, where: str, user_id: str, head: Head) -> bool:
        """Ask until the answer is of the head's version; False when it is of a later one, or none comes."""
        for _ in range(BEHIND_TRIES_MAX):
            said = await self._workers.balance(user_id)
            version = said.body.get("version") if isinstance(said.body, dict) else None
            if said.status == OK and version == head.version:
                self._judge(where, user_id, head, said.body)
                return True
            if said.status not in (OK, *AWAY) or (said.status == OK and not isinstance(version, int)):
                self._wrong(where, user_id, f"status {said.status}", said.body, None)
                return True
            if isinstance(version, int) and version > head.version:
                return False
            await asyncio.sleep(BEHIND_WAIT_S)
        return False

    def _judge(self, where: str, user_id: str, head: Head, body: dict[str, Any]) -> None:
        try:
            day = day_of(parse_moment(body["at"]))
        except (KeyError, TypeError, ValueError):
            self._wrong(where, user_id, "no moment `at`", body, None)
            return
        right = balance_in_words(user_id, head, day)
        wrong = [name for name, value in right.items() if body.get(name) != value]
        if wrong:
            self._wrong(where, user_id, "wrong " + ", ".join(wrong), body, right)

    def _wrong(self, where: str, user_id: str, what: str, body: Any, right: Any) -> None:
        says = f"the balance of {user_id} is answered with {what}"
        self._findings.add(Finding(WRONG_BALANCE, where, says, user_id, table=body, fold=right))
