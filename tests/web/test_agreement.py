"""All resources say the same: balances, lines, ledgers, order lines and suspense of random feeds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from rebate_app.web.context import Handler, HttpRequest
from rebate_app.web.enumerations import LEDGER_REASONS, OWNER_BY
from rebate_app.web.resources.account_lists import read_ledger, read_lines
from rebate_app.web.resources.balances import read_balance
from rebate_app.web.resources.listings import read_unbound, read_users
from rebate_app.web.resources.order_lines import read_order_line
from rebate_app.web.resources.share_explanation import SHARE_REASONS
from tests.conftest import SEED
from tests.domain.world import NOW_US, book_of
from tests.oracle import make_feed
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio

FEEDS, LINES_MAX, USERS_MAX = 8, 40, 12
MOMENTS = ("2026-01-20T00:00:00+08:00", "2026-03-01T00:00:00+08:00", "2030-01-01T00:00:00+08:00")
BUCKETS = ("estimated", "confirmed", "available", "held")


class Reader:
    """Reads resources of one worker by calling their handlers, whole lists at once."""

    def __init__(self, world: World, at: str) -> None:
        self._context = world.workers[0].context
        self._at = at

    async def read(self, handler: Handler, query: Mapping[str, str] | None = None, **params: str) -> Any:
        """Return what the handler answers."""

        async def no_body() -> bytes:
            return b""

        parameters = {"at": self._at, **(query or {})}
        return orjson.loads(
            (await handler(self._context, HttpRequest("GET", "/", params, parameters, {}, "r", no_body))).body
        )

    async def all(self, handler: Handler, query: Mapping[str, str] | None = None, **params: str) -> list[Any]:
        """Return every item of a list."""
        items: list[Any] = []
        page: Any = {"next_cursor": ""}
        while page["next_cursor"] is not None:
            cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else {}
            page = await self.read(handler, {**(query or {}), **cursor, "limit": "17"}, **params)
            items += page["items"]
        return items


async def users_agree(reader: Reader) -> dict[tuple[str, str], dict[str, int]]:
    """Assert that each balance is the sum of its lines and of its ledger; return (user, line) → share."""
    shares: dict[tuple[str, str], dict[str, int]] = {}
    for person in await reader.all(read_users):
        user_id = person["user_id"]
        balance = await reader.read(read_balance, user_id=user_id)
        lines = await reader.all(read_lines, user_id=user_id)
        entries = await reader.all(read_ledger, user_id=user_id)
        for bucket in BUCKETS:
            assert sum(line[bucket] for line in lines) == balance[bucket], (user_id, bucket)
        day = balance["at"][:10]
        counted = [e for e in entries if e["effective_on"] is None or e["effective_on"] <= day]
        assert sum(e["settled"] for e in counted) == balance["confirmed"] + balance["available"]
        assert sum(e["estimated"] for e in counted) == balance["estimated"]
        assert sum(e["held"] for e in counted) == balance["held"]
        assert {e["reason"] for e in entries} <= LEDGER_REASONS.keys()
        bought = [line for line in lines if line["role"] == "buyer"]
        assert sum(balance["lines"].values()) == len(bought)
        assert sum(item["amount"] for item in balance["maturing"]) == balance["confirmed"]
        for line in lines:
            key = f"{line['platform']}:{line['order_line_id']}"
            shares[user_id, key] = {name: line[name] for name in ("depth", *BUCKETS)}
    return shares


async def order_lines_agree(
    reader: Reader, keys: set[tuple[str, str]], shares: dict[tuple[str, str], dict[str, int]]
) -> Counter[str]:
    """Assert that each line's shares are the users', and add up; return net in suspense by attribution id."""
    waiting: Counter[str] = Counter()
    left = dict(shares)
    for platform, order_line_id in sorted(keys):
        body = await reader.read(read_order_line, platform=platform, order_line_id=order_line_id)
        assert body["visible"] is True
        assert body["owner"]["by"] in OWNER_BY
        total = sum(share[bucket] for share in body["shares"] for bucket in BUCKETS)
        assert body["platform_share"] == body["net"] - total >= 0
        assert body["explanation"]
        for share in body["shares"]:
            known = left.pop((share["user_id"], f"{platform}:{order_line_id}"))
            assert known == {name: share[name] for name in ("depth", *BUCKETS)}
            assert (share["reason"] is None) == any(share[bucket] for bucket in BUCKETS)
            assert share["reason"] is None or share["reason"] in SHARE_REASONS
        if body["owner"]["by"] == "suspense":
            waiting[body["owner"]["attribution_id"]] += body["net"]
    assert left == {}
    return waiting


@pytest.mark.parametrize("number", range(FEEDS))
async def test_all_resources_say_the_same(number: int) -> None:
    """For a random feed at several moments: lines, ledgers, shares and suspense add up to the balances."""
    rng = random.Random(f"{SEED} agreement {number}")
    feed = make_feed(rng, LINES_MAX, USERS_MAX)
    async with World(partitions=3, book=book_of(feed.rules)) as world:
        for document, at_us in feed.users:
            world.stream.send_user(document, at_us)
            world.stream.run()
        for document in feed.orders:
            world.stream.send_order(document, NOW_US)
        world.stream.run(rng)
        assert world.stream.dead_letters == []
        keys = {(document["platform"], document["order_line_id"]) for document in feed.orders}
        for at in MOMENTS:
            reader = Reader(world, at)
            waiting = await order_lines_agree(reader, keys, await users_agree(reader))
            unbound = await reader.all(read_unbound, {"unbound": "true"})
            assert {item["attribution_id"]: item["net"] for item in unbound} == dict(waiting)
