"""Who answers: this worker when it may, else the owner is asked, else 503 (contracts.md 4).

Law: any worker answers for any user; a request that was forwarded once is answered or refused; while
nobody who may answer can, the answer is 503 `not-ready` with Retry-After. It is separate so that no
resource has to know that there is more than one worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from .api import GUARD_HEADER, REQUEST_ID_HEADER, Answer, Call, Desk
from .peers import UnreachableError
from .ports import Local, Nobody, Place, Remote
from .problems import ProblemError, not_ready

LINES, ACCOUNTS = "lines", "accounts"
INTERNAL_PATH = "/internal/"
OK = 200
UNAVAILABLE = 503

#: Passed on to the owner: what changes the answer. Everything else stays between client and worker.
_FORWARDED_HEADERS = ("If-None-Match", "Accept")


class PartitionAsked(msgspec.Struct, frozen=True):
    """What every question says: the partition whose owner is asked."""

    partition: int


A = TypeVar("A", bound=PartitionAsked)
T = TypeVar("T")


def place_of(desk: Desk, table: str, partition: int) -> Place:
    """Return who has a partition of one of the two tables; a Remote that is this worker is Nobody."""
    placement = desk.placement
    if not 0 <= partition < placement.partitions:
        return Nobody(f"there is no partition {partition} here")
    place = placement.account_place(partition) if table == ACCOUNTS else placement.line_place(partition)
    if isinstance(place, Remote) and place.url.rstrip("/") == desk.own_url:
        return Nobody("this worker is being given the partition")
    return place


def kept_place_of(desk: Desk, table: str, partition: int) -> Local | None:
    """Return records that may be old, for when the owner cannot be asked; the answer says `stale`."""
    if table == ACCOUNTS:
        return desk.placement.kept_account_place(partition)
    return desk.placement.kept_line_place(partition)


async def answer_at_owner(
    desk: Desk, call: Call, table: str, key: str, answer: Callable[[Local], Answer]
) -> Answer:
    """Return what `answer` makes of the owner's records, here or over there."""
    found = await records_or_answer(desk, call, table, key)
    return found if isinstance(found, Answer) else answer(found)


async def records_or_answer(desk: Desk, call: Call, table: str, key: str) -> Local | Answer:
    """Return the records of a key when this worker may answer from them, else what the owner answers.

    While the owner cannot answer, records that may be old are better than none, if this worker has them.
    """
    partition = desk.placement.partition_of(key)
    place = place_of(desk, table, partition)
    if isinstance(place, Local):
        return place
    try:
        answered = await forward(desk, call, place)
    except ProblemError:
        kept = kept_place_of(desk, table, partition)
        if kept is None:
            raise
        return kept
    if answered.status == UNAVAILABLE:
        return kept_place_of(desk, table, partition) or answered
    return answered


async def forward(desk: Desk, call: Call, place: Place) -> Answer:
    """Return what the owner answers, headers included; ProblemError `not-ready`."""
    if isinstance(place, Nobody):
        raise not_ready(place.reason, place.retry_after_s)
    if call.forwarded or not isinstance(place, Remote):
        raise not_ready("the owner has just changed")
    headers = {name: call.headers[name] for name in _FORWARDED_HEADERS if name in call.headers}
    headers |= {"Accept-Encoding": "identity", **_guard(desk, call.request_id)}
    try:
        response = await desk.peers.get(place.url.rstrip("/"), call.target, headers)
    except UnreachableError as error:
        raise not_ready(str(error)) from error
    return Answer(response.status, response.body, response.headers)


def _guard(desk: Desk, request_id: str) -> dict[str, str]:
    return {GUARD_HEADER: desk.own_url, REQUEST_ID_HEADER: request_id}


class Question(Generic[A, T]):
    """One thing that workers ask each other, with its typed words; `tell` answers from local records."""

    def __init__(
        self, name: str, table: str, asked: type[A], told: type[T], tell: Callable[[Desk, Local, A], T]
    ) -> None:
        self.name = name
        self.table = table
        self.tell = tell
        self._decode_asked = msgspec.json.Decoder(asked).decode
        self._decode_told = msgspec.json.Decoder(told).decode

    async def ask(self, desk: Desk, asked: A, request_id: str, timeout_s: float = 60.0) -> T:
        """Return what the owner of the partition says; UnreachableError when nobody can be asked."""
        place = place_of(desk, self.table, asked.partition)
        if isinstance(place, Local):
            return self.tell(desk, place, asked)
        if isinstance(place, Nobody):
            raise UnreachableError(place.reason)
        headers = {"Content-Type": "application/json", **_guard(desk, request_id)}
        target = INTERNAL_PATH + self.name
        body = msgspec.json.encode(asked)
        response = await desk.peers.ask(place.url.rstrip("/"), target, headers, body, timeout_s)
        if response.status != OK:
            raise UnreachableError(f"the owner answered {response.status}")
        try:
            return self._decode_told(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UnreachableError("the owner speaks another version") from error

    def answer(self, desk: Desk, body: bytes) -> bytes:
        """Return the answer to another worker's question; ProblemError `not-ready` unless we own it."""
        try:
            asked = self._decode_asked(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise not_ready(f"the asker speaks another version: {error}") from error
        place = place_of(desk, self.table, asked.partition)
        if not isinstance(place, Local):
            raise not_ready("the owner has just changed")
        return msgspec.json.encode(self.tell(desk, place, asked))


async def ask_all(
    question: Question[A, T], desk: Desk, asked: list[A], request_id: str, timeout_s: float
) -> list[T | None]:
    """Return what each owner says, None for those that cannot be asked; all are asked at once."""

    async def one(item: A) -> T | None:
        try:
            return await question.ask(desk, item, request_id, timeout_s)
        except UnreachableError:
            return None

    return list(await asyncio.gather(*map(one, asked)))
