"""Sessions of the page: signed cookies without state, and writes from the page of this worker only."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
import pytest
import pytest_asyncio

from rebate_app.auth.api_keys import ApiKey, ExpiredTokenError, InvalidTokenError, KeyRing
from rebate_app.auth.sessions import SESSION_SECONDS, sign_session, verify_session
from rebate_app.secret_ring import parse_secret_ring
from rebate_app.web.auth.session_cookie import COOKIE, HOST_COOKIE, session_of
from tests.web.facts import BUYER
from tests.web.secured import KEYS, RING, bearer, key_token, secured, settled_example
from tests.web.stream_ports import Clock
from tests.web.worlds import Reply, World, problem

SECOND_US = 1_000_000
KEY = KEYS.keys["admin"]
NOW = 1_800_000_000 * SECOND_US
PROFILE = f"/v1/users/{BUYER}/profile"
LEVEL = {"level": "vip", "inviter_id": None}


class TestSignature:
    """What a cookie proves."""

    def test_it_gives_its_key_until_its_end(self) -> None:
        """Valid up to the last moment before 8 h."""
        session, end = sign_session(RING, KEY, NOW), NOW + SESSION_SECONDS * SECOND_US
        assert verify_session(RING, KEYS, session, NOW) == KEY
        assert verify_session(RING, KEYS, session, end - 1) == KEY
        with pytest.raises(ExpiredTokenError):
            verify_session(RING, KEYS, session, end)

    def test_every_changed_character_is_refused(self) -> None:
        """Its end, its key and its signature belong together."""
        session = sign_session(RING, KEY, NOW)
        for number, character in enumerate(session):
            changed = session[:number] + ("1" if character != "1" else "2") + session[number + 1 :]
            with pytest.raises(InvalidTokenError):
                verify_session(RING, KEYS, changed, NOW)
        for text in ("", "v1", session + "0", session.upper(), session.replace(".admin.", ".metrics-read.")):
            with pytest.raises(InvalidTokenError):
                verify_session(RING, KEYS, text, NOW)

    def test_it_ends_with_its_key(self) -> None:
        """Removed from the file, replaced under the same id, or past its time."""
        session = sign_session(RING, KEY, NOW)
        other = ApiKey("admin", "other", b"d" * 32, KEY.scopes)
        for keys in (KeyRing(), KeyRing([other])):
            with pytest.raises(InvalidTokenError):
                verify_session(RING, keys, session, NOW)
        ended = ApiKey("admin", "admin", KEY.digest, KEY.scopes, NOW + SECOND_US)
        assert verify_session(RING, KeyRing([ended]), session, NOW) == ended
        with pytest.raises(ExpiredTokenError):
            verify_session(RING, KeyRing([ended]), session, NOW + SECOND_US)

    def test_a_rotation_of_the_secret_keeps_it(self) -> None:
        """As long as the ring has the secret that signed; another one does not do."""
        session = sign_session(RING, KEY, NOW)
        rotated = parse_secret_ring("b:" + "t" * 32 + ",a:" + "s" * 32)
        assert verify_session(rotated, KEYS, session, NOW) == KEY
        for ring in (parse_secret_ring("b:" + "t" * 32), parse_secret_ring("a:" + "t" * 32)):
            with pytest.raises(InvalidTokenError):
                verify_session(ring, KEYS, session, NOW)

    def test_the_cookie_of_tls_comes_first(self) -> None:
        """So that a page of another host under the same domain cannot put its own before it."""
        both = {"Cookie": f"x=1; {COOKIE}=plain; {HOST_COOKIE}=tls; {HOST_COOKIE}=second"}
        assert session_of(both) == "tls"
        assert session_of({"Cookie": f"{COOKIE}=; {COOKIE}=one"}) == "one"
        assert session_of({"Cookie": "other=1"}) is None


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    """Two workers with authentication on; between them they own every partition."""
    async with World(workers=2, security=secured) as made:
        await settled_example(made)
        yield made


async def sign_in(world: World, scope: str = "admin", **headers: str) -> str:
    """Return the cookie of a new session."""
    named = {"Content-Type": "application/json"} | {
        name.replace("_", "-"): text for name, text in headers.items()
    }
    body = orjson.dumps({"key": key_token(scope)})
    reply = await world.ask("POST", "/v1/session", headers=named, body=body)
    assert reply.status == 201, reply.body
    return reply.headers["Set-Cookie"].partition(";")[0]


async def put(
    world: World, cookie: str, headers: Mapping[str, str], worker: int = 0, body: Any = LEVEL
) -> Reply:
    """Write a profile with a session."""
    named = {"Cookie": cookie, "Content-Type": "application/json", **headers}
    named = {name: value for name, value in named.items() if value}
    return await world.ask("PUT", PROFILE, headers=named, worker=worker, body=orjson.dumps(body))


def origin(world: World, worker: int = 0) -> dict[str, str]:
    """Return the headers of a browser on the worker's own page."""
    return {"Origin": world.workers[worker].url, "Sec-Fetch-Site": "same-origin"}


@pytest.mark.asyncio
class TestSigningIn:
    """`POST`, `GET` and `DELETE /v1/session`."""

    async def test_a_key_is_exchanged_for_a_cookie(self, world: World) -> None:
        """Of 8 h, not readable by scripts, not sent along by other sites; not Secure without TLS."""
        body = orjson.dumps({"key": f" {key_token('balances:read')}\n"})
        headers = {"Content-Type": "application/json", **origin(world)}
        reply = await world.ask("POST", "/v1/session", headers=headers, body=body)
        assert (reply.status, reply.json["signed_in"]) == (201, True)
        assert reply.json["caller"]["may"] == ["balances:read"]
        cookie, *attributes = reply.headers["Set-Cookie"].split("; ")
        assert attributes == ["Path=/", "Max-Age=28800", "HttpOnly", "SameSite=Strict"]
        assert cookie.startswith(f"{COOKIE}=v1.a.balances-read.")
        assert reply.headers["Cache-Control"] == "no-store"
        assert "x" * 43 not in reply.body.decode()
        session = await world.get("/v1/session", Cookie=cookie)
        assert session.json == reply.json
        assert world.workers[0].trail.records == []  # it changes nothing

    async def test_over_tls_it_is_secure(self, world: World) -> None:
        """TLS of the worker's own, or of a proxy before it: then the browser says so."""
        host = world.workers[0].url.removeprefix("http://")
        headers = {"Content-Type": "application/json", "Origin": f"https://{host}"}
        body = orjson.dumps({"key": key_token("admin")})
        reply = await world.ask("POST", "/v1/session", headers=headers, body=body)
        assert reply.headers["Set-Cookie"].startswith(f"{HOST_COOKIE}=")
        assert reply.headers["Set-Cookie"].endswith("; Secure")
        reply = await world.ask("DELETE", "/v1/session", headers={"Origin": f"https://{host}"})
        assert reply.headers["Set-Cookie"].startswith(f"{HOST_COOKIE}=; Path=/; Max-Age=0;")

    async def test_a_bearer_token_does_as_well(self, world: World) -> None:
        """A program may ask without a body."""
        reply = await world.ask("POST", "/v1/session", headers=bearer(key_token("admin")))
        assert reply.status == 201, reply.body
        problem(await world.ask("POST", "/v1/session"), 401, "unauthenticated")  # and neither with nothing

    @pytest.mark.parametrize(
        ("body", "status", "code"),
        [
            ({"key": "rbk_admin_" + "y" * 43}, 401, "invalid-token"),
            ({"key": "nonsense"}, 401, "invalid-token"),
            ({"key": ""}, 401, "invalid-token"),
            ({}, 422, "missing-key"),
            ({"key": 7}, 422, "missing-key"),
            ([], 422, "missing-key"),
            ({"key": "rbk_admin_" + "x" * 43, "hours": 9}, 422, "unknown-member"),
        ],
    )
    async def test_a_wrong_key(self, world: World, body: Any, status: int, code: str) -> None:
        """It gives no cookie, and says nothing of which keys there are."""
        headers = {"Content-Type": "application/json"}
        reply = await world.ask("POST", "/v1/session", headers=headers, body=orjson.dumps(body))
        problem(reply, status, code)
        assert "Set-Cookie" not in reply.headers

    @pytest.mark.parametrize("body", [b"{}", b'{"key":7}', b'{"key":"rbk_a_b","hours":9}'])
    async def test_a_body_counts_beside_a_bearer_token(self, world: World, body: bytes) -> None:
        """One that is no key is not passed over because a header would do."""
        headers = {"Content-Type": "application/json", **bearer(key_token("admin"))}
        reply = await world.ask("POST", "/v1/session", headers=headers, body=body)
        assert reply.status == 422, reply.body

    async def test_guesses_are_limited(self, world: World) -> None:
        """As wrong bearer tokens are; a right key still passes."""
        headers = {"Content-Type": "application/json"}
        for _ in range(20):
            reply = await world.ask("POST", "/v1/session", headers=headers, body=b'{"key":"rbk_a_b"}')
            problem(reply, 401, "invalid-token")
        reply = await world.ask("POST", "/v1/session", headers=headers, body=b'{"key":"rbk_a_b"}')
        problem(reply, 429, "too-many-requests")
        await sign_in(world)

    async def test_another_page_cannot_sign_a_browser_in_or_out(self, world: World) -> None:
        """Else somebody would work under a key that he did not give."""
        body = orjson.dumps({"key": key_token("admin")})
        for strange in (
            {"Origin": "https://evil.example"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Origin": "null"},
        ):
            headers = {"Content-Type": "application/json", **strange}
            problem(await world.ask("POST", "/v1/session", headers=headers, body=body), 403, "forbidden")
            problem(await world.ask("DELETE", "/v1/session", headers=strange), 403, "forbidden")
        form = {"Content-Type": "text/plain"}
        problem(
            await world.ask("POST", "/v1/session", headers=form, body=body), 415, "unsupported-media-type"
        )

    async def test_signing_out_clears_the_cookie(self, world: World) -> None:
        """Whether there is one or not."""
        reply = await world.ask("DELETE", "/v1/session", headers=origin(world))
        assert (reply.status, reply.body) == (204, b"")
        assert reply.headers["Set-Cookie"].startswith(f"{COOKIE}=; Path=/; Max-Age=0;")

    async def test_without_authentication_everybody_is_signed_in(self) -> None:
        """And no cookie is of use."""
        async with World() as open_world:
            for method in ("GET", "POST"):
                reply = await open_world.ask(method, "/v1/session")
                assert (reply.status, reply.json["caller"]["kind"]) == (200, "anonymous")
                assert "Set-Cookie" not in reply.headers


@pytest.mark.asyncio
class TestRights:
    """What a session may do."""

    @pytest.mark.parametrize("worker", [0, 1])
    async def test_those_of_its_key_also_through_forwarding(self, world: World, worker: int) -> None:
        """The owner of the records applies the key's rights, whichever worker is asked."""
        cookie = await sign_in(world, "balances:read")
        assert (await world.get(f"/v1/users/{BUYER}/balance", worker, Cookie=cookie)).status == 200
        assert (await world.get("/v1/me", worker, Cookie=cookie)).json["actor"] == "key:balances-read"
        detail = problem(await world.get("/v1/audit-trail", worker, Cookie=cookie), 403, "forbidden")[
            "detail"
        ]
        assert "operations:read" in detail
        problem(await put(world, cookie, origin(world, worker), worker), 403, "forbidden")

    async def test_what_it_does_is_recorded_under_its_key(self, world: World) -> None:
        """The trail names the key, as with the key itself."""
        cookie = await sign_in(world)
        reply = await put(world, cookie, origin(world), body=LEVEL | {"reason": "asked"})
        assert reply.status == 202, reply.body
        (record,) = world.workers[0].trail.records
        assert (record.actor, record.action, record.reason) == ("key:admin", "profile.put", "asked")

    async def test_a_bearer_token_comes_first(self, world: World) -> None:
        """Whoever sends one means it, and no page of another site can."""
        cookie = await sign_in(world, "balances:read")
        headers = {"Cookie": cookie, **bearer(key_token("admin"))}
        assert (await world.ask("GET", "/v1/me", headers=headers)).json["actor"] == "key:admin"
        headers = {"Cookie": cookie, "Authorization": "Basic eDp5"}
        problem(await world.ask("GET", "/v1/me", headers=headers), 401, "unauthenticated")

    async def test_an_old_or_forged_one_is_401(self, world: World) -> None:
        """`GET /v1/session` then says that nobody is signed in."""
        cookie = await sign_in(world)
        forged = cookie[:-1] + ("0" if cookie[-1] != "0" else "1")
        problem(await world.get("/v1/me", Cookie=forged), 401, "invalid-token")
        world.clock.now += SESSION_SECONDS * SECOND_US
        problem(await world.get("/v1/me", Cookie=cookie), 401, "expired-token")
        assert (await world.get("/v1/session", Cookie=cookie)).json == {"signed_in": False, "caller": None}

    async def test_a_key_that_is_taken_out_of_the_file_ends_it(self) -> None:
        """At once, on every worker that has read the file."""
        keys = dict(KEYS.keys)

        def with_file(clock: Clock) -> Mapping[str, Any]:
            members = dict(secured(clock))
            ring = KeyRing()
            ring.keys = keys
            found = members["credentials"]
            members["credentials"] = type(found)(
                required=True, keys=lambda: ring, session_secrets=found.session_secrets
            )
            return members

        async with World(security=with_file) as made:
            cookie = await sign_in(made)
            assert (await made.get("/v1/me", Cookie=cookie)).status == 200
            del keys["admin"]
            problem(await made.get("/v1/me", Cookie=cookie), 401, "invalid-token")


@pytest.mark.asyncio
class TestForgedRequests:
    """A browser sends the cookie also with requests that another page makes it send (CSRF)."""

    async def test_the_page_itself_may_write(self, world: World) -> None:
        """By either header; a browser without TLS sends Origin alone."""
        cookie = await sign_in(world)
        for headers in (origin(world), {"Origin": world.workers[0].url}, {"Sec-Fetch-Site": "same-origin"}):
            assert (await put(world, cookie, headers)).status == 202

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://127.0.0.1"},
            {"Origin": "http://127.0.0.1:1"},
            {"Origin": "http://[", "Sec-Fetch-Site": "same-origin"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"Sec-Fetch-Site": "none"},
            {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
        ],
        ids=str,
    )
    async def test_another_page_may_not(self, world: World, headers: dict[str, str]) -> None:
        """Nothing is written, and the refusal is recorded for nobody: it is not the key's holder who asks."""
        cookie = await sign_in(world)
        problem(await put(world, cookie, headers), 403, "forbidden")
        assert world.workers[0].sender.sent == 0

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    async def test_a_form_may_not(self, world: World, content_type: str) -> None:
        """A content type that needs no preflight is no JSON."""
        cookie = await sign_in(world)
        reply = await put(world, cookie, {**origin(world), "Content-Type": content_type})
        problem(reply, 415, "unsupported-media-type")
        assert world.workers[0].sender.sent == 0

    async def test_reads_need_no_proof(self, world: World) -> None:
        """No other page can see the answer: there is no CORS for cookies."""
        cookie = await sign_in(world)
        reply = await world.get("/v1/me", Cookie=cookie, Origin="https://evil.example")
        assert reply.status == 200
        assert not any(name.startswith("Access-Control") for name in reply.headers)
