"""`POST /v1/users/{user_id}/reprice`, and what is shown afterwards (docs/spec/rules.md#repricing)."""

from __future__ import annotations

import orjson
import pytest

from tests.topology_driver import TOPICS
from tests.web.facts import BUYER, GRAND, INVITER, LINE_ID, paid, profile, settled
from tests.web.secured import bearer, key_token, secured, settled_example
from tests.web.test_read_your_writes import slow_lane, stop_lane
from tests.web.test_writes import errors
from tests.web.worlds import World

pytestmark = pytest.mark.asyncio

USER_LOG = TOPICS.user_log
PATH = f"/v1/users/{BUYER}/reprice"
BODY = {"released": True, "reason": "wrong inviter"}


async def test_a_line_is_repriced_and_explained(world: World) -> None:
    """The inviters change places; ledger and explanation give the reason."""
    world.users(profile(BUYER, INVITER))
    await world.send("POST", "/v1/orders", {"events": [paid(), settled()]})
    world.users(profile(BUYER, GRAND))
    reply = await world.send("POST", PATH, BODY)
    assert (reply.status, reply.json) == (202, {"accepted": 1, "user_id": BUYER})
    assert reply.headers["Location"] == f"/v1/users/{BUYER}/ledger"
    line = await world.read(f"/v1/order-lines/taobao/{LINE_ID}")
    assert [share["user_id"] for share in line["shares"]] == [BUYER, GRAND]
    sentences = [sentence for sentence in line["explanation"] if sentence.startswith("repriced")]
    assert [sentence.rpartition(" for ")[2] for sentence in sentences] == [BUYER, GRAND]
    assert "(wrong inviter)" in sentences[0]
    for user, kind, amount in ((INVITER, "clawback", -153), (GRAND, "adjust", 153)):
        (entry, *_) = (await world.read(f"/v1/users/{user}/ledger"))["items"]
        assert (entry["reason"], entry["kind"], entry["settled"]) == ("repriced", kind, amount)


async def test_visible_when_all_lines_are_repriced(pair: World) -> None:
    """Also when they take several records; and not while nothing is processed."""
    facts = [paid(line_id=str(number)) for number in range(400)]
    await pair.send("POST", "/v1/orders", {"events": facts})
    pair.users(profile(BUYER, level="vip"))
    async with slow_lane(pair):
        reply = await pair.send("POST", f"{PATH}?wait_ms=2000", {"reason": "profiles came late"}, 1)
        assert reply.json["visible"] is True
        body = await pair.read(f"/v1/users/{BUYER}/balance", 0)
        assert body["estimated"] == 400 * (1_612 * 7_000 // 10_000)
    stop_lane(pair)
    reply = await pair.send("POST", f"{PATH}?wait_ms=1", {"reason": "again"})
    assert reply.json == {"accepted": 1, "user_id": BUYER, "visible": False}


@pytest.mark.parametrize(
    ("released", "scope", "status"),
    [
        (False, "adjustments:write", 202),
        (True, "adjustments:write", 403),
        (True, "adjustments:approve", 202),
        (False, "adjustments:approve", 403),
        (True, "admin", 202),
    ],
)
async def test_scopes(released: bool, scope: str, status: int) -> None:
    """Released lines need the scope of those who approve; the fact names the key that asked."""
    async with World(workers=2, security=secured) as world:
        await settled_example(world)
        headers = bearer(key_token(scope)) | {"Content-Type": "application/json"}
        body = orjson.dumps({"released": released, "reason": "late"})
        reply = await world.ask("POST", PATH, headers=headers, body=body)
        assert reply.status == status, reply.body
        log = [record for n in range(world.stream.partitions) for record in world.stream.log(USER_LOG, n)]
        facts = [
            orjson.loads(record.value or b"") for record in log if b"account.reprice" in (record.value or b"")
        ]
        actor = f"key:{scope.replace(':', '-')}"
        assert [fact["actor"] for fact in facts] == ([actor] if status == 202 else [])


@pytest.mark.parametrize("body", [{}, {"reason": None, "lines": None}])
async def test_no_reason(world: World, body: dict[str, object]) -> None:
    """A body without reason is accepted, and the line shows who asked in its place."""
    world.users(profile(BUYER, INVITER))
    await world.send("POST", "/v1/orders", {"events": [paid()]})
    world.users(profile(BUYER, GRAND))
    reply = await world.send("POST", PATH, body)
    assert (reply.status, reply.json) == (202, {"accepted": 1, "user_id": BUYER})
    line = await world.read(f"/v1/order-lines/taobao/{LINE_ID}")
    sentences = [sentence for sentence in line["explanation"] if sentence.startswith("repriced")]
    assert "(repriced by anonymous)" in sentences[0]
    assert [share["user_id"] for share in line["shares"]] == [BUYER, GRAND]


async def test_refusals(world: World) -> None:
    """Every bad member has its code; nothing is sent."""
    body = {"user_id": "u9", "lines": [], "paid_from": "now", "released": 1, "why": "x"}
    reply = await world.send("POST", PATH, {name: body[name] for name in body if name != "user_id"})
    assert reply.status == 422
    assert errors(reply.json) == [
        ("/lines", "invalid-lines"),
        ("/paid_from", "invalid-paid_from"),
        ("/released", "invalid-released"),
        ("/why", "unknown-member"),
    ]
    reply = await world.send("POST", PATH, {"reason": ""})
    assert errors(reply.json) == [("/reason", "invalid-reason")]
    reply = await world.send("POST", PATH, body)
    assert errors(reply.json) == [("/user_id", "invalid-user_id")]
    reply = await world.send("POST", "/v1/users/a%20b/reprice", BODY)
    assert (reply.status, reply.json["code"]) == (400, "invalid-user_id")
