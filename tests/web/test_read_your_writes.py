"""`?wait_ms=`: reading one's own write (docs/spec/http.md#read-your-writes)."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rebate_app.web.routing.log_progress import MOVED_MAX
from tests.topology_driver import ACCOUNTS, LINES
from tests.web.facts import (
    BUYER,
    DISPUTED,
    INVITER,
    LINE,
    bind,
    claim,
    paid,
    profile,
    received,
    settled,
    us,
)
from tests.web.worlds import World, hung_server

SOON_S = 1.0  # far less than a worker that hangs would be waited for
UNBOUNDED_S = 60.0
pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def slow_lane(world: World) -> AsyncIterator[None]:
    """Process one batch every few milliseconds, as a real lane does, until the end of the block."""
    for worker in world.workers:
        worker.sender.processes = False
    rng = random.Random(3)

    async def work() -> None:
        while True:
            if waiting := world.stream.waiting():
                chosen = rng.choice(waiting)
                world.stream.step(chosen.stage, chosen.partition, rng.randint(1, 50))
            await asyncio.sleep(0.002)

    task = asyncio.create_task(work())
    try:
        yield
    finally:
        task.cancel()
        for worker in world.workers:
            worker.sender.processes = True


def stop_lane(world: World) -> None:
    """Let what is sent wait."""
    for worker in world.workers:
        worker.sender.processes = False


class TestOrders:
    """Order facts: the line, the id if there is one, the user."""

    @pytest.mark.parametrize("worker", [0, 1])
    async def test_visible_means_that_the_next_read_has_it(self, pair: World, worker: int) -> None:
        """`visible` true: whichever worker answers, the balance has the fact."""
        pair.users(profile(BUYER, INVITER), bind("taobao:pid:p", "u5"))
        async with slow_lane(pair):
            for number in range(10):
                line, via = str(number), number % 2
                attribution = {"pid": "p"} if via else {"user_id": BUYER}
                fact = paid(line_id=line, attribution=attribution)
                reply = await pair.send("POST", "/v1/orders?wait_ms=2000", fact, worker)
                lines = [f"taobao:{line}"]
                assert reply.json == {"accepted": 1, "lines": lines, "warnings": [], "visible": True}
                body = await pair.read(f"/v1/users/{'u5' if via else BUYER}/lines?limit=1", 1 - worker)
                assert body["items"][0]["order_line_id"] == line

    async def test_a_batch_is_visible_when_all_of_it_is(self, pair: World) -> None:
        """Of 500 facts over all partitions the last one decides."""
        async with slow_lane(pair):
            facts = [
                paid(line_id=str(number), attribution={"user_id": f"x{number % 7}"}) for number in range(500)
            ]
            for _ in range(10):  # a busy machine takes longer than one wait may; repeats do no harm
                reply = await pair.send("POST", "/v1/orders?wait_ms=2000", {"events": facts})
                if reply.json["visible"]:
                    break
            assert reply.json["visible"] is True
            counts = [(await pair.read(f"/v1/users/x{n}/balance"))["lines"]["open"] for n in range(7)]
            assert sum(counts) == 500

    async def test_a_line_in_suspense_is_visible_in_the_ids_account(self, pair: World) -> None:
        """While nobody is bound, the account of the id is the one that holds it."""
        async with slow_lane(pair):
            reply = await pair.send("POST", "/v1/orders?wait_ms=2000", paid(attribution={"pid": "p"}))
            assert reply.json["visible"] is True
            assert (await pair.read("/v1/attributions/taobao:pid:p"))["lines"] == 1

    async def test_a_fact_that_changes_nothing_is_visible_at_once(self, pair: World) -> None:
        """A repeat, an older snapshot, a claim on a named line: nothing was sent, and all is there."""
        pair.orders(paid(), settled())
        for fact in (paid(), settled(), received()):
            reply = await pair.send("POST", "/v1/orders?wait_ms=500", fact)
            assert reply.json["visible"] is True

    async def test_a_fact_on_a_moved_line_is_visible(self, pair: World) -> None:
        """After the line went from an id to a user and back, its owner's account holds what came last."""
        pair.users(bind("taobao:pid:p", "u5"))
        async with slow_lane(pair):
            for fact in (
                paid(attribution={"pid": "p"}),
                claim("u9", "2026-01-04T00:00:00Z"),
                received(attribution={"user_id": "u7"}),
                settled(),
                DISPUTED,
            ):
                reply = await pair.send("POST", "/v1/orders?wait_ms=2000", fact)
                assert reply.json["visible"] is True

    @pytest.mark.parametrize("stages", [(), (LINES,)])
    async def test_when_the_time_is_up_it_is_false(self, world: World, stages: tuple[str, ...]) -> None:
        """Neither hop, or only the first one: the answer comes in time with `visible` false."""
        stop_lane(world)
        task = asyncio.create_task(world.send("POST", "/v1/orders?wait_ms=150", paid()))
        await asyncio.sleep(0.03)
        for stage in stages:
            world.stream.step(stage, world.stream.partition_of(LINE), 1)
        began = time.monotonic()
        reply = await task
        assert (reply.status, reply.json["visible"]) == (202, False)
        assert 0.05 < time.monotonic() - began < SOON_S

    async def test_an_id_that_lags_behind_is_waited_for(self, world: World) -> None:
        """The line was processed, its attribution id was not: false while it is not, true once it is."""
        stop_lane(world)
        task = asyncio.create_task(
            world.send("POST", "/v1/orders?wait_ms=1000", paid(attribution={"pid": "p"}))
        )
        await asyncio.sleep(0.05)
        world.stream.step(LINES, world.stream.partition_of(LINE), 1)
        await asyncio.sleep(0.05)
        assert not task.done()
        world.stream.run()
        assert (await task).json["visible"] is True

    async def test_without_time_to_wait_it_says_what_is_the_case(self, world: World) -> None:
        """`wait_ms=0` looks once."""
        assert (await world.send("POST", "/v1/orders?wait_ms=0", paid())).json["visible"] is True
        stop_lane(world)
        assert (await world.send("POST", "/v1/orders?wait_ms=0", settled())).json["visible"] is False

    async def test_while_the_owner_is_away_it_is_false(self, pair: World) -> None:
        """The fact is accepted; nobody can say that the account has it."""
        pair.give(ACCOUNTS, pair.stream.partition_of(BUYER), None)
        reply = await pair.send("POST", "/v1/orders?wait_ms=50", paid())
        assert (reply.status, reply.json["visible"]) == (202, False)

    async def test_while_the_owner_hangs_it_is_false_in_time(self, pair: World) -> None:
        """An owner that takes the question and never answers costs no more than the time to wait."""
        async with hung_server() as url:
            pair.point(ACCOUNTS, pair.stream.partition_of(BUYER), url)
            for worker in pair.workers:
                worker.context.peers.rpc_timeout_seconds = UNBOUNDED_S
                worker.context.peers.forward_timeout_seconds = UNBOUNDED_S
            began = time.monotonic()
            reply = await pair.send("POST", "/v1/orders?wait_ms=200", paid())
            assert reply.json["visible"] is False
            assert time.monotonic() - began < SOON_S

    async def test_a_refused_fact_is_never_visible(self, world: World) -> None:
        """A line whose only fact became a dead letter is in no account: false, without waiting."""
        world.clock.now = us("2026-01-03T20:14:05+08:00")
        world.workers[0].sender.behind_us = 25 * 3_600_000_000
        began = time.monotonic()
        reply = await world.send("POST", "/v1/orders?wait_ms=2000", paid())
        assert reply.json["visible"] is False
        assert time.monotonic() - began < SOON_S
        assert len(world.stream.dead_letters) == 1


class TestProfilesAndBindings:
    """What goes into the user log directly."""

    @pytest.mark.parametrize("worker", [0, 1])
    async def test_a_profile_is_visible_when_it_was_processed(self, pair: World, worker: int) -> None:
        """The user's own log was processed up to the profile, whoever owns it."""
        async with slow_lane(pair):
            for number in range(6):
                target = f"/v1/users/w{number}/profile?wait_ms=2000"
                reply = await pair.send("PUT", target, {"level": "vip", "inviter_id": None}, worker)
                assert reply.json["visible"] is True
                assert (await pair.read(f"/v1/users/w{number}/balance"))["version"] == 1

    async def test_a_profile_in_time_or_not(self, world: World) -> None:
        """Unprocessed, it is false after the time to wait."""
        stop_lane(world)
        reply = await world.send(
            "PUT", "/v1/users/u1/profile?wait_ms=20", {"level": "vip", "inviter_id": None}
        )
        assert reply.json["visible"] is False

    @pytest.mark.parametrize("worker", [0, 1])
    async def test_a_binding_is_visible_when_all_lines_have_arrived(self, pair: World, worker: int) -> None:
        """However many lines move, by however many messages, the user's account holds every one of them."""
        count = 2 * MOVED_MAX + 7
        pair.orders(*(paid(line_id=str(number), attribution={"pid": "p"}) for number in range(count)))
        target = "/v1/attributions/taobao:pid:p?wait_ms=2000"
        async with slow_lane(pair):
            reply = await pair.send("PUT", target, {"user_id": BUYER}, worker)
            assert reply.json["visible"] is True
            assert (await pair.read("/v1/users/u1/balance", worker))["lines"]["open"] == count
            reply = await pair.send("PUT", target, {"user_id": "u5"}, worker)
            assert reply.json["visible"] is True
            assert (await pair.read("/v1/users/u5/balance", worker))["lines"]["open"] == count
            assert (await pair.send("PUT", target, {"user_id": None}, worker)).json["visible"] is True

    async def test_binding_anew_to_the_same_user_is_visible(self, world: World) -> None:
        """Nothing moves, and all is there already."""
        world.orders(paid(attribution={"pid": "p"}))
        for _ in range(2):
            reply = await world.send("PUT", "/v1/attributions/taobao:pid:p?wait_ms=500", {"user_id": BUYER})
            assert reply.json["visible"] is True

    async def test_a_binding_in_time_or_not(self, world: World) -> None:
        """The id was processed but the user was not: false after the time to wait."""
        world.orders(paid(attribution={"pid": "p"}))
        stop_lane(world)
        task = asyncio.create_task(
            world.send("PUT", "/v1/attributions/taobao:pid:p?wait_ms=150", {"user_id": "u9"})
        )
        await asyncio.sleep(0.03)
        world.stream.step(ACCOUNTS, world.stream.partition_of("taobao:pid:p"), 1)
        assert (await task).json["visible"] is False
