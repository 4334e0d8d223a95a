"""`GET /v1/users/{user_id}/balance` (docs/spec/http.md#balance)."""

from __future__ import annotations

import re

import msgspec
import pytest

from rebate_app.domain.account.account import Head
from tables.accounts import HEAD
from tests.web.facts import BUYER, DISPUTED, INVITER, REFUNDED, paid, profile, received, settled, snapshot
from tests.web.worlds import NOW, World, problem

pytestmark = pytest.mark.asyncio

ZEROS = {
    "currency": "CNY",
    "unit": "fen",
    "estimated": 0,
    "confirmed": 0,
    "held": 0,
    "available": 0,
    "frozen": 0,
    "withdrawn": 0,
    "debt": 0,
    "maturing": [],
    "lines": {"open": 0, "settled": 0, "closed": 0},
}


async def buckets(world: World, user_id: str, at: str = NOW) -> tuple[int, int, int, int]:
    """Return (estimated, confirmed, held, available) of a user at a moment."""
    members = await world.read(f"/v1/users/{user_id}/balance?at={at.replace('+', '%2B')}")
    return members["estimated"], members["confirmed"], members["held"], members["available"]


class TestWorkedExample:
    """TB-A of docs/spec/money.md#worked-example: share 6500, inviter 1000."""

    async def test_every_step_is_right_to_the_fen(self, world: World) -> None:
        """Paid, received, settled, disputed and refunded give the contract's amounts, one after another."""
        world.users(profile(BUYER, INVITER))
        steps = [
            (paid(), (1_047, 0, 0, 0), (161, 0, 0, 0)),
            (received(), (1_047, 0, 0, 0), (161, 0, 0, 0)),
            (settled(), (0, 995, 0, 0), (0, 153, 0, 0)),
            (DISPUTED, (0, 663, 332, 0), (0, 102, 51, 0)),
            (REFUNDED, (0, 663, 0, 0), (0, 102, 0, 0)),
        ]
        for fact, buyer, inviter in steps:
            world.orders(fact)
            assert await buckets(world, BUYER) == buyer
            assert await buckets(world, INVITER) == inviter

    async def test_money_is_available_from_the_release_day_on(self, world: World) -> None:
        """A taobao line settled in January is available from 21 February 00:00 Shanghai, not before."""
        world.users(profile(BUYER, INVITER))
        world.orders(paid(), settled())
        assert await buckets(world, BUYER, "2026-02-20T23:59:59.999999+08:00") == (0, 995, 0, 0)
        assert await buckets(world, BUYER, "2026-02-21T00:00:00+08:00") == (0, 0, 0, 995)
        assert await buckets(world, INVITER, "2026-02-20T16:00:00Z") == (0, 0, 0, 153)


class TestBody:
    """The members of the answer."""

    async def test_it_is_the_contracts_object(self, world: World) -> None:
        """All members are there, amounts in fen, with where and when the answer holds."""
        world.orders(paid(), settled())
        members = await world.read("/v1/users/u1/balance")
        partition = world.stream.partition_of(BUYER)
        assert members == ZEROS | {
            "user_id": BUYER,
            "confirmed": 995,
            "maturing": [{"on": "2026-02-21", "amount": 995}],
            "lines": {"open": 0, "settled": 1, "closed": 0},
            "version": 2,
            "as_of": {
                "topic": "rebate-user-log",
                "partition": partition,
                "offset": len(world.stream.log("rebate-user-log", partition)) - 1,
                "lag": 0,
            },
            "at": NOW,
        }
        assert list(members)[-2:] == ["as_of", "at"]

    async def test_somebody_never_seen_has_zeros(self, world: World) -> None:
        """A user that nobody ever named is 200 with zeros and version 0."""
        members = await world.read("/v1/users/nobody@example.org/balance")
        assert members["as_of"]["offset"] == -1
        del members["as_of"]
        assert members == ZEROS | {"user_id": "nobody@example.org", "version": 0, "at": NOW}

    async def test_what_is_not_processed_yet_is_lag(self, world: World) -> None:
        """`lag` counts what follows the last offset that the answer holds."""
        world.users(profile(BUYER))
        world.stream.send_user(profile(BUYER, level="vip"), world.clock())
        as_of = (await world.read("/v1/users/u1/balance"))["as_of"]
        assert (as_of["offset"], as_of["lag"]) == (1, 1)  # behind the profile is the rules' activation

    async def test_debt_is_what_available_lacks(self, world: World) -> None:
        """A negative `available` is shown as it is, and as debt."""
        key = HEAD.key("debtor")
        store = world.stream.stores["accounts", world.stream.partition_of("debtor")]
        store.apply({key: msgspec.json.encode(Head(version=1, settled={0: {1: -300}}))}, 0)
        members = await world.read("/v1/users/debtor/balance")
        assert (members["available"], members["debt"]) == (-300, 300)

    async def test_lines_count_what_the_user_bought(self, world: World) -> None:
        """Open, settled and closed lines are counted for the buyer, not for the inviter."""
        world.users(profile(BUYER, INVITER))
        world.orders(
            paid(line_id="1"),
            settled(line_id="2"),
            snapshot("closed", "2026-01-05T00:00:00+08:00", line_id="3"),
            snapshot(
                "received", "2026-01-05T00:00:00+08:00", line_id="4", times={"expected_settle": "2026-03-01"}
            ),
        )
        lines = (await world.read("/v1/users/u1/balance"))["lines"]
        assert lines == {"open": 2, "settled": 1, "closed": 1}
        later = await world.read("/v1/users/u1/balance?at=2026-03-01T00:00:00%2B08:00")
        assert later["lines"] == {"open": 1, "settled": 2, "closed": 1}
        assert (await world.read("/v1/users/u2/balance"))["lines"] == ZEROS["lines"]

    async def test_maturing_sums_to_confirmed(self, world: World) -> None:
        """`maturing` is `confirmed` by release day, the nearest first."""
        world.orders(
            settled(line_id="1", times={"settled": "2026-02-10T00:00:00+08:00"}),
            settled(line_id="2"),
            settled(line_id="3"),
        )
        members = await world.read("/v1/users/u1/balance")
        assert members["maturing"] == [
            {"on": "2026-02-21", "amount": 1_990},
            {"on": "2026-03-21", "amount": 995},
        ]
        assert sum(item["amount"] for item in members["maturing"]) == members["confirmed"] == 2_985


class TestAt:
    """`?at=`: the facts known now, looked at on another day."""

    @pytest.mark.parametrize(
        "text",
        [
            "2026-03-01T00:00:00%2B08:00",
            "2026-03-01T00:00:00+08:00",  # a client that did not escape: the + arrives as a space
            "2026-03-01T00:00:00%2008:00",
            "2026-02-28T16:00:00Z",
            "2026-02-28T11:00:00-05:00",
        ],
    )
    async def test_a_moment_is_understood_with_any_offset(self, world: World, text: str) -> None:
        """Whatever the offset, and with a space for a plus, it is one moment, said in +08:00."""
        members = await world.read(f"/v1/users/u1/balance?at={text}")
        assert members["at"] == "2026-03-01T00:00:00+08:00"

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "now",
            "2026-03-01",
            "2026-03-01T00:00:00",
            "2026-02-30T00:00:00Z",
            "1767225600",
            "%00",
            "%FF",
            "9999999-01-01T00:00:00Z",
        ],
    )
    async def test_anything_else_is_invalid(self, world: World, text: str) -> None:
        """A moment without offset, a date or no moment at all is 400 `invalid-at`."""
        problem(await world.get(f"/v1/users/u1/balance?at={text}"), 400, "invalid-at")

    async def test_a_date_settles_without_any_event(self, world: World) -> None:
        """An expected settlement counts from its day on, whatever nobody sends."""
        world.users(profile(BUYER, INVITER))
        world.orders(received(settled=1_701, times={"expected_settle": "2026-03-01"}))
        assert await buckets(world, BUYER, "2026-02-28T23:59:59+08:00") == (1_047, 0, 0, 0)
        assert await buckets(world, BUYER, "2026-03-01T00:00:00+08:00") == (0, 989, 0, 0)
        assert await buckets(world, BUYER, "2026-04-21T00:00:00+08:00") == (0, 0, 0, 989)

    async def test_without_it_the_wall_clock_holds(self, world: World) -> None:
        """The clock moves the answer and its `at`, nothing else."""
        world.orders(settled())
        world.clock.now += 86_400_000_000 * 30
        members = await world.read("/v1/users/u1/balance")
        assert (members["at"], members["available"]) == ("2026-03-03T00:00:00+08:00", 995)


class TestEtag:
    """ETag and 304."""

    async def test_it_covers_the_body_without_at_and_as_of(self, world: World) -> None:
        """Other moments and other offsets leave the tag as it is while the amounts are the same."""
        world.orders(paid())
        first = await world.get("/v1/users/u1/balance")
        assert re.fullmatch(r'"[0-9a-f]+"', first.headers["ETag"])
        world.clock.now += 1_000_000
        others = [
            name
            for n in range(99)
            if world.stream.partition_of(name := f"x{n}") == world.stream.partition_of(BUYER)
        ]
        world.users(profile(others[0]))
        second = await world.get("/v1/users/u1/balance")
        assert first.json["as_of"] != second.json["as_of"]
        assert first.json["at"] != second.json["at"]
        assert second.headers["ETag"] == first.headers["ETag"]
        world.orders(received(est=1_792))
        assert (await world.get("/v1/users/u1/balance")).headers["ETag"] != first.headers["ETag"]

    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', '"other",W/{} ', "*"])
    async def test_who_has_it_gets_304(self, world: World, form: str) -> None:
        """If-None-Match with the tag, weak or among others, is 304 without a body."""
        tag = (await world.get("/v1/users/u1/balance")).headers["ETag"]
        reply = await world.get("/v1/users/u1/balance", If_None_Match=form.format(tag))
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", tag)

    async def test_who_has_another_gets_it_all(self, world: World) -> None:
        """Another tag is 200."""
        assert (await world.get("/v1/users/u1/balance", If_None_Match='"other"')).status == 200

    async def test_head_is_get_without_the_body(self, world: World) -> None:
        """HEAD has the headers of GET."""
        body = (await world.get("/v1/users/u1/balance")).body
        reply = await world.ask("HEAD", "/v1/users/u1/balance")
        assert (reply.status, reply.body) == (200, b"")
        assert reply.headers["Content-Length"] == str(len(body))


class TestRefusals:
    """What is no balance."""

    @pytest.mark.parametrize("name", ["a%20b", "a:b", "%E4%BD%A0", "x" * 129, "a%2Fb", "%00"])
    async def test_an_ill_formed_user_id_is_400(self, world: World, name: str) -> None:
        """A user id is 1-128 of A-Za-z0-9._@-; everything else is 400 `invalid-user_id`."""
        problem(await world.get(f"/v1/users/{name}/balance"), 400, "invalid-user_id")

    @pytest.mark.parametrize("name", ["..", ".", "%2E%2E", "a%40b.c", "-", "x" * 128])
    async def test_every_well_formed_user_id_has_one(self, world: World, name: str) -> None:
        """Dots are a user id like any other, and parts are percent-decoded."""
        assert (await world.get(f"/v1/users/{name}/balance")).status == 200

    async def test_while_nobody_may_answer_it_is_503(self, world: World) -> None:
        """While the owner is being restored: 503 `not-ready` with Retry-After."""
        world.give("accounts", world.stream.partition_of(BUYER), None)
        reply = await world.get("/v1/users/u1/balance")
        assert "restored" in problem(reply, 503, "not-ready")["detail"]
        assert reply.headers["Retry-After"] == "3"
