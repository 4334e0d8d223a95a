"""A user's balance: the head of the account, looked at on one day (contracts.md 4).

Law: a user that was never seen has zeros and version 0; the ETag covers the body without `at` and
`as_of`, so an answer that changed in nothing else is 304 to whoever has it. It is separate because it is
what is asked most: one record is read, and nothing is computed that the answer does not say.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import orjson

from rebate_app.domain.account import Head
from rebate_app.domain.balance import Balance, balance_on
from rebate_app.domain.calendar import day_of
from rebate_app.wire.moments import format_date, format_moment
from tables.accounts import HEAD
from tables.parking import read_parked

from .api import JSON_HEADERS, Answer, Call, Desk
from .asked import moment_of, user_id_of
from .owners import ACCOUNTS, answer_at_owner
from .ports import Local

NOT_MODIFIED = 304
_ETAG_BYTES = 12


async def read_balance(desk: Desk, call: Call) -> Answer:
    """Answer `GET /v1/users/{user_id}/balance`."""
    user_id, at = user_id_of(call), moment_of(desk, call)
    return await answer_at_owner(
        desk, call, ACCOUNTS, user_id, lambda local: balance_answer(local, user_id, at, call)
    )


def balance_answer(local: Local, user_id: str, at: int, call: Call) -> Answer:
    """Return the balance from the owner's records, or 304 when the client has it."""
    head = HEAD.read(local.store, HEAD.key(user_id)) or Head()
    said = balance_members(user_id, head.version, balance_on(head, day_of(at)))
    if local.stale:
        said["stale"] = True
    if read_parked(local.store, user_id) is not None:
        said["under_review"] = True
    covered = orjson.dumps(said)
    etag = f'"{blake2b(covered, digest_size=_ETAG_BYTES).hexdigest()}"'
    headers = {**JSON_HEADERS, "ETag": etag}
    known = call.headers.get("If-None-Match")
    if known is not None and _knows(known, etag):
        return Answer(NOT_MODIFIED, b"", headers)
    rest = orjson.dumps({"as_of": as_of(local), "at": format_moment(at)})
    return Answer(200, b"%b,%b" % (covered[:-1], rest[1:]), headers)


def balance_members(user_id: str, version: int, balance: Balance) -> dict[str, Any]:
    """Return the members of a balance that the ETag covers; amounts in fen."""
    return {
        "user_id": user_id,
        "currency": "CNY",
        "unit": "fen",
        "estimated": balance.estimated,
        "confirmed": balance.confirmed,
        "held": balance.held,
        "available": balance.available,
        "frozen": 0,
        "withdrawn": 0,
        "debt": balance.debt,
        "maturing": [{"on": format_date(day), "amount": amount} for day, amount in balance.maturing],
        "lines": {"open": balance.open, "settled": balance.settled, "closed": balance.closed},
        "version": version,
    }


def as_of(local: Local) -> dict[str, Any]:
    """Return up to where the answer holds: the last offset in it, and how much may follow."""
    return {"topic": local.topic, "partition": local.partition, "offset": local.offset, "lag": local.lag}


def _knows(if_none_match: str, etag: str) -> bool:
    """Return whether the header names the tag; weak ones match too (RFC 9110, 13.1.2)."""
    if if_none_match.strip() == "*":
        return True
    return any(tag.strip().removeprefix("W/") == etag for tag in if_none_match.split(","))
