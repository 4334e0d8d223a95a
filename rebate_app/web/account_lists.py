"""What makes up a balance: the user's lines and ledger, newest first (contracts.md 4).

Law: lists are ordered by the log position at which an item was first seen, and a cursor holds that
number, so nothing is shown twice or left out when something changes between two pages. It is separate
from the balance because it reads one record per item.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rebate_app.domain.account import AccountLine, Head, chain_of, worth_of
from rebate_app.domain.balance import line_buckets
from rebate_app.domain.calendar import day_of
from rebate_app.domain.ledger import Entry
from rebate_app.domain.worth import DATED, SETTLED_PHASE, Worth
from rebate_app.lane.store import Readable
from rebate_app.wire.moments import format_date, format_moment
from tables.accounts import ENTRY, HEAD, LINE, LINE_NAME

from .api import Answer, Call, Desk, json_answer
from .asked import limit_of, moment_of, user_id_of
from .balances import as_of
from .cursors import make_cursor, read_cursor
from .owners import ACCOUNTS, answer_at_owner
from .ports import Local

#: Records looked at for one page; lines that left are skipped, and a page may be shorter for it.
LOOKED_AT_MAX = 1_000

#: Returns the item of a number, None when there is nothing to show.
ItemOf = Callable[[int], dict[str, Any] | None]


async def read_lines(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/users/{user_id}/lines`: what is the user's now."""
    user_id, at = user_id_of(call), moment_of(desk, call)

    def answer(local: Local) -> Answer:
        store, day = local.store, day_of(at)
        head = HEAD.read(store, HEAD.key(user_id)) or Head()
        page = _newest_first(
            call, f"lines {user_id}", head.line_count, lambda seq: line_item(store, user_id, seq, day)
        )
        return _answer(local, page | {"at": format_moment(at)})

    return await _at_owner(desk, call, user_id, "lines", answer)


async def read_ledger(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/users/{user_id}/ledger`: every signed change; a sum over them is the account."""
    user_id = user_id_of(call)
    moment_of(desk, call)  # entries say themselves when they count; a wrong moment is refused all the same

    def answer(local: Local) -> Answer:
        store = local.store
        head = HEAD.read(store, HEAD.key(user_id)) or Head()
        return _answer(
            local,
            _newest_first(
                call, f"ledger {user_id}", head.entry_count, lambda number: entry_item(store, user_id, number)
            ),
        )

    return await _at_owner(desk, call, user_id, "ledger", answer)


async def _at_owner(
    desk: Desk, call: Call, user_id: str, of_list: str, answer: Callable[[Local], Answer]
) -> Answer:
    limit_of(call)
    read_cursor(f"{of_list} {user_id}", call.query.get("cursor"), 1)  # refused here, before it travels
    return await answer_at_owner(desk, call, ACCOUNTS, user_id, answer)


def _newest_first(call: Call, of_list: str, count: int, item_of: ItemOf) -> dict[str, Any]:
    cursor = read_cursor(of_list, call.query.get("cursor"), 1)
    number = count if cursor is None else min(cursor[0], count)
    limit, looked_at = limit_of(call), 0
    items: list[dict[str, Any]] = []
    while number > 0 and len(items) < limit and looked_at < LOOKED_AT_MAX:
        number -= 1
        looked_at += 1
        item = item_of(number)
        if item is not None:
            items.append(item)
    return {"items": items, "next_cursor": make_cursor(of_list, number) if number else None}


def _answer(local: Local, page: dict[str, Any]) -> Answer:
    page["as_of"] = as_of(local)
    if local.stale:
        page["stale"] = True
    return json_answer(page)


def settled_at(worth: Worth, day: int) -> bool:
    """Return whether the line is settled on that day (contracts.md 3)."""
    if worth.phase == DATED and worth.from_day is not None:
        return day >= worth.from_day
    return worth.phase == SETTLED_PHASE


def date_or_none(day: int | None) -> str | None:
    """Return a day as a date, None where there is none."""
    return None if day is None else format_date(day)


def line_item(store: Readable, user_id: str, seq: int, day: int) -> dict[str, Any] | None:
    """Return the user's line of that number on that day, None when it is no longer theirs."""
    name = LINE_NAME.read(store, LINE_NAME.key(user_id, seq))
    record: AccountLine | None = None if name is None else LINE.read(store, LINE.key(user_id, name))
    effective = None if record is None else record.effective()
    if record is None or effective is None:
        return None
    sender, contribution = effective
    worth = worth_of(contribution)
    settled = settled_at(worth, day)
    platform, _, order_line_id = record.line.partition(":")
    chain = chain_of(sender)
    buckets = line_buckets(record.posted, day)
    return {
        "platform": platform,
        "order_line_id": order_line_id,
        "role": "inviter" if chain else "buyer",
        "depth": len(chain),
        "status": worth.status,
        "settled": settled,
        **buckets,
        "release_on": date_or_none(worth.release_on) if settled else None,
        "updated_at": format_moment(record.updated_at),
    }


def entry_item(store: Readable, user_id: str, number: int) -> dict[str, Any]:
    """Return the user's ledger entry of that number."""
    entry: Entry | None = ENTRY.read(store, ENTRY.key(user_id, number))
    assert entry is not None  # noqa: S101 - the head counts no entry that is not there
    platform, _, order_line_id = entry.line.partition(":")
    return {
        "entry_id": f"{user_id}:{number}",
        "at": format_moment(entry.at),
        "effective_on": date_or_none(entry.effective_on),
        "platform": platform,
        "order_line_id": order_line_id,
        "role": entry.role,
        "kind": entry.kind,
        "estimated": entry.estimated,
        "settled": entry.settled,
        "held": entry.held,
        "reason": entry.cause,
        "rule_version": entry.rule or None,
    }
