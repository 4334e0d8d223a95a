"""Lists over all partitions: every user, and every attribution id whose lines wait in suspense.

Law: ordered by partition and the order in which the partition first saw them; a cursor holds both, so
newcomers never shift what follows (contracts.md 4). It is separate because one page may need every
worker.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import Struct

from rebate_app.domain.calendar import day_of
from rebate_app.domain.suspense import net_at
from rebate_app.wire.moments import format_moment
from tables.accounts import (
    COUNTERS,
    COUNTERS_KEY,
    ID_HEAD,
    ID_NAME,
    USER_NAME,
    Counters,
)

from .account_lists import LOOKED_AT_MAX
from .api import Answer, Call, Desk, json_answer
from .asked import LIMIT_MAX, limit_of, moment_of
from .cursors import make_cursor, read_cursor
from .owners import ACCOUNTS, PartitionAsked, Question
from .peers import UnreachableError
from .ports import Local
from .problems import ProblemError, not_ready


class PageAsked(PartitionAsked, frozen=True):
    """Ask which there are in the partition from this number on, at most so many."""

    start: int
    limit: int
    day: int = 0


class UsersTold(Struct, frozen=True):
    """Users, and the number to go on at, None at the partition's end."""

    items: list[str]
    next: int | None


class UnboundTold(Struct, frozen=True):
    """(attribution id, unclaimed lines, their net in fen), and the number to go on at."""

    items: list[tuple[str, int, int]]
    next: int | None


def tell_users(desk: Desk, local: Local, asked: PageAsked) -> UsersTold:
    """Answer from the partition's own numbers."""
    del desk
    counters = COUNTERS.read(local.store, COUNTERS_KEY) or Counters()
    end = min(counters.users, asked.start + min(asked.limit, LIMIT_MAX))
    names = (USER_NAME.read(local.store, USER_NAME.key(number)) for number in range(asked.start, end))
    return UsersTold([name for name in names if name is not None], end if end < counters.users else None)


def tell_unbound(desk: Desk, local: Local, asked: PageAsked) -> UnboundTold:
    """Answer from the partition's own numbers; bound ids and claimed lines are left out."""
    del desk
    store = local.store
    counters = COUNTERS.read(store, COUNTERS_KEY) or Counters()
    items: list[tuple[str, int, int]] = []
    number, last = asked.start, min(counters.ids, asked.start + LOOKED_AT_MAX)
    while number < last and len(items) < min(asked.limit, LIMIT_MAX):
        name = ID_NAME.read(store, ID_NAME.key(number))
        head = None if name is None else ID_HEAD.read(store, ID_HEAD.key(name))
        if name is not None and head is not None and head.bound is None and head.lines > head.claimed:
            net = net_at(head.net, asked.day) - net_at(head.claimed_net, asked.day)
            items.append((name, head.lines - head.claimed, net))
        number += 1
    return UnboundTold(items, number if number < counters.ids else None)


USERS = Question("users", ACCOUNTS, PageAsked, UsersTold, tell_users)
UNBOUND = Question("unbound", ACCOUNTS, PageAsked, UnboundTold, tell_unbound)

Told = TypeVar("Told", UsersTold, UnboundTold)


async def read_users(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/users`."""
    items, cursor = await _merged(desk, call, USERS, "users", 0)
    return json_answer({"items": [{"user_id": user_id} for user_id in items], "next_cursor": cursor})


async def read_unbound(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/attributions?unbound=true`."""
    if call.query.get("unbound") != "true":
        raise ProblemError("invalid-unbound", "say unbound=true: the ids whose lines belong to nobody")
    at = moment_of(desk, call)
    items, cursor = await _merged(desk, call, UNBOUND, "unbound", day_of(at))
    listed = [{"attribution_id": name, "lines": lines, "net": net} for name, lines, net in items]
    return json_answer({"items": listed, "next_cursor": cursor, "at": format_moment(at)})


async def _merged(
    desk: Desk, call: Call, question: Question[PageAsked, Told], of_list: str, day: int
) -> tuple[list[Any], str | None]:
    """Return one page over all partitions and its cursor; ProblemError `not-ready` when one is away."""
    limit = limit_of(call)
    partition, start = read_cursor(of_list, call.query.get("cursor"), 2) or (0, 0)
    items: list[Any] = []
    while partition < desk.placement.partitions and len(items) < limit:
        asked = PageAsked(partition, start, limit - len(items), day)
        try:
            told = await question.ask(desk, asked, call.request_id)
        except UnreachableError as error:
            raise not_ready(f"partition {partition}: {error}") from error
        items += told.items
        partition, start = (partition + 1, 0) if told.next is None else (partition, told.next)
        if not told.items and told.next is not None:
            break  # nothing among many: the client's patience is asked, not the worker's
    more = partition < desk.placement.partitions
    return items, make_cursor(of_list, partition, start) if more else None
