"""`GET /v1/parked-keys`: order lines, users and attribution ids under review, from every owner.

It is separate from the dead letters because what is parked is state, and they are a log.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from rebate_app.dead_letters.letters import text_or_hex
from rebate_app.wire.moments import format_moment
from tables.parking import PARKED, list_parked, parked_key

from .api import Answer, Call, Desk, json_answer
from .asked import LIMIT_MAX, limit_of
from .cursors import make_cursor, read_cursor
from .owners import ACCOUNTS, LINES, PartitionAsked, Question
from .peers import UnreachableError
from .ports import Local
from .problems import not_ready

MILLISECOND_US = 1_000
OF_LIST = "parked-keys"


class ParkedAsked(PartitionAsked, frozen=True):
    """Ask for the parked keys that were parked after this offset, at most so many."""

    after: int
    limit: int


class ParkedItem(Struct, frozen=True):
    """A parked key: since which record, why, how many wait, and whether it is being released."""

    key: bytes
    since: int
    at: int
    reason: str
    waiting: int
    releasing: bool


class ParkedTold(Struct, frozen=True):
    """Parked keys, and whether there are more."""

    items: list[ParkedItem]
    more: bool


def tell_parked(desk: Desk, local: Local, asked: ParkedAsked) -> ParkedTold:
    """Answer from the partition's own list, in the order of parking."""
    del desk
    keys = [each for each in list_parked(local.store) if each[1] > asked.after]
    limit = min(asked.limit, LIMIT_MAX)
    items = []
    for key, since, at in keys[:limit]:
        parked = PARKED.read(local.store, parked_key(key))
        if parked is not None:
            items.append(ParkedItem(key, since, at, parked.reason, parked.count, parked.release >= 0))
    return ParkedTold(items, len(keys) > limit)


PARKED_LINES = Question("parked-lines", LINES, ParkedAsked, ParkedTold, tell_parked)
PARKED_ACCOUNTS = Question("parked-accounts", ACCOUNTS, ParkedAsked, ParkedTold, tell_parked)
QUESTIONS = (PARKED_LINES, PARKED_ACCOUNTS)


async def read_parked_keys(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/parked-keys`."""
    limit = limit_of(call)
    table, partition, next_ = read_cursor(OF_LIST, call.query.get("cursor"), 3) or (0, 0, 0)
    topics = (desk.topics.orders, desk.topics.user_log)
    items: list[dict[str, Any]] = []
    while table < len(topics) and len(items) < limit:
        asked = ParkedAsked(partition, next_ - 1, limit - len(items))
        try:
            told = await QUESTIONS[table].ask(desk, asked, call.request_id)
        except UnreachableError as error:
            raise not_ready(f"partition {partition} of {topics[table]}: {error}") from error
        items += [_in_words(topics[table], partition, item) for item in told.items]
        if told.more:
            next_ = told.items[-1].since + 1
            continue
        partition, next_ = partition + 1, 0
        if partition == desk.placement.partitions:
            table, partition = table + 1, 0
    cursor = make_cursor(OF_LIST, table, partition, next_) if table < len(topics) else None
    return json_answer({"items": items, "next_cursor": cursor})


def _in_words(topic: str, partition: int, item: ParkedItem) -> dict[str, Any]:
    key, key_as = text_or_hex(item.key)
    return {
        "topic": topic,
        "key": key,
        "key_as": key_as,
        "since": f"{topic}/{partition}/{item.since}",
        "at": format_moment(item.at * MILLISECOND_US),
        "reason": item.reason,
        "waiting": item.waiting,
        "releasing": item.releasing,
    }
