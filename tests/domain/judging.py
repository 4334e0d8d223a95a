"""Holds a world against the oracle: every balance, share, owner, line and id at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from rebate_app.domain.attribution import Owner, is_attribution_id, owner_of, parse_user_id_fields
from rebate_app.domain.balance import Balance
from rebate_app.domain.calendar import day_of
from rebate_app.domain.suspense import net_at
from rebate_app.domain.worth import CONFIRMED, DATED, SETTLED_PHASE, Worth, line_worth
from tests.list_lane import USER_ID_FIELDS
from tests.oracle import Oracle

from .world import World, share_of, us

FIELDS = parse_user_id_fields(USER_ID_FIELDS)
Shares = dict[tuple[str, str], dict[tuple[str, int], dict[str, int]]]


def disagreements(world: World, oracle: Oracle, at: datetime) -> Iterator[str]:
    """Yield a sentence for everything on which the product and the oracle do not agree at that moment."""
    yield from _balances(world, oracle, at)
    yield from _lines(world, oracle, at)
    yield from _ids(world, oracle, at)


def said(balance: Balance) -> dict[str, Any]:
    """Return a balance in the members of contracts.md 4."""
    return {
        "estimated": balance.estimated,
        "confirmed": balance.confirmed,
        "held": balance.held,
        "available": balance.available,
        "frozen": 0,
        "withdrawn": 0,
        "debt": balance.debt,
        "maturing": [{"on": _iso(on), "amount": amount} for on, amount in balance.maturing],
        "lines": {"open": balance.open, "settled": balance.settled, "closed": balance.closed},
    }


def _iso(day: int | None) -> str | None:
    return None if day is None else (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _balances(world: World, oracle: Oracle, at: datetime) -> Iterator[str]:
    known = set(world.users())
    expected = oracle.users()
    if missing := expected - known:
        yield f"users without an account: {sorted(missing)}"
    for user_id in sorted(known | expected):
        ours, theirs = said(world.balance(user_id, at)), oracle.balance(user_id, at)
        theirs["maturing"] = [item for item in theirs["maturing"] if item["amount"]]
        if ours != theirs:
            yield f"balance of {user_id}: {ours} is not {theirs}"


def _shares(world: World, day: int) -> Shares:
    found: Shares = {}
    for user_id, record in world.contributions():
        share = share_of(record, day)
        if share is not None:
            platform, _, order_line_id = record.line.partition(":")
            found.setdefault((platform, order_line_id), {})[user_id, share[0]] = share[1]
    return found


def _lines(world: World, oracle: Oracle, at: datetime) -> Iterator[str]:
    day = day_of(us(at))
    shares = _shares(world, day)
    for key in oracle.lines():
        theirs = oracle.line(*key, at)
        buckets = ("estimated", "confirmed", "available", "held")
        expected = {(s["user_id"], s["depth"]): {name: s[name] for name in buckets} for s in theirs["shares"]}
        if shares.get(key, {}) != expected:
            yield f"shares of {key}: {shares.get(key)} is not {expected}"
        yield from _line(world, theirs, key, day)


def _line(world: World, theirs: dict[str, Any], key: tuple[str, str], day: int) -> Iterator[str]:
    line = ":".join(key)
    state = world.line(line)
    if state is None:
        yield f"{line} is not known"
        return
    worth = line_worth(state, key[0])
    settled = worth.phase == SETTLED_PHASE or (
        worth.phase == DATED and worth.from_day is not None and worth.from_day <= day
    )
    ours = {
        "status": worth.status,
        "settled": settled,
        "settled_on": _iso(worth.settled_on) if settled else None,
        "release_on": _iso(worth.release_on) if settled else None,
        "punishment": worth.punished or None,
        "net": _net(worth, settled=settled),
        "owner": _owner(world, owner_of(state, key[0], FIELDS), line),
    }
    owner = theirs["owner"]
    expected = {name: theirs[name] for name in ours if name != "owner"}
    expected["owner"] = (owner["user_id"], owner["attribution_id"], owner["by"])
    if ours != expected:
        yield f"{line}: {ours} is not {expected}"
    if state.sent_to != owner_of(state, key[0], FIELDS).key:
        yield f"{line} was sent to {state.sent_to}"


def _net(worth: Worth, *, settled: bool) -> int:
    if worth.punished == CONFIRMED:
        return 0
    return worth.gross if settled else worth.net


def _owner(world: World, owner: Owner, line: str) -> tuple[str | None, str | None, str | None]:
    """Return (user, attribution id, what decided), as the account of the id has it."""
    if not is_attribution_id(owner.key):
        return owner.key, None, owner.by
    record = world.id_line(owner.key, line)
    if record is None:
        return "the id does not know the line", owner.key, None
    return record.forwarded_to, owner.key, record.by or None


def _ids(world: World, oracle: Oracle, at: datetime) -> Iterator[str]:
    day = day_of(us(at))
    suspense = {}
    for attribution_id in sorted(set(world.attribution_ids()) | oracle.attribution_ids()):
        head = world.id_head(attribution_id)
        claimed = head.bound is None
        ours = {
            "user_id": head.bound,
            "lines": head.lines - (head.claimed if claimed else 0),
            "net": net_at(head.net, day) - (net_at(head.claimed_net, day) if claimed else 0),
            "claimed_lines": head.claimed if claimed else 0,
            "claimed_net": net_at(head.claimed_net, day) if claimed else 0,
        }
        theirs = oracle.attribution(attribution_id, at)
        if ours != theirs or head.moving:
            yield f"{attribution_id}: {ours} is not {theirs}, moving {head.moving}"
        if claimed and ours["lines"]:
            suspense[attribution_id] = {"lines": ours["lines"], "net": ours["net"]}
    if suspense != oracle.suspense(at):
        yield "suspense differs"
