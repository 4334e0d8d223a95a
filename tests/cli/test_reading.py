"""`rebate orders|users|profiles|attributions …`: read from real web servers and stages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.cli.cases import Outcome, run
from tests.web.facts import BUYER, INVITER, LINE_ID, paid, profile, settled, snapshot
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio

#: An attribution id may have any visible character; this one turns the line around.
BIDI_PID = "mm_1_\u202e2_3"
PAID_AT = "2026-01-04T00:00:00+08:00"
AT = "2026-02-01T00:00:00+08:00"


@pytest_asyncio.fixture
async def pair(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Two workers with a buyer, an inviter, and lines of nobody; REBATE_URL is one of them."""
    async with World(workers=2) as world:
        world.users(profile(BUYER, INVITER, "vip"))
        world.orders(paid(), settled())
        for number in range(7):
            pid = {"pid": BIDI_PID if number == 0 else f"mm_1_2_{number}"}
            world.orders(
                snapshot("paid", "2026-01-04T00:00:00+08:00", line_id=f"90{number}", attribution=pid)
            )
            more = snapshot("paid", "2026-01-05T00:00:00+08:00", line_id=f"80{number}")
            world.orders(more | {"attribution": {"user_id": "many"}})
        monkeypatch.setenv("REBATE_URL", world.workers[0].url)
        yield world


async def cli(*arguments: str) -> Outcome:
    """Run a command while the workers of this process answer."""
    return await asyncio.to_thread(run, *arguments)


async def both(world: World, path: str, *arguments: str) -> tuple[Any, Any]:
    """Return what HTTP and `--json` give for a moment."""
    outcome = await cli(*arguments, "--at", AT, "--json")
    assert (outcome.code, outcome.stderr) == (0, "")
    return await world.read(f"{path}?at={quote(AT)}"), outcome.json


class TestOne:
    """One order line, profile, attribution id, user."""

    async def test_json_is_what_http_gives(self, pair: World) -> None:
        """Nothing is renamed or left out."""
        line = f"taobao:{LINE_ID}"
        for path, arguments in (
            (f"/v1/order-lines/taobao/{LINE_ID}", ("orders", "show", line)),
            (f"/v1/users/{BUYER}/profile", ("profiles", "show", BUYER)),
            ("/v1/attributions/taobao:pid:mm_1_2_3", ("attributions", "show", "taobao:pid:mm_1_2_3")),
        ):
            given, shown = await both(pair, path, *arguments)
            assert shown == given
        user = (await cli("users", "show", BUYER, "--at", AT, "--json")).json
        assert user == {
            "user_id": BUYER,
            "profile": await pair.read(f"/v1/users/{BUYER}/profile?at={quote(AT)}"),
            "balance": await pair.read(f"/v1/users/{BUYER}/balance?at={quote(AT)}"),
        }

    async def test_the_text_of_an_order_explains_every_share(self, pair: World) -> None:
        """Owner, shares in yuan, what happened, and the worker's explanation, line by line."""
        text = (await cli("orders", "show", f"taobao:{LINE_ID}")).stdout
        given = await pair.read(f"/v1/order-lines/taobao/{LINE_ID}")
        lines = text.splitlines()
        assert all(sentence in lines for sentence in given["explanation"])
        assert all(f"{each['at']}  {each['kind']}: {each['says']}" in lines for each in given["timeline"])
        (share,) = (row.split() for row in lines if row.startswith(f"{BUYER} "))
        assert "vip" in share
        assert any(cell.startswith("¥") for cell in share)

    async def test_the_text_of_a_user_has_profile_and_money(self, pair: World) -> None:
        """Level, inviter and every bucket."""
        text = (await cli("users", "show", BUYER, "--at", AT)).stdout
        for words in (BUYER, "vip", INVITER, "confirmed   ¥", "available from 2026-02-21 on"):
            assert words in text

    async def test_somebody_never_seen_has_defaults(self, pair: World) -> None:
        """Exit 0, and the text says that no profile was given."""
        outcome = await cli("profiles", "show", "nobody")
        assert outcome.code == 0
        assert "no profile was ever given" in outcome.stdout

    @pytest.mark.parametrize(
        ("arguments", "code", "message"),
        [
            (("orders", "show", "taobao:404"), 1, "unknown-line"),
            (("orders", "show", LINE_ID), 2, "PLATFORM:ORDER_LINE_ID"),
            (("profiles", "show", "a b"), 2, "invalid-user_id"),
            (("users", "show", ".."), 0, ""),
            (("users", "lines", BUYER, "--cursor", "x"), 2, "invalid-cursor"),
            (("attributions", "show", "x"), 2, "invalid-attribution_id"),
        ],
    )
    async def test_mistakes(self, pair: World, arguments: tuple[str, ...], code: int, message: str) -> None:
        """What is not there is 1, what cannot be is 2; stdout stays empty then."""
        outcome = await cli(*arguments)
        assert outcome.code == code, outcome.stderr
        assert message in outcome.stderr
        assert (outcome.stdout == "") == (code != 0)


class TestLists:
    """`{"items": […], "next_cursor": null}`, pages read as needed."""

    @pytest.mark.parametrize(
        ("arguments", "path", "count"),
        [
            (("users", "lines", "many"), "/v1/users/many/lines", 7),
            (("users", "ledger", "many"), "/v1/users/many/ledger", 7),
            (("attributions", "list"), "/v1/attributions?unbound=true", 7),
        ],
    )
    async def test_a_list_is_whole_or_says_where_it_goes_on(
        self, pair: World, arguments: tuple[str, ...], path: str, count: int
    ) -> None:
        """Limits below and above a page; following the cursor gives every item once, in HTTP's order."""
        whole = (await cli(*arguments, "--limit", "1000", "--json")).json
        assert list(whole) == ["items", "next_cursor"]
        assert whole["items"] == (await pair.read(path))["items"]
        assert (len(whole["items"]), whole["next_cursor"]) == (count, None)
        found: list[Any] = []
        cursor: list[str] = []
        pages = 0
        while True:
            page = (await cli(*arguments, "--limit", "3", *cursor, "--json")).json
            assert len(page["items"]) <= 3
            found += page["items"]
            pages += 1
            if page["next_cursor"] is None:
                break
            cursor = ["--cursor", page["next_cursor"]]
        assert found == whole["items"]
        assert pages >= 3

    async def test_more_items_than_a_page_of_http(self, pair: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """The command reads page after page; 200 is the limit of a request only."""
        monkeypatch.setattr("rebate_app.cli.worker_client.PAGE_ITEMS", 2)
        outcome = await cli("users", "lines", "many", "--limit", "5", "--json")
        assert len(outcome.json["items"]) == 5
        assert outcome.json["next_cursor"] is not None

    async def test_text_says_that_there_is_more(self, pair: World) -> None:
        """On stderr, with the option that shows it; nothing where the list is whole."""
        outcome = await cli("users", "lines", "many", "--limit", "2")
        assert len(outcome.stdout.splitlines()) == 3
        assert "--cursor" in outcome.stderr
        assert (await cli("users", "lines", "many")).stderr == ""
        assert (await cli("users", "lines", "nobody")).stdout == "nobody has no lines.\n"

    async def test_hostile_ids_are_escaped(self, pair: World) -> None:
        """A pid that turns the rest of the line around is shown as its escape, in text and in JSON."""
        for more in ((), ("--json",)):
            outcome = await cli("attributions", "list", *more)
            assert "\u202e" not in outcome.stdout
            assert "\\u202e" in outcome.stdout


class TestBalances:
    """`users balance` against real workers."""

    async def test_the_table_is_sorted_and_ends_with_the_totals(self, pair: World) -> None:
        """By user; the last row sums amounts and counts."""
        header, *rows, total = (await cli("users", "balance", "--all", "--at", AT)).stdout.splitlines()
        users = [row.split()[0] for row in rows]
        assert users == sorted([BUYER, INVITER, "many"])
        assert total.startswith("total (3 users)")
        named = (await cli("users", "balance", *reversed(users), "--at", AT)).stdout.splitlines()
        assert named == [header, *rows, total]
        cents = [[_fen(cell) for cell in row.split()[1:6]] for row in rows]
        assert [_fen(cell) for cell in total.split()[3:8]] == [
            sum(column) for column in zip(*cents, strict=True)
        ]


def _fen(cell: str) -> int:
    return int(cell.replace("¥", "").replace(".", ""))
