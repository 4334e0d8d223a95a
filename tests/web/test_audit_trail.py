"""What the audit trail records of requests, what it never does, and that nothing is done without it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import pytest_asyncio

from rebate_app.auth.peer_signature import PeerRequest, sign
from rebate_app.web.routes.table import ROUTES
from rebate_app.web.trail import SAFE_METHODS, RequestTrail
from rebate_app.wire.audit_trail import Requester, TrailRecord, body_hmac
from tests.web.facts import BUYER, paid
from tests.web.secured import RING, bearer, key_token, secured, settled_example, user_token
from tests.web.worlds import Reply, World, problem

PROFILE = f"/v1/users/{BUYER}/profile"
ATTRIBUTION = "/v1/attributions/taobao:pid:p"
CLAIM = {"platform": "taobao", "order_line_id": "77", "claimed_at": "2026-01-05T10:00:00+08:00"}
LEVEL = {"level": "vip", "inviter_id": None}
PARAMETERS = {"user_id": BUYER, "attribution_id": "taobao:pid:p", "id": "a/0/1"}
FORGED = {"actor": "key:somebody-else", "request_id": "forged"}


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """One worker with authentication on, and the worked example."""
    async with World(security=secured) as made:
        await settled_example(made)
        yield made


async def send(world: World, method: str, target: str, document: Any, token: str, **headers: str) -> Reply:
    """Write a JSON value as the holder of a token."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return await world.ask(
        method,
        target,
        headers={"Content-Type": "application/json", **bearer(token), **named},
        body=orjson.dumps(document),
    )


def trail(world: World) -> list[TrailRecord]:
    """Return what was recorded."""
    return world.workers[0].trail.records


def last_value(world: World, topic: str, key: str) -> Any:
    """Return the value of the newest record of a key."""
    partition = world.stream.partition_of(key)
    log = [record for record in world.stream.log(topic, partition) if record.key == key.encode()]
    return orjson.loads(log[-1].value or b"null")


@pytest.mark.asyncio
class TestRecorded:
    """One record for each request that changes something."""

    async def test_an_accepted_profile(self, world: World) -> None:
        """Who, what, about whom, with which answer and why; the fact names its author; one transaction."""
        body = LEVEL | {"reason": "asked on the phone"}
        reply = await send(world, "PUT", PROFILE, body, key_token("profiles:write"))
        assert (reply.status, reply.json["accepted"]) == (202, 1)
        (record,) = trail(world)
        assert record == TrailRecord(
            at="2026-02-01T00:00:00+08:00",
            actor="key:profiles-write",
            via="http",
            request_id=reply.headers["X-Request-Id"],
            remote="127.0.0.1",
            action="profile.put",
            subject=BUYER,
            status=202,
            reason="asked on the phone",
            body_hmac=body_hmac(RING, orjson.dumps(body)),
        )
        assert world.workers[0].trail.writes == [(1, 1)]
        fact = last_value(world, world.stream.topics.user_log, BUYER)
        assert (fact["actor"], fact["request_id"]) == (record.actor, record.request_id)
        assert "reason" not in fact

    async def test_a_binding(self, world: World) -> None:
        """Likewise."""
        reply = await send(world, "PUT", ATTRIBUTION, {"user_id": BUYER}, key_token("admin"))
        assert reply.status == 202
        (record,) = trail(world)
        assert (record.action, record.subject) == ("attribution.put", "taobao:pid:p")
        assert world.workers[0].trail.writes == [(1, 1)]

    async def test_a_claim_of_a_user(self, world: World) -> None:
        """An order fact names its author in headers; its value is as it was."""
        reply = await send(world, "POST", f"/v1/users/{BUYER}/claims", CLAIM, user_token(BUYER))
        assert reply.status == 202, reply.body
        (record,) = trail(world)
        assert (record.actor, record.action, record.subject) == (f"user:{BUYER}", "claims.post", BUYER)
        headers = dict(world.workers[0].sender.headers[-1])
        assert headers == {
            "rebate-actor": f"user:{BUYER}".encode(),
            "rebate-request-id": reply.headers["X-Request-Id"].encode(),
        }
        assert not FORGED.keys() & last_value(world, world.stream.topics.orders, "taobao:77").keys()
        assert world.workers[0].trail.writes == [(1, 1)]

    async def test_order_facts_are_summarised(self, world: World) -> None:
        """Accepted ones leave no record, and one summary for each key; the facts name their author."""
        token = key_token("orders:write")
        for document in (paid(), {"events": [paid(order_line_id="8"), paid(order_line_id="9")]}):
            assert (await send(world, "POST", "/v1/orders", document, token)).status == 202
        assert (await send(world, "POST", "/v1/orders", paid(), key_token("admin"))).status == 202
        worker = world.workers[0]
        assert trail(world) == []
        assert {dict(each)["rebate-actor"] for each in worker.sender.headers} == {
            b"key:orders-write",
            b"key:admin",
        }
        counted = {
            each.actor: (each.action, each.requests, each.facts) for each in worker.trail.summaries.take()
        }
        assert counted == {
            "key:orders-write": ("orders.post", 2, 3),
            "key:admin": ("orders.post", 1, 1),
        }
        assert worker.trail.summaries.take() == []

    @pytest.mark.parametrize(
        ("method", "target", "body", "scope", "status", "action"),
        [
            ("PUT", PROFILE, LEVEL, "orders:write", 403, "profile.put"),
            ("PUT", PROFILE, {"level": "gold!"}, "admin", 422, "profile.put"),
            ("PUT", ATTRIBUTION, {}, "admin", 422, "attribution.put"),
            ("POST", "/v1/orders", {"kind": "order.claim"}, "admin", 422, "orders.post"),
            ("POST", "/v1/orders", {"kind": "order.claim"}, "balances:read", 403, "orders.post"),
            ("POST", "/v1/dead-letters/a%2F0%2F1/discard", {}, "profiles:write", 403, "dead-letter.discard"),
        ],
    )
    async def test_refusals(
        self, world: World, method: str, target: str, body: Any, scope: str, status: int, action: str
    ) -> None:
        """A refused request is recorded with its status, and nothing is sent."""
        sent = world.workers[0].sender.sent
        reply = await send(world, method, target, body, key_token(scope))
        assert reply.status == status, reply.body
        (record,) = trail(world)
        assert (record.status, record.action) == (status, action)
        assert record.actor == f"key:{scope.replace(':', '-')}"
        assert record.body_hmac == (None if status == 403 else body_hmac(RING, orjson.dumps(body)))
        assert world.workers[0].sender.sent == sent

    async def test_another_users_claim(self, world: World) -> None:
        """What a user may not do is recorded under his name."""
        reply = await send(world, "POST", f"/v1/users/{BUYER}/claims", CLAIM, user_token("u9"))
        problem(reply, 403, "forbidden")
        assert [(each.actor, each.subject, each.status) for each in trail(world)] == [("user:u9", BUYER, 403)]

    async def test_without_authentication(self) -> None:
        """The actor is anonymous, and without a cluster secret there is no digest."""
        async with World() as world:
            assert (await world.send("PUT", PROFILE, LEVEL)).status == 202
            (record,) = trail(world)
            assert (record.actor, record.body_hmac) == ("anonymous", None)


@pytest.mark.asyncio
class TestAnswers:
    """What an answer's status becomes in the record of a request whose handler wrote nothing."""

    @pytest.mark.parametrize(
        ("answered", "recorded"),
        [
            *((status, [202]) for status in (200, 201, 202, 204)),
            *((status, [status]) for status in (403, 404, 409, 422)),
            *((status, []) for status in (400, 413, 429, 500, 503)),
        ],
    )
    async def test_complete(self, world: World, answered: int, recorded: list[int]) -> None:
        """Accepted, one of the refusals that are recorded, or nothing."""
        worker = world.workers[0]
        requester = Requester("key:admin", "r")
        request = RequestTrail(
            worker.trail, world.clock, RING, "noun.verb", None, requester, "", lambda: None
        )
        await request.complete(answered)
        assert [record.status for record in trail(world)] == recorded


@pytest.mark.asyncio
class TestNeverRecorded:
    """Reads, what nobody in particular sent, and what is malformed."""

    async def test_nothing_of_these(self, world: World) -> None:
        """401, 400, 413, 415 and every GET leave nothing."""
        admin = key_token("admin")
        nobody = await world.ask("PUT", PROFILE, headers={"Content-Type": "application/json"}, body=b"{}")
        replies = [
            (nobody, 401),
            (await send(world, "PUT", PROFILE, LEVEL, "rbk_admin_" + "y" * 43), 401),
            (await send(world, "PUT", "/v1/users/%20/profile", LEVEL, admin), 400),
            (await send(world, "PUT", PROFILE + "?unknown=1", LEVEL, admin), 400),
            (await world.ask("PUT", PROFILE, headers=bearer(admin), body=b"{}"), 415),
            (await send(world, "POST", "/v1/orders", {"x": "y" * 1_100_000}, admin), 413),
        ]
        assert [reply.status for reply, _ in replies] == [status for _, status in replies]
        for route in ROUTES:
            if "GET" in route.methods and "{" not in route.path:
                await world.ask("GET", route.path, headers=bearer(admin))
        assert trail(world) == []

    async def test_no_secret_and_no_person_of_a_body(self, world: World) -> None:
        """Of a body only its digest is recorded, never a token."""
        token = key_token("admin")
        await send(world, "PUT", PROFILE, LEVEL | {"inviter_id": "secret-inviter"}, token)
        text = repr(trail(world))
        assert "secret-inviter" not in text
        assert token not in text


@pytest.mark.asyncio
class TestForged:
    """What a client writes about itself counts for nothing."""

    @pytest.mark.parametrize("target", [PROFILE, ATTRIBUTION])
    async def test_members_of_user_facts(self, world: World, target: str) -> None:
        """They are overwritten, and the answer warns."""
        body = LEVEL if target == PROFILE else {"user_id": BUYER}
        reply = await send(world, "PUT", target, body | FORGED, key_token("admin"), rebate_actor="key:x")
        assert reply.status == 202, reply.body
        assert [(each["pointer"], each["code"]) for each in reply.json["warnings"]] == [
            ("/actor", "set-by-server"),
            ("/request_id", "set-by-server"),
        ]
        key = BUYER if target == PROFILE else "taobao:pid:p"
        fact = last_value(world, world.stream.topics.user_log, key)
        assert (fact["actor"], fact["request_id"]) == ("key:admin", reply.headers["X-Request-Id"])
        assert trail(world)[0].actor == "key:admin"

    async def test_members_and_headers_of_order_facts(self, world: World) -> None:
        """The headers of the fact are the server's; members of that name are the network's."""
        reply = await send(
            world,
            "POST",
            "/v1/orders",
            paid() | FORGED,
            key_token("orders:write"),
            rebate_actor="key:admin",
            rebate_request_id="forged",
            Rebate_Caller='{"kind":"key","id":"admin"}',
        )
        assert reply.status == 202
        headers = world.workers[0].sender.headers[-1]
        assert headers == (
            ("rebate-actor", b"key:orders-write"),
            ("rebate-request-id", reply.headers["X-Request-Id"].encode()),
        )

    async def test_a_line_and_a_profile_show_who_sent_their_facts(self, world: World) -> None:
        """The timeline names the actor of each fact, the profile its own; users are not told."""
        claim = {"platform": "taobao", "order_line_id": "77", "claimed_at": "2026-01-05T10:00:00+08:00"}
        await send(world, "POST", "/v1/orders", paid(line_id="77") | FORGED, key_token("orders:write"))
        await send(world, "POST", f"/v1/users/{BUYER}/claims", claim, user_token(BUYER))
        await send(world, "PUT", PROFILE, LEVEL | FORGED, key_token("profiles:write"))
        line, admin = "/v1/order-lines/taobao/77", bearer(key_token("admin"))
        timeline = (await world.ask("GET", line, headers=admin)).json["timeline"]
        assert [(each["kind"], each["actor"]) for each in timeline] == [
            ("snapshot", "key:orders-write"),
            ("claim", f"user:{BUYER}"),
        ]
        assert (await world.ask("GET", PROFILE, headers=admin)).json["actor"] == "key:profiles-write"
        own = bearer(user_token(BUYER))
        assert "actor" not in (await world.ask("GET", PROFILE, headers=own)).json
        for moment in (await world.ask("GET", line, headers=own)).json["timeline"]:
            assert "actor" not in moment

    async def test_forged_forwarding(self, world: World) -> None:
        """Somebody who pretends to be a worker is nobody: 401, and no record in anybody's name."""
        headers = {
            "Rebate-Forwarded": "http://peer",
            "Rebate-Caller": '{"kind":"key","id":"admin","scopes":["admin"]}',
            "Content-Type": "application/json",
        }
        reply = await world.ask("PUT", PROFILE, headers=headers, body=orjson.dumps(LEVEL))
        problem(reply, 401, "unauthenticated")
        assert trail(world) == []

    async def test_a_digest_is_no_signature(self) -> None:
        """A body written like a request between workers does not have its signature for a digest."""
        request = PeerRequest("http://w", "POST", "/internal/users", b"{}", "", "http://p")
        signature = sign(RING, request, 1)
        _, _, at, nonce, mac = signature.split(" ")
        parts = [
            "rebate-peer/1",
            request.worker,
            request.method,
            request.target,
            hashlib.sha256(request.body).hexdigest(),
            request.caller,
            request.sender,
            at,
            nonce,
        ]
        body = orjson.dumps(parts)
        assert hmac.new(RING.secrets["a"], body, hashlib.sha256).hexdigest() == mac
        assert body_hmac(RING, body) != mac

    async def test_equal_but_for_the_author(self) -> None:
        """A profile that is repeated by somebody else leaves the same state as one repeated by the same."""
        states = []
        for second in ("profiles:write", "admin"):
            async with World(security=secured) as world:
                await settled_example(world)
                for scope in ("profiles:write", second):
                    document = LEVEL | {"effective_at": "2026-01-01T00:00:00+08:00"}
                    await send(world, "PUT", PROFILE, document, key_token(scope))
                states.append(records_of(world))
        assert states[0] == states[1]


def records_of(world: World) -> dict[Any, Any]:
    """Return every record of every table."""
    return {where: dict(store.items()) for where, store in world.stream.stores.items()}


@pytest.mark.asyncio
class TestTrailAway:
    """Where the trail cannot be written, the request is 503 and nothing was done."""

    async def test_every_recorded_method(self, world: World) -> None:
        """Accepted or refused, every method that changes something is 503; none slips through."""
        world.workers[0].trail.away = True
        sent = world.workers[0].sender.sent
        bodies = {"profile": LEVEL, "attribution": {"user_id": BUYER}, "claims": CLAIM}
        for route in ROUTES:
            for method in route.methods.keys() - SAFE_METHODS:
                if route.name == "internal" or route.methods[method].access.is_open:  # type: ignore[union-attr]
                    continue
                path = route.path
                for name, value in {
                    "user_id": BUYER,
                    "attribution_id": "taobao:pid:p",
                    "id": "a/0/1",
                }.items():
                    path = path.replace("{" + name + "}", quote(value, safe=""))
                if route.name in bodies:
                    reply = await send(world, method, path, bodies[route.name], key_token("admin"))
                    problem(reply, 503, "broker-away")
                refused = await send(world, method, path, {}, key_token("balances:read"))
                problem(refused, 503, "broker-away")
        assert world.workers[0].sender.sent == sent

    async def test_accepted_order_facts_have_no_record(self, world: World) -> None:
        """They wait for the summary, which is written later; their refusals are 503."""
        world.workers[0].trail.away = True
        assert (await send(world, "POST", "/v1/orders", paid(), key_token("admin"))).status == 202
        problem(await send(world, "POST", "/v1/orders", {}, key_token("admin")), 503, "broker-away")


@pytest.mark.asyncio
class TestReasons:
    """`reason` in the body of a write of staff."""

    @pytest.mark.parametrize("reason", ["x" * 200, "", None, "客服更正 ✓"])
    async def test_accepted(self, world: World, reason: str | None) -> None:
        """Up to 200 characters; an empty one is none."""
        reply = await send(world, "PUT", PROFILE, LEVEL | {"reason": reason}, key_token("admin"))
        assert reply.status == 202
        assert trail(world)[0].reason == (reason or None)

    @pytest.mark.parametrize("reason", ["x" * 201, 5, ["why"], {"a": 1}])
    async def test_refused(self, world: World, reason: Any) -> None:
        """Anything else is 422 at its pointer."""
        reply = await send(world, "PUT", PROFILE, LEVEL | {"reason": reason}, key_token("admin"))
        assert problem(reply, 422, "invalid-reason")["errors"][0]["pointer"] == "/reason"
        assert [each.status for each in trail(world)] == [422]

    async def test_half_a_character(self, world: World) -> None:
        """A lone surrogate cannot be written."""
        body = b'{"level":"vip","inviter_id":null,"reason":"\\ud800"}'
        headers = {"Content-Type": "application/json", **bearer(key_token("admin"))}
        reply = await world.ask("PUT", PROFILE, headers=headers, body=body)
        assert reply.status in (400, 422)


@pytest.mark.asyncio
class TestReading:
    """`GET /v1/audit-trail`."""

    async def test_newest_first_with_filters_and_cursors(self, world: World) -> None:
        """Pages join without gaps while records are added; filters are exact."""
        admin = key_token("admin")
        for number in range(5):
            await send(world, "PUT", f"/v1/users/u{number}/profile", LEVEL, admin)
        await send(world, "PUT", PROFILE, LEVEL, key_token("orders:write"))

        async def read(query: str) -> Any:
            reply = await world.ask(
                "GET", f"/v1/audit-trail?{query}", headers=bearer(key_token("operations:read"))
            )
            assert reply.status == 200, reply.body
            return reply.json

        page = await read("limit=2")
        assert [item["subject"] for item in page["items"]] == [BUYER, "u4"]
        await send(world, "PUT", "/v1/users/u9/profile", LEVEL, admin)
        page = await read(f"limit=2&cursor={page['next_cursor']}")
        assert [item["subject"] for item in page["items"]] == ["u3", "u2"]
        page = await read(f"limit=3&cursor={page['next_cursor']}")
        assert [item["subject"] for item in page["items"]] == ["u1", "u0"]
        assert page["next_cursor"] is None
        by = await read("actor=key:orders-write")
        assert [(item["status"], item["schema"]) for item in by["items"]] == [(403, "audit-trail/1")]
        assert len((await read("subject=u3"))["items"]) == 1
        assert len((await read("action=profile.put&limit=200"))["items"]) == 7

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("since=yesterday", "invalid-filter"),
            ("subject=a&subject=b", "invalid-filter"),
            ("cursor=x", "invalid-cursor"),
            ("limit=0", "invalid-limit"),
            ("who=me", "unknown-parameter"),
        ],
    )
    async def test_refused_queries(self, world: World, query: str, code: str) -> None:
        """Each with the code of its parameter."""
        reply = await world.ask("GET", f"/v1/audit-trail?{query}", headers=bearer(key_token("admin")))
        problem(reply, 400, code)
