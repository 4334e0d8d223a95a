"""Compares a world with the oracle: every balance, share, owner, line and id at a moment."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

from rebate_app.domain.account.attribution_account import IdHead, net_at
from rebate_app.domain.account.balance import Balance, balance_on
from rebate_app.domain.order.attribution import Owner, is_attribution_id, owner_of, parse_user_id_fields
from rebate_app.domain.order.value import CONFIRMED, DATED, SETTLED_PHASE, LineValue, evaluate_line
from rebate_app.domain.pricing.calendar import day_of
from tests.domain.world import World, share_of, us
from tests.oracle import Oracle
from tests.topology_driver import USER_ID_FIELDS

FIELDS = parse_user_id_fields(USER_ID_FIELDS)
Owned = tuple[str | None, str | None, str | None]  # user, attribution id, what decided
Shares = dict[tuple[str, str], dict[tuple[str, int], dict[str, int]]]


class Product:
    """What a world comes to, read once for comparisons at many moments."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.heads = {user_id: world.head(user_id) for user_id in world.users()}
        self.contributions = world.contributions()
        self.id_heads = {one: world.id_head(one) for one in world.attribution_ids()}
        self.lines: dict[tuple[str, str], tuple[LineValue, Owner, Owned, str | None]] = {}
        for line, state in world.lines():
            platform, _, order_line_id = line.partition(":")
            owner = owner_of(state, platform, FIELDS)
            owned = _owner(world, owner, line)
            self.lines[platform, order_line_id] = (
                evaluate_line(state, platform),
                owner,
                owned,
                state.sent_to,
            )

    def disagreements(self, oracle: Oracle, at: datetime) -> Iterator[str]:
        """Yield a sentence for every difference from the oracle at that moment."""
        yield from _balances(self, oracle, at)
        yield from _lines(self, oracle, at)
        yield from _ids(self, oracle, at)


def balance_members(balance: Balance) -> dict[str, Any]:
    """Return a balance in the members of docs/spec/http.md#balance."""
    return {
        "estimated": balance.estimated,
        "confirmed": balance.confirmed,
        "held": balance.held,
        "available": balance.available,
        "frozen": balance.frozen,
        "withdrawn": balance.withdrawn,
        "debt": balance.debt,
        "maturing": [{"on": _iso(on), "amount": amount} for on, amount in balance.maturing],
        "lines": {"open": balance.open, "settled": balance.settled, "closed": balance.closed},
    }


def _iso(day: int | None) -> str | None:
    return None if day is None else (date(1970, 1, 1) + timedelta(days=day)).isoformat()


def _balances(product: Product, oracle: Oracle, at: datetime) -> Iterator[str]:
    expected = oracle.users()
    if missing := expected - product.heads.keys():
        yield f"users without an account: {sorted(missing)}"
    for user_id, head in product.heads.items():
        ours, theirs = balance_members(balance_on(head, day_of(us(at)))), oracle.balance(user_id, at)
        theirs["maturing"] = [item for item in theirs["maturing"] if item["amount"]]
        if ours != theirs:
            yield f"balance of {user_id}: {ours} is not {theirs}"


def _shares(product: Product, day: int) -> Shares:
    found: Shares = {}
    for user_id, record in product.contributions:
        share = share_of(record, day)
        if share is not None:
            platform, _, order_line_id = record.line.partition(":")
            found.setdefault((platform, order_line_id), {})[user_id, share[0]] = share[1]
    return found


def _lines(product: Product, oracle: Oracle, at: datetime) -> Iterator[str]:
    day = day_of(us(at))
    shares = _shares(product, day)
    if product.lines.keys() != set(oracle.lines()):
        yield "other lines"
    for key in oracle.lines():
        theirs = oracle.line(*key, at)
        buckets = ("estimated", "confirmed", "available", "held")
        expected = {(s["user_id"], s["depth"]): {name: s[name] for name in buckets} for s in theirs["shares"]}
        if shares.get(key, {}) != expected:
            yield f"shares of {key}: {shares.get(key)} is not {expected}"
        yield from _line(product, theirs, key, day)


def _line(product: Product, theirs: dict[str, Any], key: tuple[str, str], day: int) -> Iterator[str]:
    line_value, owner, owned, sent_to = product.lines[key]
    settled = line_value.phase == SETTLED_PHASE or (
        line_value.phase == DATED and line_value.from_day is not None and line_value.from_day <= day
    )
    ours = {
        "status": line_value.status,
        "settled": settled,
        "settled_on": _iso(line_value.settled_on) if settled else None,
        "release_on": _iso(line_value.release_on) if settled else None,
        "punishment": line_value.punished or None,
        "net": _net(line_value, settled=settled),
        "owner": owned,
    }
    expected = {name: theirs[name] for name in ours if name != "owner"}
    expected["owner"] = tuple(theirs["owner"][name] for name in ("user_id", "attribution_id", "by"))
    if ours != expected or sent_to != owner.key:
        yield f"{key}: {ours} is not {expected}, sent to {sent_to}"


def _net(line_value: LineValue, *, settled: bool) -> int:
    if line_value.punished == CONFIRMED:
        return 0
    return line_value.gross if settled else line_value.net


def _owner(world: World, owner: Owner, line: str) -> Owned:
    """Return (user, attribution id, what decided), as the account of the id has it."""
    if not is_attribution_id(owner.key):
        return owner.key, None, owner.by
    record = world.id_line(owner.key, line)
    if record is None:
        return "the id does not know the line", owner.key, None
    return record.forwarded_to, owner.key, record.by or None


def _ids(product: Product, oracle: Oracle, at: datetime) -> Iterator[str]:
    day = day_of(us(at))
    suspense = {}
    for attribution_id in sorted(product.id_heads.keys() | oracle.attribution_ids()):
        head = product.id_heads.get(attribution_id, IdHead())
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
