"""Results of payouts by hand over HTTP: written by the owners of both workers, checked, and dated."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from examples.simulators.payouts.__main__ import channel_entry
from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.payouts.files import RESULT_COLUMNS, read_results
from rebate_app.payouts.manual_payouts import ManualPayouts
from rebate_app.payouts.partition import PartitionTable
from rebate_app.web.resources.manual_payouts import _row_of
from rebate_app.wire.facts.payouts import Author, encode_payout_fact
from rebate_app.wire.moments import DAY_US, HOUR_US, MILLISECOND_US, format_moment
from tests.money_out.bank import FREELY, rules_with
from tests.topology_driver import ACCOUNTS, TOPICS
from tests.web.payout_rooms import MANUAL, Room, Topic
from tests.web.test_withdrawals import fund, owners
from tests.web.worlds import World, problem

WORD = st.sampled_from(["a" * 32, "paid", "r" * 64, "r" * 65, "a b", "3.9E+17", "号", "-", ""])
YUAN = st.sampled_from(
    ["9.95", "0", "10000000", "10000000.00", "10000000.01", "9999999999", "1.005", "-1", "x"]
)
AT = st.sampled_from(["", "2026-03-01t00:00:00z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+08:00", "now"])
GOOD = {"payout_no": "a" * 32, "status": "paid", "amount_yuan": "1", "channel_ref": "", "code": "", "at": ""}
#: A good row with one cell that may be anything.
LINE = st.sampled_from(RESULT_COLUMNS).flatmap(
    lambda name: st.one_of({"amount_yuan": YUAN, "at": AT}.get(name, WORD), st.text(max_size=3)).map(
        lambda cell: [(GOOD | {name: cell})[each] for each in RESULT_COLUMNS]
    )
)
ANY = "/v1/payouts/results"
BANK = "/v1/channels/bank/results"
#: Two manual channels; one of them has the name of a service.
BY_HAND = MANUAL + '[[channel]]\nname = "alipay"\nkind = "manual"\n'
USERS = ("u1", "u2", "u3")
BEGUN_US = time.time_ns() // 1_000_000 * MILLISECOND_US - 3 * DAY_US


class Log:
    """The user log of a world (implements Journal)."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def append(self, fact: PayoutAttempt | PayoutResult) -> None:
        """Write and fold."""
        key, value = encode_payout_fact(fact, Author("rebate", "log-1"))
        self._world.stream.send(TOPICS.user_log, key, value, self._world.clock())
        self._world.stream.run()


class PayingRoom(Room):
    """One whose worker pays by hand."""

    world: World

    def manual(self, partition: int) -> ManualPayouts:
        """Return the payouts of a partition."""
        table = PartitionTable(self.world.stream.stores[ACCOUNTS, partition])
        return ManualPayouts(table, Log(self.world), self._books[partition])


class ByHand:
    """Two workers, and a payout of each user that was exported three days ago; `numbers`: by user."""

    def __init__(self, folder: Path, channels: str = BY_HAND) -> None:
        self.rooms: list[PayingRoom] = []

        def room(clock: object) -> dict[str, Room]:
            self.rooms.append(PayingRoom(folder, 8, Topic(), channels))
            return {"payouts": self.rooms[-1]}

        self.world = World(workers=2, book=rules_with(FREELY), security=room, decides=True)
        for each in self.rooms:
            each.world = self.world
        self.numbers: dict[str, str] = {}

    async def export(self) -> None:
        """Request and attempt; u1 and u2 are paid by the bank, u3 through the other channel."""
        for user_id in USERS:
            await fund(self.world, user_id=user_id)
            channel = "alipay" if user_id == "u3" else "bank"
            request = {
                "kind": "withdrawal.request",
                "withdrawal_id": "w1",
                "amount": 1_000,
                "channel": channel,
            }
            more = {"schema": "user-fact/1", "user_id": user_id, "payee_id": "p1", "actor": f"user:{user_id}"}
            self.world.users(request | more)
            owners(self.world, PayoutAttempt(user_id, "w1", 1, channel, "identity", "x1", BEGUN_US))
            self.numbers[user_id] = (await self.withdrawal(user_id))["payout_no"]

    async def withdrawal(self, user_id: str) -> Any:
        """Return a user's withdrawal."""
        return await self.world.read(f"/v1/users/{user_id}/withdrawals/w1")

    async def states(self) -> list[str]:
        """Return the states of all withdrawals."""
        return [(await self.withdrawal(user_id))["state"] for user_id in USERS]

    def rows(self, *users: str, **members: object) -> list[dict[str, object]]:
        """Return rows that say paid."""
        return [
            {"payout_no": self.numbers[each], "status": "paid", "amount": 1_000} | members for each in users
        ]


@pytest_asyncio.fixture
async def by_hand(tmp_path: Path) -> AsyncIterator[ByHand]:
    """Yield two workers."""
    made = ByHand(tmp_path)
    async with made.world:
        await made.export()
        yield made


async def post(by_hand: ByHand, target: str, rows: object, **members: object) -> Any:
    """Send results; return the answer."""
    reply = await by_hand.world.send("POST", target, {"rows": rows} | members, worker=1)
    assert reply.status == 200, reply.body
    return reply.json


@pytest.mark.asyncio
class TestWhichPayouts:
    """A number finds its payout."""

    async def test_in_every_manual_channel(self, by_hand: ByHand) -> None:
        """Whichever worker owns it."""
        found = await post(
            by_hand, ANY, [*by_hand.rows(*USERS), {"payout_no": "x", "status": "paid", "amount": 1}]
        )
        assert found == {"accepted": 3, "unchanged": 0, "refused": [{"row": 4, "code": "unknown-payout"}]}
        assert await by_hand.states() == ["paid"] * 3

    async def test_in_the_channel_that_is_named(self, by_hand: ByHand) -> None:
        """A payout of another one is unknown there."""
        found = await post(by_hand, BANK, by_hand.rows("u3", "u1"))
        assert found == {"accepted": 1, "unchanged": 0, "refused": [{"row": 1, "code": "unknown-payout"}]}
        assert await by_hand.states() == ["paid", "sending", "sending"]

    async def test_never_in_one_that_pays_by_itself(self, tmp_path: Path) -> None:
        """What a service does is not for files to say."""
        service = channel_entry("http", "http://127.0.0.1:2", tmp_path)
        made = ByHand(tmp_path, MANUAL + service.replace('name = "http"', 'name = "alipay"'))
        async with made.world:
            await made.export()
            found = await post(made, ANY, made.rows("u3", "u1"))
        assert found == {"accepted": 1, "unchanged": 0, "refused": [{"row": 1, "code": "unknown-payout"}]}

    async def test_without_a_manual_channel(self, tmp_path: Path) -> None:
        """404."""
        made = ByHand(tmp_path, "")
        async with made.world:
            problem(await made.world.send("POST", ANY, {"rows": []}), 404, "unknown-channel")


@pytest.mark.asyncio
class TestNothingWritten:
    """`strict` and `dry_run`."""

    async def test_strict(self, by_hand: ByHand) -> None:
        """One refused row is enough, and none is not."""
        rows = by_hand.rows("u1") + by_hand.rows("u2", amount=999)
        found = await post(by_hand, ANY, rows, strict=True)
        assert found == {"accepted": 0, "unchanged": 0, "refused": [{"row": 2, "code": "amount"}]}
        assert await by_hand.states() == ["sending"] * 3
        assert (await post(by_hand, ANY, rows[:1], strict=True))["accepted"] == 1

    async def test_dry_run(self, by_hand: ByHand) -> None:
        """Every row is checked, and none is taken."""
        found = await post(by_hand, ANY, by_hand.rows("u1") + by_hand.rows("u2", amount=999), dry_run=True)
        assert found == {"accepted": 0, "unchanged": 0, "refused": [{"row": 2, "code": "amount"}]}
        assert await by_hand.states() == ["sending"] * 3

    async def test_bad_flags(self, by_hand: ByHand) -> None:
        """Neither 1 nor null."""
        for name in ("strict", "dry_run"):
            reply = await by_hand.world.send("POST", ANY, {"rows": [], name: 1})
            problem(reply, 422, f"invalid-{name}")


@pytest.mark.asyncio
class TestMoments:
    """When a payout was paid, as the file says."""

    async def test_the_row_says_when(self, by_hand: ByHand) -> None:
        """In the result, and for good in the withdrawal."""
        at = format_moment(BEGUN_US + HOUR_US)
        await post(by_hand, ANY, by_hand.rows("u1", at=at))
        found = await by_hand.withdrawal("u1")
        assert (found["result"]["at"], found["paid_at"], found["returned_at"]) == (at, at, None)
        later = format_moment(BEGUN_US + DAY_US)
        await post(by_hand, ANY, by_hand.rows("u1", status="returned", at=later))
        found = await by_hand.withdrawal("u1")
        assert (found["result"]["at"], found["paid_at"], found["returned_at"]) == (later, at, later)

    @pytest.mark.parametrize("days", [-1, 30])
    async def test_a_moment_that_cannot_be(self, by_hand: ByHand, days: int) -> None:
        """Before the attempt, or in the future: the row counts, and is of now."""
        before = time.time_ns() // 1_000
        assert (await post(by_hand, ANY, by_hand.rows("u1", at=format_moment(BEGUN_US + days * DAY_US))))[
            "accepted"
        ] == 1
        shown = (await by_hand.withdrawal("u1"))["paid_at"]
        assert format_moment(before // 1_000 * 1_000) <= shown <= format_moment(before + HOUR_US)

    @pytest.mark.parametrize("at", ["yesterday", "", 5, "2026-11-28T10:00:00"])
    async def test_what_is_no_moment(self, by_hand: ByHand, at: object) -> None:
        """422, as for every member."""
        reply = await by_hand.world.send("POST", ANY, {"rows": by_hand.rows("u1", at=at)})
        found = problem(reply, 422, "invalid-rows")
        assert found["errors"][0]["pointer"] == "/rows/0/at"


@given(st.lists(LINE, max_size=20))
def test_a_row_that_is_sent_has_the_form_that_http_asks_for(lines: list[list[str]]) -> None:
    """So no row of a file can refuse the request that carries the others."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerows([RESULT_COLUMNS, *lines])
    found = read_results(out.getvalue().encode())
    for row, members in found.rows:
        assert _row_of(row, members).payout_no == members["payout_no"]
