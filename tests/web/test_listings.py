"""Users and suspense: the lists over all partitions (docs/spec/http.md#lists)."""

from __future__ import annotations

import random

import pytest

from rebate_app.web.resources.account_lists import READS_MAX
from tests.web.facts import BUYER, INVITER, bind, claim, paid, profile, received, settled
from tests.web.worlds import World, problem, walk

pytestmark = pytest.mark.asyncio

LISTS = ("users/u1/lines", "users/u1/ledger", "users", "attributions?unbound=true")


class TestUsers:
    """`GET /v1/users`."""

    async def test_it_has_everybody_with_a_line_a_share_or_a_profile(self, world: World) -> None:
        """Buyers, inviters and people with a profile only are listed, attribution ids are not."""
        world.users(profile(BUYER, INVITER), profile("lonely"))
        world.orders(paid(), paid(line_id="2", attribution={"pid": "p"}))
        listed = (await world.read("/v1/users"))["items"]
        assert sorted(item["user_id"] for item in listed) == ["lonely", BUYER, INVITER]

    async def test_it_is_merged_over_all_workers(self, pair: World) -> None:
        """Either worker lists everybody of both, in the same order."""
        pair.users(*(profile(f"x{number}") for number in range(40)))
        lists = [await walk(pair, "/v1/users", 7, worker) for worker in (0, 1)]
        assert lists[0] == lists[1]
        assert {item["user_id"] for item in lists[0]} == {f"x{number}" for number in range(40)}

    async def test_while_a_partition_is_away_it_is_503(self, pair: World) -> None:
        """A list that would lack a partition is not given."""
        pair.users(*(profile(f"x{number}") for number in range(40)))
        pair.give("accounts", 3, None)
        problem(await pair.get("/v1/users"), 503, "not-ready")


class TestManyBound:
    """A list that has to look at many records for few items."""

    async def test_a_page_may_be_empty_before_the_end(self) -> None:
        """Among many bound ids the walk goes on page by page, and finds the one that is not bound."""
        async with World(partitions=1) as world:
            for number in range(READS_MAX + 5):
                world.stream.send_user(bind(f"taobao:pid:{number}", BUYER), world.clock())
            world.stream.run(random.Random(1))
            world.orders(paid(attribution={"pid": "last"}))
            first = await world.read("/v1/attributions?unbound=true")
            assert first["items"] == []
            listed = await walk(world, "/v1/attributions?unbound=true", 50)
            assert [item["attribution_id"] for item in listed] == ["taobao:pid:last"]


class TestSuspense:
    """`GET /v1/attributions?unbound=true` and `GET /v1/attributions/{id}`."""

    async def test_unbound_ids_are_listed_with_what_waits(self, pair: World) -> None:
        """Ids bound to nobody are listed with their unclaimed lines and net, whichever worker answers."""
        pair.orders(
            paid(line_id="1", attribution={"pid": "p1"}),
            settled(line_id="2", attribution={"pid": "p1"}),
            paid(line_id="3", attribution={"pid": "p2"}),
            paid(line_id="4", attribution={}),
            paid(line_id="5", attribution={"pid": "bound"}),
            paid(line_id="6", attribution={"pid": "claimed"}),
            claim("u9", "2026-01-04T00:00:00Z", line_id="6"),
            paid(line_id="7", attribution={"pid": "half"}),
            paid(line_id="8", attribution={"pid": "half"}),
            claim("u9", "2026-01-04T00:00:00Z", line_id="8"),
        )
        pair.users(bind("taobao:pid:bound", BUYER))
        for worker in (0, 1):
            listed = await walk(pair, "/v1/attributions?unbound=true", 2, worker)
            assert sorted(listed, key=lambda item: str(item["attribution_id"])) == [
                {"attribution_id": "taobao:none", "lines": 1, "net": 1_612},
                {"attribution_id": "taobao:pid:half", "lines": 1, "net": 1_612},
                {"attribution_id": "taobao:pid:p1", "lines": 2, "net": 1_612 + 1_531},
                {"attribution_id": "taobao:pid:p2", "lines": 1, "net": 1_612},
            ]

    @pytest.mark.parametrize("query", ["", "?unbound=false", "?unbound=1", "?unbound="])
    async def test_only_unbound_ids_can_be_listed(self, world: World, query: str) -> None:
        """Without `unbound=true` it is 400 `invalid-unbound`."""
        problem(await world.get(f"/v1/attributions{query}"), 400, "invalid-unbound")

    async def test_one_id_says_its_lines_and_net_as_of_now(self, pair: World) -> None:
        """An id has the user to whom it is bound, the number of its lines, and their net at the moment."""
        pair.orders(
            paid(line_id="1", attribution={"pid": "p"}),
            received(
                line_id="2", settled=1_701, times={"expected_settle": "2026-03-01"}, attribution={"pid": "p"}
            ),
        )
        for worker in (0, 1):
            body = await pair.read("/v1/attributions/taobao:pid:p", worker)
            assert {name: body[name] for name in ("attribution_id", "user_id", "lines", "net")} == {
                "attribution_id": "taobao:pid:p",
                "user_id": None,
                "lines": 2,
                "net": 3_224,
            }
        later = await pair.read("/v1/attributions/taobao:pid:p?at=2026-03-01T00:00:00Z")
        assert later["net"] == 1_612 + 1_522
        pair.users(bind("taobao:pid:p", "u9"))
        assert (await pair.read("/v1/attributions/taobao:pid:p"))["user_id"] == "u9"

    async def test_an_unknown_id_has_zeros(self, world: World) -> None:
        """An id never seen is 200 with zeros."""
        body = await world.read("/v1/attributions/pdd:none")
        assert (body["user_id"], body["lines"], body["net"]) == (None, 0, 0)

    @pytest.mark.parametrize(
        ("value", "target"),
        [
            ("a/b", "a%2Fb"),
            ("a/b", "a%2fb"),
            ("%2F", "%252F"),
            ("用户1", "%E7%94%A8%E6%88%B71"),
            ("\U0001f600", "%F0%9F%98%80"),
            ("a:b", "a:b"),
            ("a:b", "a%3Ab"),
            ("{x}?#&=+", "%7Bx%7D%3F%23%26%3D+"),
            ("..", ".."),
        ],
    )
    async def test_every_value_can_be_asked_for(self, pair: World, value: str, target: str) -> None:
        """Path parts are percent-decoded once, whatever is in them, over every hop."""
        pair.orders(paid(attribution={"pid": value}))
        for worker in (0, 1):
            body = await pair.read(f"/v1/attributions/taobao%3Apid:{target}", worker)
            assert (body["attribution_id"], body["lines"]) == (f"taobao:pid:{value}", 1)

    @pytest.mark.parametrize(
        "name", ["x", "taobao:pid", "taobao:pid:", "taobao:user_id:u1", "T:pid:1", "taobao:pid:a%20b"]
    )
    async def test_an_ill_formed_id_is_refused(self, world: World, name: str) -> None:
        """What is no attribution id is 400 `invalid-attribution_id`."""
        problem(await world.get(f"/v1/attributions/{name}"), 400, "invalid-attribution_id")
