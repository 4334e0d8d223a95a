"""Payees and channels over HTTP, asked of the owner and of another worker."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from examples.simulators.payouts.book import Payout
from examples.simulators.payouts.http_service import HttpService
from rebate_app.metrics.catalogue import AUDIT_TRAIL_RECORDS
from rebate_app.payouts.remembered_ends import RememberedEnds
from rebate_app.streams.state.log_identity import LogIds
from rebate_app.streams.state.log_memory import NOBODY_REMEMBERS, LogMemory
from rebate_app.streams.task.owner_writes import WriteDroppedError
from rebate_app.web.resources.log_ends import ask_members
from rebate_app.wire.channel_states import ChannelState
from tests.money_out.bank import FREELY, rules_with
from tests.web.facts import BUYER
from tests.web.payout_rooms import Room, Topic
from tests.web.test_withdrawals import BODY, fund
from tests.web.worlds import World, problem

pytestmark = pytest.mark.asyncio
PATH = f"/v1/users/{BUYER}/payees"
PAYEE = {"channel": "bank", "account": "6222021234567890123", "name": "张三丰"}
MASKED = {"channel": "bank", "account": "622************0123", "name": "**丰"}


class Paying:
    """Two workers, their rooms, and the topic of payees."""

    def __init__(self, folder: Path) -> None:
        self.topic = Topic()
        self.rooms: list[Room] = []

        def room(clock: object) -> dict[str, Room]:
            self.rooms.append(Room(folder, 8, self.topic))
            return {"payouts": self.rooms[-1]}

        self.world = World(workers=2, book=rules_with(FREELY), security=room, decides=True)


@pytest_asyncio.fixture
async def paying(tmp_path: Path) -> AsyncIterator[Paying]:
    """Yield two workers."""
    made = Paying(tmp_path)
    async with made.world:
        yield made


@pytest.mark.parametrize("worker", [0, 1])
class TestPayees:
    """Kept, listed, used, forgotten."""

    async def test_the_life_of_a_payee(self, paying: Paying, worker: int) -> None:
        """Masked in every answer, and sealed at rest."""
        world = paying.world
        reply = await world.send("POST", PATH, PAYEE, worker)
        payee_id = reply.json["payee_id"]
        assert (reply.status, reply.json) == (201, MASKED | {"payee_id": payee_id})
        assert (await world.send("POST", PATH, PAYEE, worker)).json["payee_id"] == payee_id
        assert (await world.read(PATH, 1 - worker))["items"] == [MASKED | {"payee_id": payee_id}]
        assert b"6222" not in b"".join(paying.topic.values.values())
        await fund(world)
        wanted = BODY | {"payee_id": payee_id}
        shown = await world.send("POST", f"/v1/users/{BUYER}/withdrawals", wanted, worker)
        assert shown.json["payee"]["account"] == MASKED["account"]
        used = await world.send("DELETE", f"{PATH}/{payee_id}", {}, worker)
        problem(used, 409, "payee-in-use")
        await world.send("POST", f"/v1/users/{BUYER}/withdrawals/w1/cancel", {"reason": "r"}, worker)
        for _ in range(2):
            assert (await world.send("DELETE", f"{PATH}/{payee_id}", {}, worker)).status == 200
        assert (await world.read(PATH, worker))["items"] == []
        assert paying.topic.values == {}

    async def test_a_bad_body_names_each_member_and_repeats_none(self, paying: Paying, worker: int) -> None:
        """422."""
        body = {"channel": "x", "account": "", "name": "\n", "z": 1, "user_id": BUYER}
        reply = await paying.world.send("POST", PATH, body, worker)
        found = problem(reply, 422, "unknown-member")
        codes = [each["code"] for each in found["errors"]]
        assert codes == ["unknown-member", "unknown-channel", "invalid-account", "invalid-name"]

    async def test_not_ready(self, paying: Paying, worker: int) -> None:
        """503 while the owner reads its payees, or cannot write."""
        for room in paying.rooms:
            room.ready = False
        problem(await paying.world.send("POST", PATH, PAYEE, worker), 503, "not-ready")
        problem(await paying.world.get(PATH, worker), 503, "not-ready")
        wanted = BODY | {"payee_id": "p"}
        problem(
            await paying.world.send("POST", f"/v1/users/{BUYER}/withdrawals", wanted, worker),
            503,
            "not-ready",
        )
        for room in paying.rooms:
            room.ready = True
        for error in (WriteDroppedError("closed"), OSError("away")):
            paying.topic.fails = error
            assert (await paying.world.send("POST", PATH, PAYEE, worker)).status == 503

    async def test_a_change_and_its_record_are_one_transaction(self, paying: Paying, worker: int) -> None:
        """Written with the payee, by its owner, and not again; what changes nothing is recorded alone."""
        world, alone = paying.world, paying.world.workers[worker].trail
        payee_id = (await world.send("POST", PATH, PAYEE, worker)).json["payee_id"]
        (record,) = paying.topic.trail
        assert (record.action, record.subject, record.status) == ("payees.post", BUYER, 202)
        assert "6222" not in repr(record)
        assert alone.records == []
        assert world.workers[worker].metrics.count(AUDIT_TRAIL_RECORDS, ("written",)) == 1
        await world.send("POST", PATH, PAYEE, worker)
        assert [each.status for each in alone.records] == [202]
        await world.send("DELETE", f"{PATH}/{payee_id}", {}, worker)
        await world.send("DELETE", f"{PATH}/{payee_id}", {}, worker)
        assert [each.action for each in paying.topic.trail] == ["payees.post", "payee.delete"]
        assert [each.action for each in alone.records] == ["payees.post", "payee.delete"]
        assert {each.status for each in (*paying.topic.trail, *alone.records)} == {202}

    async def test_nothing_is_changed_where_nothing_can_be_recorded(
        self, paying: Paying, worker: int
    ) -> None:
        """503, for payees, their rotation, channels, exports and results."""
        world = paying.world
        payee_id = (await world.send("POST", PATH, PAYEE, worker)).json["payee_id"]
        values, states = dict(paying.topic.values), [dict(each.states.entries) for each in paying.rooms]
        for each in world.workers:
            each.trail.away = True
        paying.topic.fails = OSError("the broker refuses the record of the trail")
        for method, path, body in (
            ("POST", PATH, PAYEE),
            ("POST", PATH, PAYEE | {"account": "another"}),
            ("DELETE", f"{PATH}/{payee_id}", {}),
            ("POST", "/v1/payees/rotate", {}),
            ("POST", "/v1/channels/bank/open", {"reason": "r"}),
            ("POST", "/v1/channels/bank/exports", {"export_id": "x"}),
            ("POST", "/v1/channels/bank/results", {"rows": []}),
        ):
            reply = await world.send(method, path, body, worker)
            assert (reply.status, path) == (503, path)
        for room in paying.rooms:
            room.ready = False
        for path, body in (("payees/rotate", {}), ("channels/bank/exports", {"export_id": "x"})):
            reply = await world.send("POST", f"/v1/{path}", body, worker)
            problem(reply, 503, "broker-away")  # the owners, who are not ready, were not even asked
        assert paying.topic.values == values
        assert [dict(each.states.entries) for each in paying.rooms] == states

    async def test_at_most_a_hundred(self, paying: Paying, worker: int) -> None:
        """409."""
        for number in range(100):
            body = PAYEE | {"account": f"account-{number}"}
            assert (await paying.world.send("POST", PATH, body, worker)).status == 201
        problem(await paying.world.send("POST", PATH, PAYEE, worker), 409, "too-many-payees")
        reply = await paying.world.send("POST", "/v1/payees/rotate", {}, worker)
        assert reply.json == {"rotated": 0, "unreadable": 0}


@pytest.mark.parametrize("worker", [0, 1])
class TestChannels:
    """Open, pause, close, callbacks."""

    async def test_states(self, paying: Paying, worker: int) -> None:
        """Those of the file, closed until somebody opens them."""
        found = (await paying.world.read("/v1/channels", worker))["items"]
        assert [(item["name"], item["kind"], item["state"]) for item in found] == [
            ("bank", "manual", "closed"),
            ("http", "http", "closed"),
        ]
        assert found[0]["since"] is None

    @pytest.mark.parametrize(("verb", "state"), [("open", "open"), ("pause", "paused"), ("close", "closed")])
    async def test_setting(self, paying: Paying, worker: int, verb: str, state: str) -> None:
        """Confirmed once all workers act by it."""
        for room in paying.rooms:  # as each reads the topic
            room.states.entries["bank"] = ChannelState(state, "key:x", "why", 1)  # type: ignore[arg-type]
        reply = await paying.world.send("POST", f"/v1/channels/bank/{verb}", {"reason": "r"}, worker)
        assert (reply.status, reply.json["state"], reply.json["confirmed"]) == (200, state, True)

    async def test_unknown_channels(self, paying: Paying, worker: int) -> None:
        """404, also for exports of one that pays by itself."""
        for target in ("/v1/channels/x/open", "/v1/payout-notifications/x", "/v1/channels/http/exports"):
            problem(await paying.world.send("POST", target, {}, worker), 404, "unknown-channel")

    async def test_by_hand(self, paying: Paying, worker: int) -> None:
        """Bad bodies are refused; an owner that may not pay is not ready."""
        world = paying.world
        problem(await world.send("POST", "/v1/channels/bank/exports", {}, worker), 422, "invalid-export_id")
        exported = await world.send("POST", "/v1/channels/bank/exports", {"export_id": "x"}, worker)
        problem(exported, 503, "not-ready")
        row: dict[str, object] = {"payout_no": "a", "status": "paid", "amount": 1}
        wrong: list[dict[str, object]] = [
            {"amount": "1"},
            {"status": "a b"},
            {"payout_no": None},
            {"code": 0},
            {"channel_ref": {}},
            {"channel_ref": "a b"},
            {"code": "a/b"},
            {"x": 1},
        ]
        for rows in (None, [1], [{"amount": 1}], *([row | each] for each in wrong)):
            reply = await world.send("POST", "/v1/channels/bank/results", {"rows": rows}, worker)
            problem(reply, 422, "invalid-rows")
        reply = await world.send("POST", "/v1/channels/bank/results", {"rows": []}, worker)
        assert reply.json == {"accepted": 0, "unchanged": 0, "refused": []}
        for reference in (None, "", "SIM/0001", "2026:12"):
            rows = [row | {"channel_ref": reference}]
            reply = await world.send("POST", "/v1/channels/bank/results", {"rows": rows}, worker)
            problem(reply, 503, "not-ready")

    async def test_callbacks(self, paying: Paying, worker: int, tmp_path: Path) -> None:
        """202 for any number that is signed: each partition is asked whether it watches it."""
        path = "/v1/payout-notifications/http"
        problem(await paying.world.send("POST", path, {}, worker), 403, "invalid-signature")
        secret = (tmp_path / "http.secret").read_bytes().strip()
        service = HttpService(secret, notify_url="http://x" + path)
        now = paying.world.clock() / 1e6
        payout = Payout("nobody-knows", 1, "", "r", now, [(0, "paid")], now)
        service.book.ahead_seconds = now - time.time()
        body, headers = service.callback(payout)
        at = str(int(now))
        headers = {"X-Rebate-Timestamp": at, "X-Rebate-Signature": service._signature(at, "POST", path, body)}
        reply = await paying.world.ask("POST", path, worker=worker, headers=headers, body=body)
        assert (reply.status, reply.json) == (202, {"accepted": True})
        prompted = paying.rooms[0].prompted + paying.rooms[1].prompted
        every = list(range(paying.world.stream.partitions))
        assert sorted(number for number, _ in prompted) == every
        searched = paying.rooms[0].searched + paying.rooms[1].searched
        assert sorted(number for number, _ in searched) == every, "nobody watches it"
        for strange in (b'{"payout_no": 5, "amount": "x"}', b"{"):
            signed = {"X-Rebate-Signature": service._signature(at, "POST", path, strange)}
            reply = await paying.world.ask(
                "POST", path, worker=worker, headers=headers | signed, body=strange
            )
            assert (reply.status, reply.json) == (202, {"accepted": True})
        assert len(prompted) == len(paying.rooms[0].prompted + paying.rooms[1].prompted)
        for room in paying.rooms:
            room.known = "nobody-knows"
        reply = await paying.world.ask("POST", path, worker=worker, headers=headers, body=body)
        assert reply.status == 202
        assert len(searched) == len(paying.rooms[0].searched + paying.rooms[1].searched), "it is watched"
        counted = paying.world.workers[worker].context.metrics.exposition().decode()
        for outcome, count in {"refused": 1, "unknown": 3, "known": 1}.items():
            assert f'rebate_payout_callbacks_total{{outcome="{outcome}"}} {count}.0' in counted


async def test_without_channels() -> None:
    """A worker without REBATE_CHANNELS has none, and keeps no payees."""
    async with World() as world:
        assert (await world.read("/v1/channels"))["items"] == []
        problem(await world.send("POST", PATH, PAYEE), 422, "unknown-channel")
        problem(await world.get(PATH), 404, "unknown-channel")


class TestLogEnds:
    """What the other members of a group remember of the user log (attack 9)."""

    async def test_members_answer_what_they_remember(self, paying: Paying, tmp_path: Path) -> None:
        """One that remembers nothing is left out, one that does not answer is None."""
        one, two = paying.world.workers
        for worker in (one, two):
            worker.placement.members = {each.url: {} for each in (one, two)}
        assert await ask_members(one.context) == []
        memory = LogMemory(tmp_path, "rebate")
        ids = LogIds("c1", {"rebate-user-log": "t1"})
        memory.begin(ids, {("rebate-user-log", 0): 5}, NOBODY_REMEMBERS)
        paying.rooms[1].ends._memory = lambda: memory
        for settled in (False, True):
            assert await ask_members(one.context) == [RememberedEnds("c1", "t1", {0: 5}, settled)]
            memory.settle("rebate-user-log", {})
        assert await ask_members(two.context) == []
        await two.stop()
        assert await ask_members(one.context) == [None]
