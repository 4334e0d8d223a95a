"""Lines and ledger, and the pages of every list (docs/spec/http.md#lists)."""

from __future__ import annotations

import random

import pytest

from rebate_app.domain.account.ledger import LEDGER_KINDS
from rebate_app.web.enumerations import LEDGER_REASONS, ROLES
from tests.web.facts import (
    BUYER,
    DISPUTED,
    INVITER,
    LINE_ID,
    PAID_AT,
    REFUNDED,
    bind,
    claim,
    paid,
    profile,
    punish,
    received,
    settled,
    snapshot,
)
from tests.web.worlds import NOW, World, problem, walk

pytestmark = pytest.mark.asyncio

LISTS = ("users/u1/lines", "users/u1/ledger", "users", "attributions?unbound=true")


class TestLines:
    """`GET /v1/users/{id}/lines`."""

    async def test_an_item_is_the_contracts(self, world: World) -> None:
        """Each line has role, status and buckets; `updated_at` is the causing record's timestamp."""
        world.users(profile(BUYER, INVITER))
        world.orders(paid(), settled(item={"title": "轻量跑鞋"}, parent_order_id="3901000000000000010"))
        (bought,) = (await world.read("/v1/users/u1/lines"))["items"]
        assert bought == {
            "platform": "taobao",
            "order_line_id": LINE_ID,
            "role": "buyer",
            "depth": 0,
            "status": "settled",
            "paid_at": PAID_AT,
            "title": "轻量跑鞋",
            "parent_order_id": "3901000000000000010",
            "settled": True,
            "estimated": 0,
            "confirmed": 995,
            "available": 0,
            "held": 0,
            "release_on": "2026-02-21",
            "updated_at": NOW,
        }
        (invited,) = (await world.read("/v1/users/u2/lines"))["items"]
        assert invited == bought | {"role": "inviter", "depth": 1, "confirmed": 153}

    async def test_at_moves_the_dates(self, world: World) -> None:
        """A line settles and is released by date; until then it has no release day."""
        world.orders(received(settled=1_701, times={"expected_settle": "2026-03-01"}))
        seen = []
        for day in ("2026-02-28", "2026-03-01", "2026-04-21"):
            (line,) = (await world.read(f"/v1/users/u1/lines?at={day}T00:00:00Z"))["items"]
            names = ("settled", "estimated", "confirmed", "available", "release_on")
            seen.append(tuple(line[name] for name in names))
        assert seen == [
            (False, 1_047, 0, 0, None),
            (True, 0, 989, 0, "2026-04-21"),
            (True, 0, 0, 989, "2026-04-21"),
        ]

    async def test_they_are_newest_first_by_first_sight(self, world: World) -> None:
        """The order is that of the log positions at which lines were first seen; an update moves none."""
        world.orders(*(paid(line_id=str(number)) for number in range(5)))
        world.orders(settled(line_id="1"))
        listed = (await world.read("/v1/users/u1/lines"))["items"]
        assert [item["order_line_id"] for item in listed] == ["4", "3", "2", "1", "0"]

    async def test_a_line_that_left_is_not_there(self, world: World) -> None:
        """The list is what is the user's now: a line named to somebody else leaves it."""
        world.orders(paid(line_id="1"), paid(line_id="2"))
        world.orders(received(line_id="1", attribution={"user_id": "u9"}))
        assert [item["order_line_id"] for item in await walk(world, "/v1/users/u1/lines", 1)] == ["2"]
        assert [item["order_line_id"] for item in await walk(world, "/v1/users/u9/lines", 1)] == ["1"]

    async def test_a_share_of_zero_is_listed(self, world: World) -> None:
        """Beneficiaries with 0 are listed: closed lines, and inviters whose level gets nothing."""
        world.users(profile(BUYER, INVITER), profile(INVITER, None, "vip"))
        world.orders(paid(), snapshot("closed", "2026-01-05T00:00:00+08:00", line_id="x"))
        assert len((await world.read("/v1/users/u1/lines"))["items"]) == 2
        listed = (await world.read("/v1/users/u2/lines"))["items"]
        assert [(line["order_line_id"], line["estimated"]) for line in listed] == [("x", 0), (LINE_ID, 0)]


class TestLedger:
    """`GET /v1/users/{id}/ledger`."""

    async def test_an_entry_is_the_contracts(self, world: World) -> None:
        """An entry has the change, its reason, its day, and the rules that priced it."""
        world.orders(paid())
        (entry,) = (await world.read("/v1/users/u1/ledger"))["items"]
        assert entry == {
            "entry_id": "u1:0",
            "at": NOW,
            "modified_at": "2026-01-03T20:14:05+08:00",
            "effective_on": None,
            "platform": "taobao",
            "order_line_id": LINE_ID,
            "role": "buyer",
            "kind": "estimate",
            "estimated": 1_047,
            "settled": 0,
            "held": 0,
            "reason": "snapshot-paid",
            "rule_version": "2026-01",
            "frozen": 0,
            "withdrawn": 0,
        }

    async def test_a_date_is_an_entry_that_counts_later(self, world: World) -> None:
        """What a date will bring is an entry with `effective_on`; a later fact reverses it."""
        world.orders(received(settled=1_701, times={"expected_settle": "2026-03-01"}))
        newest = (await world.read("/v1/users/u1/ledger"))["items"][0]
        assert (newest["effective_on"], newest["settled"]) == ("2026-03-01", 989)
        world.orders(snapshot("closed", "2026-01-20T00:00:00+08:00"))
        entries = await walk(world, "/v1/users/u1/ledger", 1)
        assert sum(e["settled"] for e in entries if e["effective_on"] == "2026-03-01") == 0
        assert sum(e["estimated"] for e in entries if e["effective_on"] is None) == 0

    async def test_the_sum_of_the_entries_that_count_is_the_account(self, world: World) -> None:
        """At every moment, entries with `effective_on` null or ≤ T sum to the balance at T."""
        world.users(profile(BUYER, INVITER), bind("taobao:pid:p", BUYER))
        world.orders(
            paid(),
            paid(line_id="2", attribution={"pid": "p"}),
            received(times={"expected_settle": "2026-03-05"}, settled=1_500),
            received(line_id="3", times={"expected_settle": "2026-02-05"}, settled=900),
            settled(),
            DISPUTED,
            REFUNDED,
            punish("frozen", "2026-01-30T00:00:00Z"),
        )
        world.users(bind("taobao:pid:p", "u9"))
        for user_id in (BUYER, INVITER, "u9"):
            entries = await walk(world, f"/v1/users/{user_id}/ledger", 3)
            for day in ("2026-02-01", "2026-02-05", "2026-03-05", "2026-06-01"):
                body = await world.read(f"/v1/users/{user_id}/balance?at={day}T00:00:00%2B08:00")
                counted = [e for e in entries if e["effective_on"] is None or e["effective_on"] <= day]
                assert sum(e["estimated"] for e in counted) == body["estimated"]
                assert sum(e["held"] for e in counted) == body["held"]
                assert sum(e["settled"] for e in counted) == body["confirmed"] + body["available"]

    async def test_kinds_reasons_and_roles_are_enumerations(self, world: World) -> None:
        """Whatever happens, the words are those of the documentation."""
        world.users(profile(BUYER, INVITER))
        world.orders(
            paid(attribution={"pid": "p"}),
            claim(BUYER, "2026-01-04T00:00:00Z"),
            settled(attribution={"pid": "p"}),
            DISPUTED,
            REFUNDED,
            punish("frozen", "2026-01-30T00:00:00Z"),
            punish("lifted", "2026-01-31T00:00:00Z"),
        )
        world.users(bind("taobao:pid:p", "u9"), bind("taobao:pid:p", None))
        seen = set()
        for user_id in (BUYER, INVITER, "u9"):
            for entry in await walk(world, f"/v1/users/{user_id}/ledger", 200):
                assert entry["kind"] in LEDGER_KINDS
                assert entry["role"] in ROLES
                seen.add(entry["reason"])
        assert seen <= LEDGER_REASONS.keys()
        assert {"claim", "binding", "reassigned", "refund-success", "punish-lifted"} <= seen


class TestPages:
    """Limits and cursors."""

    @pytest.mark.parametrize("of_list", LISTS)
    async def test_pages_of_any_size_make_the_same_list(self, world: World, of_list: str) -> None:
        """However large the pages, the items are the same, in the same order, each once."""
        for number in range(23):
            world.orders(
                paid(line_id=f"a{number}"), paid(line_id=f"b{number}", attribution={"pid": f"p{number}"})
            )
            world.users(profile(f"x{number}"))
        whole = await walk(world, f"/v1/{of_list}", 200)
        assert len(whole) >= 23
        for limit in (1, 2, 7, 22, 23, 24):
            assert await walk(world, f"/v1/{of_list}", limit) == whole

    async def test_fifty_is_the_page_without_a_word(self, world: World) -> None:
        """Without `limit` a page has 50 items."""
        world.orders(*(paid(line_id=str(number)) for number in range(60)))
        assert len((await world.read("/v1/users/u1/lines"))["items"]) == 50

    async def test_a_cursor_is_stable_under_change(self, world: World) -> None:
        """What comes or changes between two pages neither repeats nor hides an item."""
        world.orders(*(paid(line_id=str(number)) for number in range(6)))
        first = await world.read("/v1/users/u1/lines?limit=3")
        world.orders(*(paid(line_id=f"new{number}") for number in range(9)), settled(line_id="1"))
        second = await world.read(f"/v1/users/u1/lines?limit=9&cursor={first['next_cursor']}")
        ids = [item["order_line_id"] for item in first["items"] + second["items"]]
        assert ids == ["5", "4", "3", "2", "1", "0"]
        assert second["next_cursor"] is None

    @pytest.mark.parametrize("limit", ["0", "201", "-1", "1.0", "x", "", "%D9%A1", "99999999999999999999"])
    @pytest.mark.parametrize("of_list", LISTS)
    async def test_a_wrong_limit_is_refused(self, world: World, of_list: str, limit: str) -> None:
        """`limit` is 1-200, everything else is 400 `invalid-limit`."""
        join = "&" if "?" in of_list else "?"
        problem(await world.get(f"/v1/{of_list}{join}limit={limit}"), 400, "invalid-limit")

    async def test_a_cursor_of_another_list_is_refused(self, world: World) -> None:
        """A cursor belongs to its list; another's, a torn or an invented one is 400 `invalid-cursor`."""
        world.orders(paid(line_id="1"), paid(line_id="2"))
        cursor = (await world.read("/v1/users/u1/lines?limit=1"))["next_cursor"]
        assert (await world.get(f"/v1/users/u1/lines?cursor={cursor}")).status == 200
        rng = random.Random(7)
        wrong = ["", "0", "x" * 500, "%00", "%E4%BD%A0", cursor[:-1], "A" + cursor[1:], cursor[::-1]]
        wrong += ["".join(rng.choices("abcABC123-_=", k=rng.randint(1, 40))) for _ in range(50)]
        for text in wrong:
            problem(await world.get(f"/v1/users/u1/lines?cursor={text}"), 400, "invalid-cursor")
        for other in ("users/u2/lines", "users/u1/ledger", "users", "attributions?unbound=true"):
            join = "&" if "?" in other else "?"
            target = f"/v1/{other}{join}cursor={cursor}"
            problem(await world.get(target), 400, "invalid-cursor")
