"""`GET /v1/balances`: many users in one request (docs/spec/api-security.md#added-reads)."""

from __future__ import annotations

import pytest

from tests.web.facts import BUYER, INVITER, paid, profile, settled
from tests.web.worlds import World, problem

pytestmark = pytest.mark.asyncio


def query(*user_ids: str) -> str:
    """Return the query that names these users in order."""
    return "&".join(f"user_id={user_id}" for user_id in user_ids)


async def filled(world: World) -> list[str]:
    """Give some users in every partition a line; return them."""
    users = [f"u{number}" for number in range(30)]
    world.users(profile(BUYER, INVITER))
    world.orders(*(settled(line_id=user, attribution={"user_id": user}) for user in users))
    return users


class TestBalances:
    """The items of an answer."""

    async def test_each_is_the_users_own_balance_in_the_order_asked(self, pair: World) -> None:
        """Whoever is asked, users of every owner come as they were named, repeated ones again."""
        users = await filled(pair)
        named = [*reversed(users), "nobody", users[3], users[3]]
        for worker in (0, 1):
            items = (await pair.read(f"/v1/balances?{query(*named)}", worker))["items"]
            assert [item["user_id"] for item in items] == named
            for item in items:
                assert item["status"] == 200
                assert item["balance"] == await pair.read(f"/v1/users/{item['user_id']}/balance")

    async def test_at_is_that_of_all(self, pair: World) -> None:
        """Dates move as for one user."""
        users = await filled(pair)
        at = "at=2026-02-21T00:00:00%2B08:00"
        for item in (await pair.read(f"/v1/balances?{query(*users)}&{at}"))["items"]:
            assert item["balance"] == await pair.read(f"/v1/users/{item['user_id']}/balance?{at}")
            assert item["balance"]["available"] > 0

    async def test_an_ill_formed_id_is_its_items_400(self, world: World) -> None:
        """The others are answered; `.` and `..` are read, since old logs hold them."""
        named = query("a%20b", "u1", "", "%E4%BD%A0", "..")
        items = (await world.read(f"/v1/balances?{named}"))["items"]
        assert [(item["user_id"], item["status"], item.get("code")) for item in items] == [
            ("a b", 400, "invalid-user_id"),
            ("u1", 200, None),
            ("", 400, "invalid-user_id"),
            ("你", 400, "invalid-user_id"),
            ("..", 200, None),
        ]

    async def test_more_than_a_hundred_or_nobody_is_refused(self, world: World) -> None:
        """100 pass, repeats counted; 101 and none do not."""
        assert len((await world.read(f"/v1/balances?{query(*['u1'] * 100)}"))["items"]) == 100
        problem(await world.get(f"/v1/balances?{query(*['u1'] * 101)}"), 400, "invalid-user_id")
        problem(await world.get("/v1/balances"), 400, "invalid-user_id")
        problem(await world.get("/v1/balances?user_id=u1&at=now"), 400, "invalid-at")
        problem(await world.get("/v1/balances?user_id=u1&at=2026&at=2026"), 400, "invalid-at")

    async def test_an_owner_that_is_away_spoils_only_its_own(self, pair: World) -> None:
        """Its users are 503 `not-ready`, or stale where this worker has older records."""
        users = await filled(pair)
        await pair.workers[1].stop()
        away = {user for user in users if pair.owner_of(user) == 1}
        assert 0 < len(away) < len(users)
        for item in (await pair.read(f"/v1/balances?{query(*users)}"))["items"]:
            expected = (503, "not-ready") if item["user_id"] in away else (200, None)
            assert (item["status"], item.get("code")) == expected
        pair.workers[0].placement.keeps = True
        for item in (await pair.read(f"/v1/balances?{query(*users)}"))["items"]:
            assert item["status"] == 200
            assert item["balance"].get("stale", False) == (item["user_id"] in away)

    async def test_one_request_for_each_partition(self, pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """A hundred users cost the other worker as many requests as it has partitions of them."""
        users = await filled(pair)
        targets: list[str] = []
        post = pair.workers[0].context.peers.post

        async def counted(url: str, target: str, *rest: object) -> object:
            targets.append(target)
            return await post(url, target, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(pair.workers[0].context.peers, "post", counted)
        await pair.read(f"/v1/balances?{query(*users, *users)}")
        assert targets == ["/internal/balances"] * 2


class TestFilters:
    """`status`, `platform`, `role`, `paid_from` and `paid_to` of a user's lines."""

    PATH = "/v1/users/u1/lines"

    async def lines(self, world: World, filters: str) -> list[str]:
        """Return the ids of the lines that are listed."""
        return [item["order_line_id"] for item in (await world.read(f"{self.PATH}?{filters}"))["items"]]

    async def fill(self, world: World) -> None:
        """Lines of two platforms, statuses, roles and days."""
        world.users(profile("u7", BUYER))
        world.orders(
            paid(line_id="1"),
            settled(line_id="2"),
            paid(line_id="3", platform="pdd", times={"paid": "2026-01-10T00:00:00+08:00"}),
            paid(line_id="4", attribution={"user_id": "u7"}),
        )

    async def test_each_and_all(self, pair: World) -> None:
        """Each leaves the lines that it admits; together they leave what all admit. The end is excluded."""
        await self.fill(pair)
        for filters, expected in {
            "status=paid": ["4", "3", "1"],
            "status=settled": ["2"],
            "status=punished": [],
            "platform=pdd": ["3"],
            "platform=other": [],
            "role=inviter": ["4"],
            "role=buyer": ["3", "2", "1"],
            "paid_from=2026-01-10T00:00:00%2B08:00": ["3"],
            "paid_to=2026-01-10T00:00:00%2B08:00": ["4", "2", "1"],
            "paid_from=2026-01-10T00:00:00%2B08:00&paid_to=2026-01-10T00:00:00%2B08:00": [],
            "paid_from=2026-01-09T16:00:00Z&paid_to=2026-01-10T00:00:01+08:00": ["3"],
            "role=buyer&platform=taobao&status=paid": ["1"],
        }.items():
            assert await self.lines(pair, filters) == expected, filters

    async def test_cursors_go_on_where_a_page_ended(self, world: World) -> None:
        """Pages of one item, whatever is left out between them."""
        await self.fill(world)
        seen, cursor = [], ""
        while True:
            page = await world.read(f"{self.PATH}?status=paid&limit=1{cursor}")
            seen += [item["order_line_id"] for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert seen == ["4", "3", "1"]

    async def test_bad_values_have_a_code_each(self, pair: World) -> None:
        """Also on the worker that only forwards."""
        for worker in (0, 1):
            for name, values in {
                "status": ("", "Paid", "held", "paid,settled"),
                "platform": ("", "Taobao", "a" * 17, "a:b", "taobao%0A"),
                "role": ("", "owner", "Buyer"),
                "paid_from": ("", "2026-01-01", "now", "2026-01-01T00:00:00"),
                "paid_to": ("", "2026-01-01", "1767196800"),
            }.items():
                for value in values:
                    reply = await pair.get(f"{self.PATH}?{name}={value}", worker)
                    problem(reply, 400, f"invalid-{name}")
