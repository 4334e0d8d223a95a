"""Every method of every route × every kind of caller, asked directly and through a worker that passes it on.

EXPECTED is docs/spec/api-security.md#scopes written a second time; a route that it does not name fails.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rebate_app.auth.scopes import ADMIN, SCOPES
from rebate_app.web.routes.route import Method, Route
from rebate_app.web.routes.table import ROUTES
from tests.web.facts import BUYER, INVITER, LINE_ID
from tests.web.secured import bearer, key_token, secured, settled_example, user_token
from tests.web.worlds import Reply, World, problem

OPEN, ALL, WORKERS = "open", "all", "workers"
#: Open to everybody, and gives nothing to a wrong key.
SIGNING_IN = "POST /v1/session"
READ, OPERATE, LOOK = "balances:read", "operations:write", "operations:read"
#: (scope, what a user token may reach)
EXPECTED = {
    "GET /v1/users/{user_id}/balance": (READ, "own"),
    "GET /v1/balances": (READ, ""),
    "GET /v1/totals": (READ, ""),
    "GET /v1/order-lines": (READ, ""),
    "GET /v1/users/{user_id}/invitees": (READ, ""),
    "GET /v1/users/{user_id}/lines": (READ, "own"),
    "GET /v1/users/{user_id}/ledger": (READ, "own"),
    "GET /v1/users/{user_id}/profile": (READ, "own"),
    "PUT /v1/users/{user_id}/profile": ("profiles:write", ""),
    "POST /v1/users/{user_id}/claims": ("profiles:write", "own"),
    "POST /v1/users/{user_id}/reprice": ("adjustments:write", ""),
    "GET /v1/users/{user_id}/withdrawals": (READ, "own"),
    "POST /v1/users/{user_id}/withdrawals": ("withdrawals:write", "own"),
    "GET /v1/users/{user_id}/withdrawals/{withdrawal_id}": (READ, "own"),
    "POST /v1/users/{user_id}/withdrawals/{withdrawal_id}/cancel": ("withdrawals:write", ""),
    **{
        f"POST /v1/users/{{user_id}}/withdrawals/{{withdrawal_id}}/{name}": ("withdrawals:review", "")
        for name in ("approve", "reject", "resolve", "confirm")
    },
    "GET /v1/withdrawals": ("withdrawals:review", ""),
    "GET /v1/users/{user_id}/adjustments": (READ, ""),
    "POST /v1/users/{user_id}/adjustments": ("adjustments:write", ""),
    "GET /v1/users/{user_id}/adjustments/{adjustment_id}": (READ, ""),
    **{
        f"POST /v1/users/{{user_id}}/adjustments/{{adjustment_id}}/{name}": ("adjustments:approve", "")
        for name in ("approve", "reject")
    },
    "GET /v1/adjustments": ("adjustments:approve", ""),
    "POST /v1/users/{user_id}/block": ("adjustments:approve", ""),
    "POST /v1/users/{user_id}/unblock": ("adjustments:approve", ""),
    "POST /v1/users/{user_id}/openings": ("adjustments:write", ""),
    "POST /v1/users/{user_id}/openings/{opening_id}/approve": ("adjustments:approve", ""),
    "GET /v1/openings": ("adjustments:write", ""),
    "GET /v1/users/{user_id}/payees": ("withdrawals:write", "own"),
    "POST /v1/users/{user_id}/payees": ("withdrawals:write", "own"),
    "DELETE /v1/users/{user_id}/payees/{payee_id}": ("withdrawals:write", "own"),
    "POST /v1/payees/rotate": (OPERATE, ""),
    "GET /v1/channels": ("withdrawals:review", ""),
    "POST /v1/channels/{name}/open": ("withdrawals:review", ""),
    "POST /v1/channels/{name}/pause": ("withdrawals:review", ""),
    "POST /v1/channels/{name}/close": ("withdrawals:review", ""),
    "POST /v1/channels/{name}/exports": ("payouts:export", ""),
    "POST /v1/channels/{name}/results": (OPERATE, ""),
    "POST /v1/payouts/results": (OPERATE, ""),
    "POST /v1/sources/{account}/pause": (OPERATE, ""),
    "POST /v1/sources/{account}/resume": (OPERATE, ""),
    "POST /v1/payout-notifications/{channel}": (OPEN, ""),
    "GET /v1/users": (READ, ""),
    "GET /v1/order-lines/{platform}/{order_line_id}": (READ, "shared"),
    "GET /v1/me": (ALL, "own"),
    "POST /v1/orders": ("orders:write", ""),
    "GET /v1/attributions/{attribution_id}": (READ, ""),
    "PUT /v1/attributions/{attribution_id}": ("profiles:write", ""),
    "GET /v1/attributions": (READ, ""),
    "GET /v1/dead-letters": (LOOK, ""),
    "GET /v1/dead-letters/{id}": (LOOK, ""),
    "POST /v1/dead-letters/{id}/replay": (OPERATE, ""),
    "POST /v1/dead-letters/{id}/discard": (OPERATE, ""),
    "GET /v1/parked-keys": (LOOK, ""),
    "POST /v1/parked-keys/{key}/release": (OPERATE, ""),
    "GET /v1/session": (OPEN, ""),
    "POST /v1/session": (OPEN, ""),
    "DELETE /v1/session": (OPEN, ""),
    "GET /v1/audit-trail": (LOOK, ""),
    "GET /v1/rules": (READ, ""),
    "GET /v1/rules/{version}": (READ, ""),
    "GET /v1/workers": (LOOK, ""),
    "GET /v1/sources": (LOOK, ""),
    "GET /v1/webhooks": (LOOK, ""),
    "GET /metrics": ("metrics:read", ""),
    "GET /openapi.json": (OPEN, ""),
    "GET /docs": (OPEN, ""),
    "GET /livez": (OPEN, ""),
    "GET /readyz": (OPEN, ""),
    "GET /v1/workers/reach": (LOOK, ""),
    "GET /internal/identity": (OPEN, ""),
    "GET /internal/reach": (WORKERS, ""),
    "POST /internal/{rpc}": (WORKERS, ""),
}
PATHS = {
    "{payee_id}": "0123456789abcdef",
    "{name}": "bank",
    "{account}": "mm-1188",
    "{channel}": "bank",
    "{user_id}": BUYER,
    "{platform}": "taobao",
    "{order_line_id}": LINE_ID,
    "{attribution_id}": "taobao:pid:mm_1_2_3",
    "{id}": "order_topic%2F0%2F0",
    "{rpc}": "share",
    "{key}": BUYER,
    "{version}": "2026-01",
    "{withdrawal_id}": "w1",
    "{adjustment_id}": "a1",
    "{opening_id}": "o1",
}
METHODS = [(route, name, method) for route in ROUTES for name, method in route.methods.items()]


def named(route: Route, name: str) -> str:
    """Return a method as EXPECTED names it."""
    return f"{name} {route.path}"


@pytest_asyncio.fixture
async def secure() -> AsyncIterator[World]:
    """Two workers with authentication on; between them they own every partition."""
    async with World(workers=2, security=secured) as world:
        await settled_example(world)
        yield world


async def ask(
    world: World, route: Route, name: str, token: str | None, worker: int, user_id: str = BUYER
) -> Reply:
    """Ask a method of a route as the holder of a token."""
    path = route.path
    for part, value in {**PATHS, "{user_id}": user_id}.items():
        path = path.replace(part, value)
    headers = {} if token is None else bearer(token)
    body = b'{"lines":0}' if name in ("POST", "PUT") else None  # no body of any route
    if body is not None:
        headers["Content-Type"] = "application/json"
    return await world.ask(name, path, worker=worker, headers=headers, body=body)


def let_in(reply: Reply) -> bool:
    """Return whether the handler was reached; what it then says of a wrong body is another matter."""
    return reply.status not in (401, 403, 429)


def test_every_method_is_expected() -> None:
    """A new route has to be written down here, with its scope."""
    assert {named(route, name) for route, name, _ in METHODS} == set(EXPECTED)


def test_a_method_without_access_is_refused() -> None:
    """Whoever forgets to say who may use a method finds out when the table is made."""

    async def handler(*_: object) -> None:
        raise AssertionError

    with pytest.raises(ValueError, match="has to say who may use"):
        Route("open", "/v1/open", "forgotten", {"GET": Method(handler)})  # type: ignore[arg-type]


@pytest.mark.parametrize("worker", [0, 1])
@pytest.mark.parametrize(("route", "name", "method"), METHODS, ids=[named(r, n) for r, n, _ in METHODS])
@pytest.mark.asyncio
class TestMatrix:
    """Who reaches which method, on the worker that owns the records and on the one that does not."""

    async def test_nobody(self, secure: World, route: Route, name: str, method: Method, worker: int) -> None:
        """Without credentials only what is open answers; the internal routes are not there."""
        del method
        reply = await ask(secure, route, name, None, worker)
        scope, _ = EXPECTED[named(route, name)]
        if scope == OPEN:
            assert let_in(reply)
        elif scope == WORKERS:
            problem(reply, 404, "not-found")
        else:
            problem(reply, 401, "unauthenticated")
            assert reply.headers["WWW-Authenticate"] == "Bearer"

    async def test_wrong_credentials(
        self, secure: World, route: Route, name: str, method: Method, worker: int
    ) -> None:
        """A token that nobody gave out is 401, whatever it looks like."""
        del method
        scope, _ = EXPECTED[named(route, name)]
        for token in ("rbk_admin_" + "y" * 43, user_token(BUYER, aud="others")):
            reply = await ask(secure, route, name, token, worker)
            if scope == OPEN and named(route, name) != SIGNING_IN:
                assert let_in(reply)
            elif scope == WORKERS:
                problem(reply, 404, "not-found")
            else:
                problem(reply, 401, "invalid-token")

    async def test_each_scope(
        self, secure: World, route: Route, name: str, method: Method, worker: int
    ) -> None:
        """A key reaches what its one scope covers, and `admin` everything."""
        or_scope = "" if method.access is None else method.access.or_scope
        needed, _ = EXPECTED[named(route, name)]
        for scope in SCOPES:
            reply = await ask(secure, route, name, key_token(scope), worker)
            if needed == WORKERS:
                problem(reply, 404, "not-found")
            elif needed in (OPEN, ALL, scope) or scope in (ADMIN, or_scope):
                assert let_in(reply), (scope, reply.body)
            else:
                assert needed in problem(reply, 403, "forbidden")["detail"]

    async def test_users(self, secure: World, route: Route, name: str, method: Method, worker: int) -> None:
        """A user token reaches what is its user's own, and nothing else."""
        del method
        scope, reach = EXPECTED[named(route, name)]
        own = await ask(secure, route, name, user_token(BUYER), worker)
        other = await ask(secure, route, name, user_token("u9"), worker)
        if scope == WORKERS:
            problem(own, 404, "not-found")
            return
        if named(route, name) == SIGNING_IN:
            problem(own, 401, "invalid-token")  # users do not sign in to the page
            return
        if scope in (OPEN, ALL):
            assert let_in(own)
            assert let_in(other)
            return
        assert let_in(own) == bool(reach), own.body
        problem(other, 403, "forbidden")


@pytest.mark.asyncio
class TestOrderLine:
    """What a user token shows of a line in which several people have a share."""

    PATH = f"/v1/order-lines/taobao/{LINE_ID}"

    @pytest.mark.parametrize("worker", [0, 1])
    async def test_only_the_own_share(self, secure: World, worker: int) -> None:
        """Neither the other one's id, nor his share, nor the platform's is anywhere in the answer."""
        everything = (await secure.ask("GET", self.PATH, worker=worker, headers=bearer(key_token(READ)))).json
        amounts = {share["user_id"]: share for share in everything["shares"]}
        assert set(amounts) == {BUYER, INVITER}
        for user_id, other in ((BUYER, INVITER), (INVITER, BUYER)):
            reply = await secure.ask("GET", self.PATH, worker=worker, headers=bearer(user_token(user_id)))
            assert reply.status == 200, reply.body
            answer = reply.json
            assert answer["shares"] == [amounts[user_id]]
            assert "platform_share" not in answer
            assert f'"{other}"' not in reply.body.decode()
            assert not any(
                other in sentence or "platform keeps" in sentence for sentence in answer["explanation"]
            )
            assert answer["owner"] == {"user_id": BUYER if user_id == BUYER else None}

    async def test_a_line_of_others_and_no_line_are_the_same(self, secure: World) -> None:
        """So that nobody learns which order numbers there are."""
        replies = [
            await secure.ask("GET", path, headers=bearer(user_token("u9")))
            for path in (self.PATH, "/v1/order-lines/taobao/404", "/v1/order-lines/taobao/%20")
        ]
        answers = [problem(reply, 403, "forbidden") for reply in replies]
        assert len({answer["detail"] for answer in answers}) == 1


@pytest.mark.asyncio
class TestClaims:
    """`POST /v1/users/{user_id}/claims`."""

    async def test_a_user_claims_for_himself(self, secure: World) -> None:
        """The claim is the path's user's, whatever a body names."""
        headers = {**bearer(user_token("u5")), "Content-Type": "application/json"}
        body = b'{"platform":"taobao","order_line_id":"77","claimed_at":"2026-01-05T10:00:00+08:00"}'
        reply = await secure.ask("POST", "/v1/users/u5/claims", headers=headers, body=body)
        assert (reply.status, reply.json["lines"]) == (202, ["taobao:77"])
        forged = body[:-1] + b',"user_id":"u6"}'
        reply = await secure.ask("POST", "/v1/users/u5/claims", headers=headers, body=forged)
        problem(reply, 422, "invalid-user_id")
        unknown = body[:-1] + b',"status":"settled"}'
        reply = await secure.ask("POST", "/v1/users/u5/claims", headers=headers, body=unknown)
        problem(reply, 422, "unknown-member")
