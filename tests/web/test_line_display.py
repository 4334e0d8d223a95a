"""Title, order number and paid time of a user's lines (docs/spec/http.md#resources)."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.web.facts import BUYER, INVITER, PAID_AT, paid, profile, received, snapshot
from tests.web.worlds import World, hung_server, walk

pytestmark = pytest.mark.asyncio

PATH = f"/v1/users/{BUYER}/lines"
LINES = [f"n{number}" for number in range(20)]


def shown(item: dict[str, Any]) -> tuple[Any, Any, Any]:
    """Return what an item shows of its line."""
    return item["title"], item["parent_order_id"], item.get("unavailable")


async def fill(world: World) -> None:
    """Give the buyer lines in all partitions, each with a title and an order number of its own."""
    world.users(profile(BUYER, INVITER))
    world.orders(
        *(paid(line_id=line, item={"title": f"鞋 {line}"}, parent_order_id=f"o-{line}") for line in LINES)
    )
    assert {world.stream.partition_of(f"taobao:{line}") for line in LINES} == set(
        range(world.stream.partitions)
    )


class TestJoined:
    """What the lines' owners know."""

    async def test_every_line_has_its_own(self, pair: World) -> None:
        """Buyer and inviter see them, page by page, whichever worker answers."""
        await fill(pair)
        for user_id in (BUYER, INVITER):
            for worker in (0, 1):
                listed = await walk(pair, f"/v1/users/{user_id}/lines", 7, worker)
                assert len(listed) == len(LINES)
                for item in listed:
                    line = item["order_line_id"]
                    assert shown(item) == (f"鞋 {line}", f"o-{line}", None)
                    assert item["paid_at"] == PAID_AT

    async def test_each_owner_is_asked_once_for_each_of_its_partitions(
        self, pair: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A page of twenty lines in four partitions costs two requests to the other worker."""
        await fill(pair)
        owner = pair.workers[pair.owner_of(BUYER)]
        targets: list[str] = []
        post = owner.context.peers.post

        async def counted(url: str, target: str, *rest: Any) -> Any:
            targets.append(target)
            return await post(url, target, *rest)

        monkeypatch.setattr(owner.context.peers, "post", counted)
        assert len((await pair.read(PATH, pair.owner_of(BUYER)))["items"]) == len(LINES)
        assert targets == ["/internal/line-display"] * 2

    async def test_they_follow_the_snapshot_that_counts(self, world: World) -> None:
        """A newer snapshot replaces them, an older one does not."""
        world.orders(received(item={"title": "new"}, parent_order_id="2"))
        world.orders(paid(item={"title": "old"}, parent_order_id="1"))
        (item,) = (await world.read(PATH))["items"]
        assert shown(item) == ("new", "2", None)

    @pytest.mark.parametrize(
        ("members", "expected"),
        [
            ({}, (None, None, None)),
            ({"item": "x", "parent_order_id": ["1"]}, (None, None, None)),
            ({"item": {"title": 7}, "parent_order_id": 390}, (None, "390", None)),
            ({"item": {"title": ""}, "parent_order_id": True}, ("", None, None)),
            ({"item": {"title": "x" * 2_000}, "parent_order_id": "1"}, (None, "1", None)),
        ],
    )
    async def test_what_is_no_text_is_null(
        self, world: World, members: dict[str, Any], expected: tuple[Any, Any, Any]
    ) -> None:
        """Members for show may be anything; a title is text, an order number text or an integer."""
        world.orders(paid(**members))
        (item,) = (await world.read(PATH))["items"]
        assert shown(item) == expected

    async def test_a_line_that_was_never_paid(self, world: World) -> None:
        """`paid_at` is null without a paid time."""
        fact = snapshot("created", "2026-01-03T00:00:00Z", item={"title": "t"})
        del fact["times"]
        world.orders(fact)
        (item,) = (await world.read(PATH))["items"]
        assert (item["paid_at"], item["title"]) == (None, "t")


class TestUnavailable:
    """Owners of lines that cannot be reached."""

    async def test_those_lines_alone_are_unavailable(self, pair: World) -> None:
        """The money is there all the same, and so is everything of the other lines."""
        await fill(pair)
        whole = (await pair.read(PATH))["items"]
        pair.give("lines", 3, None)
        for worker in (0, 1):
            for before, item in zip(whole, (await pair.read(PATH, worker))["items"], strict=True):
                if pair.stream.partition_of(f"taobao:{item['order_line_id']}") == 3:
                    assert item == before | {"title": None, "parent_order_id": None, "unavailable": True}
                else:
                    assert item == before

    async def test_an_owner_that_hangs_costs_its_time_out(self, pair: World) -> None:
        """However many partitions hang, the answer comes in one time-out."""
        await fill(pair)
        async with hung_server() as url:
            for partition in range(pair.stream.partitions):
                pair.point("lines", partition, url)
            began = time.monotonic()
            listed = (await pair.read(PATH))["items"]
            assert time.monotonic() - began < 3
        assert [shown(item) for item in listed] == [(None, None, True)] * len(LINES)
        assert all(item["estimated"] == 1_047 for item in listed)

    async def test_a_store_that_was_closed_meanwhile(self, world: World) -> None:
        """Records of lines that were given up while they are read are unavailable, not a failure."""
        await fill(world)
        world.stream.stores["order-lines", 2].close()
        unavailable = [item for item in (await world.read(PATH))["items"] if "unavailable" in item]
        assert {world.stream.partition_of(f"taobao:{item['order_line_id']}") for item in unavailable} == {2}
