"""Withdrawals, adjustments, openings and blocks over HTTP (docs/money-out.md#over-http)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import orjson
import pytest
import pytest_asyncio

from rebate_app.domain.money_out.facts import PayoutAttempt, PayoutResult
from rebate_app.domain.pricing.withdraw_rules import WithdrawRules
from rebate_app.web.routing.ports import MaskedPayee
from rebate_app.wire.facts.payouts import Author, encode_payout_fact
from tests.money_out.bank import FREELY, REVIEWED, rules_with
from tests.topology_driver import TOPICS
from tests.web.facts import BUYER
from tests.web.secured import bearer, key_token, secured, user_token
from tests.web.worlds import Reply, World, problem, walk

pytestmark = pytest.mark.asyncio

PATH = f"/v1/users/{BUYER}/withdrawals"
BODY = {"withdrawal_id": "w1", "amount": 1_000, "channel": "bank", "payee_id": "p1", "memo": "thanks"}
REASON = {"reason": "because"}


class Payees:
    """Every user has payee p1 of the bank (implements the port)."""

    def find(self, partition: int, user_id: str, payee_id: str) -> MaskedPayee | None:
        """Return it."""
        del partition, user_id
        return MaskedPayee("bank", "622****1234", "Li*") if payee_id == "p1" else None


def with_payees(clock: Callable[[], int]) -> Mapping[str, Any]:
    """Return the members of `Api` of a worker without authentication."""
    del clock
    return {"payees": Payees()}


def with_keys(clock: Callable[[], int]) -> Mapping[str, Any]:
    """Return those of one with authentication."""
    return {**secured(clock), "payees": Payees()}


def world_of(section: WithdrawRules, *, keys: bool = False) -> World:
    """Return two workers whose app decides withdrawals."""
    security = with_keys if keys else with_payees
    return World(workers=2, book=rules_with(section), security=security, decides=True)


async def fund(world: World, amount: int = 100_000, user_id: str = BUYER) -> None:
    """Give a user available money."""
    name = f"f{world.stream.partitions}-{amount}"
    proposal = {"kind": "adjustment.propose", "adjustment_id": name, "amount": amount, "reason_code": "other"}
    approval = {"kind": "adjustment.approve", "adjustment_id": name}
    both = {"schema": "user-fact/1", "user_id": user_id, "reason": "r"}
    world.users(both | proposal | {"actor": "key:x"}, both | approval | {"actor": "key:y"})


@pytest_asyncio.fixture
async def free() -> AsyncIterator[World]:
    """No reviews, and a user with 1,000 yuan."""
    async with world_of(FREELY) as world:
        await fund(world)
        yield world


@pytest_asyncio.fixture
async def reviewed() -> AsyncIterator[World]:
    """Everything is reviewed, with authentication on."""
    async with world_of(REVIEWED, keys=True) as world:
        await fund(world)
        yield world


def owners(world: World, *facts: Any) -> None:
    """Write what an owner writes."""
    for fact in facts:
        key, value = encode_payout_fact(fact, Author("rebate", "log-1"))
        world.stream.send(TOPICS.user_log, key, value, world.clock())
        world.stream.run()


async def post(world: World, who: str, target: str, body: Any) -> Reply:
    """Send a JSON body with a token."""
    headers = {"Content-Type": "application/json", **bearer(who)}
    return await world.ask("POST", target, worker=1, headers=headers, body=orjson.dumps(body))


class TestRequest:
    """`POST …/withdrawals`."""

    async def test_accepted(self, free: World) -> None:
        """201 with the whole withdrawal; balance and ledger show it."""
        reply = await free.send("POST", PATH, BODY, 1)
        item = reply.json
        assert (reply.status, item["state"], item["amount"], item["net"]) == (201, "approved", 1_000, 1_000)
        assert item["payee"] == {"payee_id": "p1", "account": "622****1234", "name": "Li*"}
        assert (item["payout_no"] is not None, item["memo"], item["attempts"]) == (True, "thanks", [])
        assert await free.read(f"{PATH}/w1", 1) == item
        balance = await free.read(f"/v1/users/{BUYER}/balance")
        assert (balance["available"], balance["frozen"], balance["withdrawn"]) == (99_000, 1_000, 0)
        (entry, *_) = (await free.read(f"/v1/users/{BUYER}/ledger"))["items"]
        shown = {name: entry[name] for name in ("kind", "settled", "frozen", "withdrawn", "withdrawal_id")}
        assert shown == {
            "kind": "withdraw",
            "settled": -1_000,
            "frozen": 1_000,
            "withdrawn": 0,
            "withdrawal_id": "w1",
        }

    async def test_repeated(self, free: World) -> None:
        """200 with what became of it, and nothing is sent; another content is refused."""
        await free.send("POST", PATH, BODY)
        sent = len(free.stream.log(TOPICS.user_log, free.stream.partition_of(BUYER)))
        reply = await free.send("POST", PATH, BODY, 1)
        assert (reply.status, reply.json["withdrawal_id"]) == (200, "w1")
        problem(await free.send("POST", PATH, BODY | {"amount": 1_001}), 409, "id-reused")
        assert len(free.stream.log(TOPICS.user_log, free.stream.partition_of(BUYER))) == sent

    async def test_the_key_of_idempotency_stands_for_the_id(self, free: World) -> None:
        """A malformed one is a fault of the id."""
        body = {name: value for name, value in BODY.items() if name != "withdrawal_id"}
        headers = {"Content-Type": "application/json", "Idempotency-Key": "k-1"}
        reply = await free.ask("POST", PATH, headers=headers, body=orjson.dumps(body))
        assert (reply.status, reply.json["withdrawal_id"]) == (201, "k-1")
        headers["Idempotency-Key"] = "no spaces"
        problem(
            await free.ask("POST", PATH, headers=headers, body=orjson.dumps(body)),
            422,
            "invalid-withdrawal_id",
        )
        problem(await free.send("POST", PATH, body), 422, "missing-withdrawal_id")

    async def test_refused(self, free: World) -> None:
        """The reason is the code, and the withdrawal is there."""
        reply = await free.send("POST", PATH, BODY | {"amount": 100_001})
        answer = problem(reply, 422, "insufficient")
        assert (answer["withdrawal"]["state"], answer["withdrawal"]["reason"]) == ("refused", "insufficient")
        assert (await free.send("POST", PATH, BODY | {"amount": 100_001})).status == 200

    async def test_an_unknown_payee(self, free: World) -> None:
        """Or one of another channel: before anything is written."""
        sent = len(free.stream.log(TOPICS.user_log, free.stream.partition_of(BUYER)))
        problem(await free.send("POST", PATH, BODY | {"payee_id": "p2"}), 422, "unknown-payee")
        problem(await free.send("POST", PATH, BODY | {"channel": "alipay"}), 422, "unknown-payee")
        assert len(free.stream.log(TOPICS.user_log, free.stream.partition_of(BUYER))) == sent

    async def test_without_payees_nobody_withdraws(self) -> None:
        """A worker that keeps none knows none."""
        async with World(book=rules_with(FREELY), decides=True) as world:
            await fund(world)
            problem(await world.send("POST", PATH, BODY), 422, "unknown-payee")

    async def test_time_is_up(self, free: World) -> None:
        """202 with a place to look; it is decided later."""
        for worker in free.workers:
            worker.sender.processes = False
        reply = await free.send("POST", f"{PATH}?wait_ms=0", BODY)
        assert (reply.status, reply.headers["Location"]) == (202, f"{PATH}/w1")
        assert reply.json["state"] == "requested"
        problem(await free.get(f"{PATH}/w1"), 404, "unknown-withdrawal")
        free.stream.run()
        assert (await free.read(f"{PATH}/w1"))["state"] == "approved"

    async def test_the_fifty_first_of_a_day(self, free: World) -> None:
        """429, and it is not remembered."""
        request = {"schema": "user-fact/1", "kind": "withdrawal.request", "user_id": BUYER, "actor": "key:x"}
        for number in range(50):
            free.users(request | BODY | {"withdrawal_id": f"n{number}"})
        problem(await free.send("POST", PATH, BODY), 429, "too-many-requests")
        problem(await free.get(f"{PATH}/w1"), 404, "unknown-withdrawal")

    async def test_faults(self, free: World) -> None:
        """Every fault at once."""
        reply = await free.send("POST", PATH, BODY | {"amount": 0, "memo": "x" * 65, "extra": 1})
        codes = [error["code"] for error in problem(reply, 422, "invalid-amount")["errors"]]
        assert codes == ["invalid-amount", "invalid-memo", "unknown-member"]


class TestVerdicts:
    """Staff and users."""

    async def test_a_review(self, reviewed: World) -> None:
        """The key that requested may not approve; another one may, and it is in the trail."""
        key = key_token("admin")
        reply = await post(reviewed, key_token("withdrawals:write"), PATH, BODY)
        assert (reply.status, reply.json["state"], reply.json["approvals_needed"]) == (201, "review", 1)
        problem(await post(reviewed, key, f"{PATH}/w2/approve", REASON), 404, "unknown-withdrawal")
        problem(await post(reviewed, key, f"{PATH}/w1/approve", {}), 422, "missing-reason")
        reply = await post(reviewed, key, f"{PATH}/w1/approve", REASON)
        item = reply.json
        assert (reply.status, item["state"]) == (200, "approved")
        assert [approval["actor"] for approval in item["approvals"]] == ["key:admin"]
        problem(await post(reviewed, key, f"{PATH}/w1/approve", REASON), 409, "wrong-state")
        reply = await post(reviewed, key, f"{PATH}/w1/cancel", REASON)
        assert (reply.json["state"], reply.json["reason"]) == ("cancelled", "because")
        records = reviewed.workers[1].trail.records
        assert ("withdrawal.approve", "because") in [(record.action, record.reason) for record in records]
        assert {record.status for record in records} == {202, 404, 422}  # a 409 was written first

    async def test_the_trail_says_accepted_whatever_the_answer(self, reviewed: World) -> None:
        """Created, known already, or decided: what became of it is in the log."""
        key = key_token("admin")
        proposal = {"adjustment_id": "a1", "amount": 5, "reason_code": "goodwill", "reason": "because"}
        statuses = [
            (await post(reviewed, key, path, body)).status
            for path, body in (
                (PATH, BODY),
                (PATH, BODY),
                *[(f"/v1/users/{BUYER}/adjustments", proposal)] * 2,
            )
        ]
        assert statuses == [201, 200, 201, 200]
        assert [record.status for record in reviewed.workers[1].trail.records] == [202] * 4

    async def test_same_actor(self, reviewed: World) -> None:
        """One key for both cannot."""
        key = key_token("admin")
        await post(reviewed, key, PATH, BODY)
        problem(await post(reviewed, key, f"{PATH}/w1/approve", REASON), 409, "same-actor")

    async def test_a_user_asks_for_his_own(self, reviewed: World) -> None:
        """And reads it; he does not cancel, nor see another one's."""
        token = user_token(BUYER)
        assert (await post(reviewed, token, PATH, BODY)).status == 201
        reply = await reviewed.ask("GET", f"{PATH}/w1", headers=bearer(token))
        assert reply.json["state"] == "review"
        problem(await post(reviewed, token, f"{PATH}/w1/cancel", REASON), 403, "forbidden")
        problem(await post(reviewed, token, "/v1/users/other/withdrawals", BODY), 403, "forbidden")

    async def test_resolve_and_confirm(self, reviewed: World) -> None:
        """A day after the attempt, by two keys."""
        one, two = key_token("withdrawals:review"), key_token("admin")
        await post(reviewed, user_token(BUYER), PATH, BODY)
        await post(reviewed, one, f"{PATH}/w1/approve", REASON)
        at = reviewed.clock()
        owners(
            reviewed,
            PayoutAttempt(BUYER, "w1", 1, "bank", "i", "", at),
            PayoutResult(BUYER, "w1", 1, "stuck", 1_000, "not-found", "", "", at),
        )
        body = {"outcome": "paid", "channel_ref": "R1", "reason": "their word"}
        problem(await post(reviewed, one, f"{PATH}/w1/resolve", body), 409, "wrong-state")
        reviewed.clock.now += 86_400 * 1_000_000
        assert (await post(reviewed, one, f"{PATH}/w1/resolve", body)).status == 200
        problem(await post(reviewed, one, f"{PATH}/w1/confirm", body), 409, "same-actor")
        reply = await post(reviewed, two, f"{PATH}/w1/confirm", body)
        assert (reply.status, reply.json["state"]) == (200, "paid")

    async def test_a_reason_where_none_is_needed(self, reviewed: World) -> None:
        """Cancelling, resolving as paid, confirming and unblocking: the fact has a text all the same.

        Approving, rejecting, blocking, and resolving as failed need one: the service's written word.
        """
        one, two = key_token("withdrawals:review"), key_token("admin")
        for own_id in ("w1", "w2"):
            await post(reviewed, user_token(BUYER), PATH, BODY | {"withdrawal_id": own_id})
        for verb in ("approve", "reject"):
            problem(await post(reviewed, one, f"{PATH}/w1/{verb}", {}), 422, "missing-reason")
        problem(await post(reviewed, two, f"{PATH}/w2/cancel", {"reason": ""}), 422, "invalid-reason")
        reply = await post(reviewed, two, f"{PATH}/w2/cancel", {})
        assert (reply.status, reply.json["state"], reply.json["reason"]) == (200, "cancelled", "none given")
        await post(reviewed, one, f"{PATH}/w1/approve", REASON)
        stuck_for_two_days(reviewed)
        failed, paid = {"outcome": "failed"}, {"outcome": "paid", "channel_ref": "SIM/0001"}
        problem(await post(reviewed, one, f"{PATH}/w1/resolve", failed), 422, "missing-reason")
        reply = await post(reviewed, one, f"{PATH}/w1/resolve", paid)
        assert (reply.status, reply.json["resolution"]["channel_ref"]) == (200, "SIM/0001")
        assert (await post(reviewed, two, f"{PATH}/w1/confirm", paid)).json["state"] == "paid"
        blocks = f"/v1/users/{BUYER}/block", f"/v1/users/{BUYER}/unblock"
        problem(await post(reviewed, two, blocks[0], {}), 422, "missing-reason")
        assert (await post(reviewed, two, blocks[0], REASON)).json["blocked"] is True
        assert (await post(reviewed, two, blocks[1], {"reason": None})).json["blocked"] is False
        log = reviewed.stream.log(TOPICS.user_log, reviewed.stream.partition_of(BUYER))
        facts = [orjson.loads(value) for each in log if b"none given" in (value := each.value or b"")]
        assert [fact["kind"] for fact in facts] == [
            "withdrawal.cancel",
            "withdrawal.resolve",
            "withdrawal.confirm",
            "account.unblock",
        ]
        assert reviewed.stream.dead_letters == []
        assert [each.reason for each in reviewed.workers[1].trail.records if "cancel" in each.action][
            -1
        ] is None

    async def test_confirming_a_failure(self, reviewed: World) -> None:
        """The reason stands in the resolution."""
        one, two = key_token("withdrawals:review"), key_token("admin")
        await post(reviewed, user_token(BUYER), PATH, BODY)
        await post(reviewed, one, f"{PATH}/w1/approve", REASON)
        stuck_for_two_days(reviewed)
        await post(reviewed, one, f"{PATH}/w1/resolve", REASON | {"outcome": "failed"})
        reply = await post(reviewed, two, f"{PATH}/w1/confirm", {"outcome": "failed"})
        assert (reply.status, reply.json["state"]) == (200, "failed")


def stuck_for_two_days(world: World) -> None:
    """Let w1 be attempted and stuck, and two days pass."""
    at = world.clock()
    owners(
        world,
        PayoutAttempt(BUYER, "w1", 1, "bank", "i", "", at),
        PayoutResult(BUYER, "w1", 1, "stuck", 1_000, "not-found", "", "", at),
    )
    world.clock.now += 2 * 86_400 * 1_000_000


class TestLists:
    """One user's, and all users'."""

    async def test_of_one_user(self, free: World) -> None:
        """Newest first, page by page."""
        for number in range(5):
            await free.send("POST", PATH, BODY | {"withdrawal_id": f"w{number}"})
        items = await walk(free, PATH, 2, 1)
        assert [item["withdrawal_id"] for item in items] == ["w4", "w3", "w2", "w1", "w0"]

    async def test_of_all_users(self, free: World) -> None:
        """Oldest first over all partitions; by state, channel and age."""
        users = [f"user{number}" for number in range(7)]
        for user_id in users:
            await fund(free, user_id=user_id)
            free.clock.now += 1_000_000
            await free.send("POST", f"/v1/users/{user_id}/withdrawals", BODY)
        await free.send("POST", f"/v1/users/{users[3]}/withdrawals/w1/reject", REASON)
        for limit in (1, 3, 50):
            found = await walk(free, "/v1/withdrawals", limit, 1)
            assert [item["user_id"] for item in found] == users
        approved = await walk(free, "/v1/withdrawals?state=approved", 2)
        assert [item["user_id"] for item in approved] == users[:3] + users[4:]
        assert await walk(free, "/v1/withdrawals?channel=alipay", 2) == []
        older = await walk(free, "/v1/withdrawals?older_than=4", 2)
        assert [item["user_id"] for item in older] == users[:2]

    @pytest.mark.parametrize("query", ["state=gone", "channel=a%20b", "older_than=-1", "cursor=x"])
    async def test_faults(self, free: World, query: str) -> None:
        """Each parameter has a code of its own."""
        name = query.partition("=")[0]
        problem(await free.get(f"/v1/withdrawals?{query}"), 400, f"invalid-{name}")

    async def test_a_partition_that_is_away(self, free: World) -> None:
        """A list that leaves out money is no list."""
        free.give("accounts", 0, None)
        problem(await free.get("/v1/withdrawals"), 503, "not-ready")


class TestStaff:
    """Adjustments, openings, blocks."""

    async def test_adjustments(self, reviewed: World) -> None:
        """Proposed by one, approved by another; listed for one user and for all."""
        path = f"/v1/users/{BUYER}/adjustments"
        body = {"adjustment_id": "a1", "amount": -500, "reason_code": "restore", "reason": "r"}
        one, two = key_token("adjustments:write"), key_token("adjustments:approve")
        reply = await post(reviewed, one, path, body)
        assert (reply.status, reply.json["state"]) == (201, "proposed")
        assert (await post(reviewed, one, path, body)).status == 200
        problem(await post(reviewed, one, path, body | {"amount": 5}), 409, "id-reused")
        problem(await post(reviewed, two, f"{path}/a2/approve", REASON), 404, "unknown-adjustment")
        listed = await reviewed.ask("GET", "/v1/adjustments?state=proposed", headers=bearer(two))
        assert [item["adjustment_id"] for item in listed.json["items"]] == ["a1"]
        reply = await post(reviewed, two, f"{path}/a1/approve", REASON)
        assert (reply.json["state"], reply.json["verdict"]["actor"]) == (
            "approved",
            "key:adjustments-approve",
        )
        problem(await post(reviewed, two, f"{path}/a1/reject", REASON), 409, "wrong-state")
        read = bearer(key_token("balances:read"))
        listed = await reviewed.ask("GET", path, headers=read)
        assert [item["state"] for item in listed.json["items"]] == ["approved", "approved"]
        assert (await reviewed.ask("GET", f"{path}/a1", headers=read)).json["amount"] == -500
        balance = (await reviewed.ask("GET", f"/v1/users/{BUYER}/balance", headers=read)).json
        assert balance["available"] == 99_500

    async def test_openings(self, reviewed: World) -> None:
        """By batch."""
        path = "/v1/users/new/openings"
        one, two = key_token("adjustments:write"), key_token("adjustments:approve")
        figures = {"available": 700, "confirmed": [{"on": "2999-01-01", "amount": 5}], "withdrawn": 30}
        body = {"opening_id": "o1", "batch": "b1", "source": "old", "as_of": "2026-01-01", **figures}
        assert (await post(reviewed, one, path, body)).status == 201
        problem(await post(reviewed, one, path, body | {"withdrawn": 0}), 409, "id-reused")
        listed = await reviewed.ask("GET", "/v1/openings?batch=b1", headers=bearer(two))
        assert [(item["user_id"], item["state"]) for item in listed.json["items"]] == [("new", "proposed")]
        problem(await reviewed.ask("GET", "/v1/openings", headers=bearer(two)), 400, "invalid-batch")
        reply = await post(reviewed, two, f"{path}/o1/approve", REASON)
        assert reply.json["state"] == "approved"
        problem(await post(reviewed, two, f"{path}/o2/approve", REASON), 404, "unknown-opening")
        balance = (
            await reviewed.ask("GET", "/v1/users/new/balance", headers=bearer(key_token("admin")))
        ).json
        assert (balance["available"], balance["confirmed"], balance["withdrawn"]) == (700, 5, 30)
        totals = (await reviewed.ask("GET", "/v1/totals", headers=bearer(key_token("admin")))).json
        assert (totals["openings"], totals["adjustments"], totals["withdrawn"]) == (735, 100_000, 30)

    async def test_blocks(self, free: World) -> None:
        """The balance says so."""
        reply = await free.send("POST", f"/v1/users/{BUYER}/block", REASON)
        assert (reply.status, reply.json) == (200, {"user_id": BUYER, "blocked": True})
        assert (await free.read(f"/v1/users/{BUYER}/balance"))["blocked"] is True
        problem(await free.send("POST", PATH, BODY), 422, "blocked")
        await free.send("POST", f"/v1/users/{BUYER}/unblock", REASON)
        assert "blocked" not in await free.read(f"/v1/users/{BUYER}/balance")
