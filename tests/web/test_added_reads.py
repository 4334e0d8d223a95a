"""Totals, invitees and the search by order number (docs/spec/api-security.md#added-reads)."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from rebate_app.streams.state import build
from rebate_app.web.cursors import make_cursor, make_key_cursor
from tests.tables.test_totals import age
from tests.web.facts import (
    BUYER,
    DISPUTED,
    INVITER,
    LINE_ID,
    PAID_AT,
    bind,
    paid,
    profile,
    punish,
    received,
    settled,
    snapshot,
    us,
)
from tests.web.worlds import NOW, World, problem, walk

pytestmark = pytest.mark.asyncio

MOMENTS = ("2026-01-01", "2026-02-20", "2026-02-21", "2026-03-01", "2026-04-30", "2027-01-01")


async def fill(world: World) -> list[str]:
    """Give every bucket of totals money, of users in every partition; return the users."""
    users = [f"u{number}" for number in range(3, 15)]
    world.users(profile(BUYER, INVITER), *(profile(user, BUYER) for user in users))
    for number, user in enumerate(users):
        whose: dict[str, Any] = {"attribution": {"user_id": user}}
        world.orders(
            paid(line_id=f"a{number}", **whose),
            settled(line_id=f"b{number}", **whose),
            received(line_id=f"c{number}", settled=1_701, times={"expected_settle": "2026-03-01"}, **whose),
            snapshot("closed", "2026-01-05T00:00:00+08:00", line_id=f"d{number}", **whose),
            paid(line_id=f"e{number}", attribution={"pid": f"mm_1_2_{number}"}),
        )
    frozen = punish("frozen", "2026-01-09T00:00:00+08:00") | {"order_line_id": "a1"}
    world.orders(settled(), DISPUTED, frozen, paid(line_id="none", attribution={}))
    world.users(bind("taobao:pid:mm_1_2_3", BUYER))
    return [BUYER, INVITER, *users]


async def summed(world: World, at: str) -> dict[str, Any]:
    """Return the totals as sums over what every user's own resources answer."""
    sums: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    maturing: Counter[str] = Counter()
    platforms: dict[str, Counter[str]] = {}
    users = [item["user_id"] for item in await walk(world, "/v1/users", 50)]
    for user in users:
        balance = await world.read(f"/v1/users/{user}/balance?at={at}")
        lines.update(balance["lines"])
        sums.update({name: balance[name] for name in ("estimated", "confirmed", "held", "available", "debt")})
        maturing.update({each["on"]: each["amount"] for each in balance["maturing"]})
        for line in (await world.read(f"/v1/users/{user}/lines?limit=200&at={at}"))["items"]:
            names = ("estimated", "confirmed", "held", "available")
            platforms.setdefault(line["platform"], Counter()).update({name: line[name] for name in names})
    unbound = await walk(world, f"/v1/attributions?unbound=true&at={at}", 50)
    return {
        **sums,
        "users": len(users),
        "lines": dict(lines),
        "suspense": sum(item["net"] for item in unbound),
        "maturing": [{"on": on, "amount": amount} for on, amount in sorted(maturing.items())],
        "platforms": {name: dict(each) for name, each in platforms.items()},
    }


class TestTotals:
    """`GET /v1/totals`."""

    async def test_they_are_the_sums_over_all_users(self, pair: World) -> None:
        """At moments before and after every date, whoever is asked."""
        await fill(pair)
        for day in MOMENTS:
            at = f"{day}T00:00:00%2B08:00"
            expected = await summed(pair, at)
            for worker in (0, 1):
                answer = await pair.read(f"/v1/totals?at={at}", worker)
                for name, value in expected.items():
                    assert answer[name] == value, (name, day)
        assert expected["available"] > 0
        assert expected["suspense"] > 0

    async def test_members_are_the_contracts(self, pair: World) -> None:
        """All of them, also before anything was seen; what money out brings is 0."""
        answer = await pair.read("/v1/totals")
        assert answer == {
            "currency": "CNY",
            "unit": "fen",
            "users": 0,
            "lines": {"open": 0, "settled": 0, "closed": 0},
            **dict.fromkeys(("estimated", "confirmed", "held", "available", "frozen", "withdrawn"), 0),
            **dict.fromkeys(("debt", "suspense", "adjustments", "openings"), 0),
            "platforms": {},
            "maturing": [],
            "as_of": [{"partition": number, "offset": -1, "lag": 0} for number in range(4)],
            "unavailable": [],
            "at": NOW,
        }

    async def test_a_partition_whose_owner_is_away_is_named(self, pair: World) -> None:
        """The others are summed; without any it is 503, never zeros."""
        await fill(pair)
        whole = await pair.read("/v1/totals")
        away = pair.stream.partition_of(BUYER)
        pair.give("accounts", away, None)
        partly = await pair.read("/v1/totals")
        assert partly["unavailable"] == [away]
        assert away not in [place["partition"] for place in partly["as_of"]]
        assert partly["users"] < whole["users"]
        for number in range(4):
            pair.give("accounts", number, None)
        problem(await pair.get("/v1/totals"), 503, "not-ready")

    async def test_building_is_503_with_progress_and_balances_go_on(
        self, pair: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Stores of the version before: nothing that the scan makes is answered before it is whole."""
        monkeypatch.setattr(build, "VISITS_MAX", 3)
        users = await fill(pair)
        at = "2026-02-21T00:00:00%2B08:00"
        before = await pair.read(f"/v1/totals?at={at}")
        balances = [await pair.read(f"/v1/users/{user}/balance?at={at}") for user in users]
        age(pair.stream)
        targets = ("/v1/totals", f"/v1/users/{BUYER}/invitees", f"/v1/order-lines?order_id={LINE_ID}")
        for target in targets:
            reply = await pair.get(target)
            assert set(problem(reply, 503, "building")["progress"]) == {"kind", "partition", "visited"}
            assert reply.headers["Retry-After"]
        seen = [await pair.read(f"/v1/users/{user}/balance?at={at}") for user in users]
        assert [each | {"as_of": 0} for each in seen] == [each | {"as_of": 0} for each in balances]
        visited, places = [], list(pair.stream.stores)
        while sum(pair.stream.build_step(*place) for place in places):
            reply = await pair.get("/v1/totals")
            if reply.status == 503:
                visited.append(reply.json["progress"]["visited"])
        assert max(visited) > 3
        after = await pair.read(f"/v1/totals?at={at}")
        assert after | {"as_of": 0} == before | {"as_of": 0}
        for target in targets:
            await pair.read(target)


class TestInvitees:
    """`GET /v1/users/{id}/invitees`."""

    async def test_pages_over_all_partitions(self, pair: World) -> None:
        """Everybody once, whatever the page's size and whoever is asked."""
        users = await fill(pair)
        for worker in (0, 1):
            for limit in (1, 5, 200):
                listed = await walk(pair, f"/v1/users/{BUYER}/invitees", limit, worker)
                assert sorted(item["user_id"] for item in listed) == sorted(users[2:])
        assert (await pair.read("/v1/users/nobody/invitees")) == {"items": [], "next_cursor": None}

    async def test_the_profile_in_force_decides(self, world: World) -> None:
        """At its moment: a later profile takes over by itself, an older one that comes late does not."""
        later = profile("u5", "u9") | {"effective_at": "2026-03-01T00:00:00+08:00"}
        world.users(profile("u5", BUYER), later)

        async def invited(user: str) -> list[str]:
            return [item["user_id"] for item in (await world.read(f"/v1/users/{user}/invitees"))["items"]]

        assert (await invited(BUYER), await invited("u9")) == (["u5"], [])
        world.clock.now = us("2026-03-01T00:00:00+08:00")
        assert (await invited(BUYER), await invited("u9")) == ([], ["u5"])
        world.users(later | {"inviter_id": None})
        assert (await invited(BUYER), await invited("u9")) == ([], [])
        store = world.stream.stores["accounts", world.stream.partition_of("u5")]
        assert store.keys_after(b"I ", b"", 9) == [f"I {BUYER} u5".encode()]  # no fact names u9 any more

    async def test_cursors_are_the_lists_own(self, pair: World) -> None:
        """Another list's, a forged or a changed one is refused."""
        await fill(pair)
        cursor = (await pair.read(f"/v1/users/{BUYER}/invitees?limit=1"))["next_cursor"]
        users = (await pair.read("/v1/users?limit=1"))["next_cursor"]
        for target in (
            f"/v1/users/{INVITER}/invitees?cursor={cursor}",
            f"/v1/users/{BUYER}/invitees?cursor={users}",
            f"/v1/users/{BUYER}/invitees?cursor={cursor[:-1]}",
            f"/v1/users/{BUYER}/invitees?cursor={'A' * 400}",
            f"/v1/users/{BUYER}/invitees?cursor=",
            f"/v1/users/{BUYER}/invitees?cursor={make_cursor(f'invitees {BUYER}', 1)}",
            f"/v1/users/{BUYER}/invitees?cursor={make_key_cursor(f'invitees {BUYER}', 99, 'u3')}",
            f"/v1/users/{BUYER}/invitees?cursor={make_key_cursor(f'invitees {BUYER}', 1, 'a b')}",
            f"/v1/users?cursor={cursor}",
        ):
            problem(await pair.get(target), 400, "invalid-cursor")
        problem(await pair.get("/v1/users/a%20b/invitees"), 400, "invalid-user_id")
        pair.give("accounts", 3, None)
        problem(await pair.get(f"/v1/users/{BUYER}/invitees?limit=200"), 503, "not-ready")


class TestOrderSearch:
    """`GET /v1/order-lines?order_id=`."""

    async def found(self, world: World, query: str, worker: int = 0) -> list[str]:
        """Return what is found, as `platform:line`."""
        items = (await world.read(f"/v1/order-lines?order_id={query}", worker))["items"]
        return [f"{item['platform']}:{item['order_line_id']}" for item in items]

    async def test_by_own_id_and_by_the_buyers_order(self, pair: World) -> None:
        """Lines of one order lie in several partitions; jd keeps two numbers; any platform has its own id."""
        for number in range(6):
            pair.orders(paid(line_id=f"l{number}", parent_order_id="900"))
        pair.orders(
            paid(line_id="j1", platform="jd", parent_order_id="901", order_id="902"),
            paid(line_id="900", platform="pdd"),
            paid(line_id="900", platform="other", parent_order_id="x y"),
            paid(line_id="z", platform="other", parent_order_id=903),
        )
        lines = [f"taobao:l{number}" for number in range(6)]
        for worker in (0, 1):
            assert await self.found(pair, "900", worker) == ["other:900", "pdd:900", *lines]
            assert await self.found(pair, "900&platform=taobao", worker) == lines
            assert await self.found(pair, "900&platform=other", worker) == ["other:900"]
            for of_jd in ("901", "902", "j1"):
                assert await self.found(pair, of_jd, worker) == ["jd:j1"]
            assert await self.found(pair, "903", worker) == ["other:z"]
            assert await self.found(pair, "l3", worker) == ["taobao:l3"]
            for unknown in ("90", "9000", "l", "nothing"):
                assert await self.found(pair, unknown, worker) == []

    async def test_an_item_is_the_contracts(self, pair: World) -> None:
        """With the owner that an attribution id forwards to, or suspense."""
        pair.orders(
            settled(parent_order_id="77"),
            paid(line_id="s", attribution={"pid": "mm_1_2_3"}, parent_order_id="77"),
        )
        first, second = (await pair.read("/v1/order-lines?order_id=77"))["items"]
        whole = await pair.read(f"/v1/order-lines/taobao/{LINE_ID}")
        assert first == {
            "platform": "taobao",
            "order_line_id": LINE_ID,
            "parent_order_id": "77",
            "order_id": None,
            "owner": {"user_id": BUYER, "by": "user_id"},
            "status": "settled",
            "settled": True,
            "paid_at": PAID_AT,
            "net": whole["net"],
            "updated_at": NOW,
        }
        suspended = {"user_id": None, "by": "suspense", "attribution_id": "taobao:pid:mm_1_2_3"}
        assert second["owner"] == suspended
        pair.users(bind("taobao:pid:mm_1_2_3", INVITER))
        _, second = (await pair.read("/v1/order-lines?order_id=77"))["items"]
        assert second["owner"] == suspended | {"user_id": INVITER, "by": "binding"}

    async def test_a_newer_snapshot_moves_the_line(self, world: World) -> None:
        """The number of the snapshot that counts finds it, an older number no longer."""
        world.orders(paid(parent_order_id="1"), received(parent_order_id="2"))
        assert await self.found(world, "1") == []
        assert await self.found(world, "2") == [f"taobao:{LINE_ID}"]

    async def test_partitions_that_are_away_are_named(self, pair: World) -> None:
        """Found is what the others have; a line whose owner cannot be asked says so."""
        pair.orders(*(paid(line_id=f"l{number}", parent_order_id="9") for number in range(8)))
        pair.give("lines", 2, None)
        answer = await pair.read("/v1/order-lines?order_id=9")
        assert answer["unavailable"] == [2]
        assert 0 < len(answer["items"]) < 8
        for number in range(4):
            pair.give("lines", number, None)
        problem(await pair.get("/v1/order-lines?order_id=9"), 503, "not-ready")

    async def test_bad_numbers(self, world: World) -> None:
        """Without one, an empty or long one, one with a space or control: 400 `invalid-order_id`."""
        for query in (
            "",
            "?order_id=",
            "?order_id=a%20b",
            "?order_id=%00",
            f"?order_id={'1' * 65}",
            "?platform=jd",
        ):
            problem(await world.get(f"/v1/order-lines{query}"), 400, "invalid-order_id")
        problem(await world.get("/v1/order-lines?order_id=1&platform=JD"), 400, "invalid-platform")

    async def test_more_than_two_hundred(self, world: World) -> None:
        """The first ones are listed, and the answer says that there are more."""
        world.orders(*(paid(line_id=f"l{number}", parent_order_id="5") for number in range(203)))
        answer = await world.read("/v1/order-lines?order_id=5")
        assert (len(answer["items"]), answer["more"]) == (200, True)
