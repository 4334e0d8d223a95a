"""The payees of one partition, sealed, as its topic holds them.

Only the owner of the partition in the active app writes, through its fenced producers, so what it wrote it
knows; when its turn begins it reads the topic to its end. The owners of other apps follow the topic. Changes
come one after the other: a rotation never meets a tombstone half-way.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, MutableSequence, Sequence
from typing import Final

from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.unreadable import UnreadableValueError

from ..ports import Payee
from .cipher import PayeeCipher
from .reader import SealedPayee

SEPARATOR: Final = " "
PAYEES_MAX: Final = 100
ROTATED_AT_ONCE: Final = 200

Write = Callable[[Sequence[OutgoingRecord]], Awaitable[None]]


class TooManyPayeesError(Exception):
    """The user has as many payees as there may be."""


class FollowedPayeesError(Exception):
    """Another app has the turn, and keeps the payees."""


def key_of(user_id: str, payee_id: str) -> bytes:
    """Return the key of a record; no id contains a space."""
    return f"{user_id}{SEPARATOR}{payee_id}".encode()


class PayeeBook:
    """One partition's payees. `write` commits records; an error leaves the book unusable (`is_stale`).

    `write` None: another app has the turn. The book follows what that one writes (`take`) and changes
    nothing: `add`, `forget` and `rotate` raise FollowedPayeesError.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        cipher: PayeeCipher,
        sealed: Iterable[SealedPayee],
        write: Write | None,
    ) -> None:
        self.is_stale = False
        self._topic = topic
        self._partition = partition
        self._cipher = cipher
        self._write_records = write
        self._changing = asyncio.Lock()
        self._users: dict[str, dict[str, bytes]] = {}
        for each in sealed:
            self.take(*each)

    def __len__(self) -> int:
        return sum(map(len, self._users.values()))

    def take(self, key: bytes, value: bytes | None) -> None:
        """Take what the topic has for a key, None for a tombstone."""
        user_id, _, payee_id = key.decode("utf-8", "replace").partition(SEPARATOR)
        payees = self._users.setdefault(user_id, {})
        if value is None:
            payees.pop(payee_id, None)
        else:
            payees[payee_id] = value
        if not payees:
            del self._users[user_id]

    def find(self, user_id: str, payee_id: str) -> Payee | None:
        """Return a payee in clear, None for one that is not there or cannot be decrypted."""
        value = self._users.get(user_id, {}).get(payee_id)
        if value is None:
            return None
        try:
            return self._cipher.open(key_of(user_id, payee_id), value)
        except UnreadableValueError:
            return None

    def list(self, user_id: str) -> list[tuple[str, Payee]]:
        """Return id and payee of all of a user's that can be decrypted, by id."""
        found = (
            (payee_id, self.find(user_id, payee_id)) for payee_id in sorted(self._users.get(user_id, {}))
        )
        return [(payee_id, payee) for payee_id, payee in found if payee is not None]

    def has(self, user_id: str, payee_id: str) -> bool:
        """Whether there is such a payee, decryptable or not."""
        return payee_id in self._users.get(user_id, {})

    async def add(
        self, user_id: str, payee: Payee, records: MutableSequence[OutgoingRecord] | None = None
    ) -> str:
        """Keep a payee; return its id. The same again changes nothing. TooManyPayeesError.

        `records` go in the same transaction; the list is empty once they are committed.
        """
        self._require_turn()
        async with self._changing:
            payee_id = self._cipher.payee_id(user_id, payee)
            if self.find(user_id, payee_id) == payee:
                return payee_id
            if not self.has(user_id, payee_id) and len(self._users.get(user_id, {})) >= PAYEES_MAX:
                raise TooManyPayeesError
            value = self._cipher.seal(key_of(user_id, payee_id), payee)
            await self._write([(user_id, payee_id, value)], [] if records is None else records)
            return payee_id

    async def forget(
        self, user_id: str, payee_id: str, records: MutableSequence[OutgoingRecord] | None = None
    ) -> bool:
        """Erase a payee; return whether there was one. `records`: as for `add`."""
        self._require_turn()
        async with self._changing:
            if not self.has(user_id, payee_id):
                return False
            await self._write([(user_id, payee_id, None)], [] if records is None else records)
            return True

    async def rotate(self) -> tuple[int, int]:
        """Seal with the first key what another one has sealed; return (rotated, unreadable)."""
        self._require_turn()
        rotated = unreadable = 0
        changes: list[tuple[str, str, bytes | None]] = []
        async with self._changing:
            for user_id, payees in self._users.items():
                for payee_id, value in payees.items():
                    key = key_of(user_id, payee_id)
                    try:
                        if not self._cipher.is_newest(value):
                            payee = self._cipher.open(key, value)
                            changes.append((user_id, payee_id, self._cipher.seal(key, payee)))
                    except UnreadableValueError:
                        unreadable += 1
            for start in range(0, len(changes), ROTATED_AT_ONCE):
                step = changes[start : start + ROTATED_AT_ONCE]
                await self._write(step, [])
                rotated += len(step)
        return rotated, unreadable

    def _require_turn(self) -> Write:
        if self._write_records is None:
            raise FollowedPayeesError
        return self._write_records

    async def _write(
        self, changes: Sequence[tuple[str, str, bytes | None]], more: MutableSequence[OutgoingRecord]
    ) -> None:
        """Commit changes and what goes with them, then take the changes.

        An error, a cancelled caller among them, makes the book stale.
        """
        now_ms = time.time_ns() // 1_000_000
        records = [
            OutgoingRecord(self._topic, key_of(user_id, payee_id), value, now_ms, (), self._partition)
            for user_id, payee_id, value in changes
        ]
        write = self._require_turn()
        try:
            await write([*records, *more])
        except BaseException:
            self.is_stale = True
            raise
        more.clear()
        for user_id, payee_id, value in changes:
            self.take(key_of(user_id, payee_id), value)
