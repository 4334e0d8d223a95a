"""What is answered about a line, user or attribution id that is parked after a bug of ours."""

from __future__ import annotations

import pytest

from agents.accounts import AccountsFold
from agents.order_lines import OrderLinesFold
from rebate_app.streams.task.stage import Record
from rebate_app.web.routing.ports import Halted
from rebate_app.wire.control import encode_release
from tests.topology_driver import APP
from tests.web.facts import BUYER, LINE, paid, profile, received, settled
from tests.web.worlds import World, problem, walk

pytestmark = pytest.mark.asyncio

ATTRIBUTION_ID = "taobao:pid:p1"


@pytest.fixture
def buggy(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """Return the keys on whose records both folds raise, after their work."""
    keys: set[bytes] = set()
    for work in (AccountsFold, OrderLinesFold):

        def take(self: object, record: Record, of: type = work, taken: object = work.take) -> None:
            assert isinstance(self, of)
            taken(self, record)  # type: ignore[operator]
            if record.key in keys:
                raise ZeroDivisionError

        monkeypatch.setattr(work, "take", take)
    return keys


class TestUnderReview:
    """Old money is shown as what it is."""

    async def test_a_user(self, world: World, buggy: set[bytes]) -> None:
        """The balance is the earlier one, marked, and has another ETag; released, it is right."""
        world.orders(paid())
        before = await world.get(f"/v1/users/{BUYER}/balance")
        buggy.add(BUYER.encode())
        world.orders(received())
        during = await world.get(f"/v1/users/{BUYER}/balance")
        assert during.json["under_review"] is True
        assert {**during.json, "as_of": 0, "at": 0} == {
            **before.json,
            "under_review": True,
            "as_of": 0,
            "at": 0,
        }
        assert during.headers["ETag"] != before.headers["ETag"]
        listed = await walk(world, "/v1/parked-keys", 1)
        assert [(item["key"], item["waiting"], item["reason"]) for item in listed] == [
            (BUYER, 1, "internal-error")
        ]
        buggy.clear()
        world.stream.send(world.stream.topics.user_log, BUYER.encode(), encode_release(APP, "ann", []), 0)
        world.stream.run()
        after = await world.read(f"/v1/users/{BUYER}/balance")
        assert "under_review" not in after
        assert after["version"] == before.json["version"] + 1

    async def test_a_line_and_an_attribution_id(self, world: World, buggy: set[bytes]) -> None:
        """Both are marked, and a write that waits is answered with `visible` false."""
        world.orders(paid(attribution={"pid": "p1"}))
        buggy |= {LINE.encode(), ATTRIBUTION_ID.encode()}
        world.orders(settled(attribution={"pid": "p1"}))
        path = f"/v1/order-lines/{LINE.replace(':', '/')}"
        assert (await world.read(path))["under_review"] is True
        reply = await world.send("PUT", f"/v1/attributions/{ATTRIBUTION_ID}?wait_ms=1", {"user_id": "u9"})
        assert reply.json["visible"] is False
        world.stream.run()
        assert (await world.read(f"/v1/attributions/{ATTRIBUTION_ID}"))["under_review"] is True
        waited = await world.send("POST", "/v1/orders?wait_ms=1", received())
        world.stream.run()
        assert waited.json["visible"] is False

    async def test_a_profile_that_waits_is_not_visible(self, world: World, buggy: set[bytes]) -> None:
        """A processed log is not enough: the fact is not in the account."""
        buggy.add(BUYER.encode())
        world.users(profile(BUYER))
        reply = await world.send(
            "PUT", f"/v1/users/{BUYER}/profile?wait_ms=1", {"level": "vip", "inviter_id": None}
        )
        assert reply.json["visible"] is False

    async def test_all_owners_are_asked(self, pair: World, buggy: set[bytes]) -> None:
        """Parked keys of both tables and all partitions, page by page, from any worker."""
        users = [f"x{number}" for number in range(30)]
        buggy |= {user.encode() for user in users}
        pair.users(*(profile(user) for user in users))
        lists = [await walk(pair, "/v1/parked-keys", 7, worker) for worker in (0, 1)]
        assert lists[0] == lists[1]
        assert sorted(item["key"] for item in lists[0]) == sorted(users)
        pair.give("accounts", 2, None)
        problem(await pair.get("/v1/parked-keys"), 503, "not-ready")


class TestWithoutABroker:
    """A worker that has no office."""

    async def test_dead_letters_are_not_ready(self, world: World) -> None:
        """Neither listed nor decided about; wishes are checked first."""
        problem(await world.get("/v1/dead-letters"), 503, "not-ready")
        problem(await world.get("/v1/dead-letters/a%2F0%2F1"), 503, "not-ready")
        problem(await world.get("/v1/dead-letters/a"), 400, "invalid-id")
        problem(await world.get("/v1/dead-letters?topic=x"), 400, "invalid-filter")
        problem(await world.get("/v1/dead-letters?since=now"), 400, "invalid-filter")
        problem(await world.get("/v1/dead-letters?open=maybe"), 400, "invalid-filter")
        problem(await world.get("/v1/dead-letters?cursor=x"), 400, "invalid-cursor")
        by = {"by": "ann", "why": "x"}
        for what in ("replay", "discard"):
            path = f"/v1/dead-letters/a%2F0%2F1/{what}"
            problem(await world.send("POST", path, by), 503, "not-ready")
            problem(await world.send("POST", path, {}), 400, "invalid-wish")

    async def test_a_halted_partition_is_what_readyz_names(self, world: World) -> None:
        """200 all the while, with where and why; `/v1/workers` has it too, and its answers are marked."""
        world.workers[0].placement.halts = [Halted("order_topic", 3, "dlq-limit", 7, 2, "too many")]
        row = {"topic": "order_topic", "partition": 3, "halted": "dlq-limit", "offset": 7, "lag": 2}
        answer = await world.get("/readyz")
        assert (answer.status, answer.json["halted"]) == (200, [row | {"reason": "too many"}])
        world.workers[0].placement.marked = "dlq-limit"
        for path in ("users/u1/balance", "users/u1/lines", "users/u1/ledger", "attributions/taobao:pid:p"):
            assert (await world.read(f"/v1/{path}"))["halted"] == "dlq-limit"
