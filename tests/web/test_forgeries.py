"""Forged tokens, forged forwarding, repeated or changed requests between workers: all refused."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rebate_app.auth.api_keys import ApiKey, KeyRing
from rebate_app.auth.peer_signature import PeerRequest, sign
from rebate_app.secret_ring import parse_secret_ring
from rebate_app.web.app import TOO_MANY_PAUSE_SECONDS
from rebate_app.web.auth.access import Caller, encode_caller
from rebate_app.web.auth.authenticator import CALLER_HEADER, FORWARDED_HEADER, SIGNATURE_HEADER
from tests.web.facts import BUYER
from tests.web.raw_http import counted
from tests.web.secured import (
    AUDIENCE,
    ISSUER,
    RING,
    SECRET,
    SIGNING_KEY,
    bearer,
    key_token,
    secured,
    settled_example,
    user_token,
)
from tests.web.worlds import World, problem

BALANCE = f"/v1/users/{BUYER}/balance"
MEMBERS = {"sub": BUYER, "iss": ISSUER, "aud": AUDIENCE}


@pytest_asyncio.fixture
async def secure() -> AsyncIterator[World]:
    """Two workers with authentication on."""
    async with World(workers=2, security=secured) as world:
        await settled_example(world)
        yield world


def in_a_minute() -> int:
    """Return a moment a minute ahead, in seconds."""
    return int(time.time()) + 60


def encoded(part: dict[str, Any]) -> str:
    """Return a part of a token."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def unsigned(algorithm: str) -> str:
    """Return a token without a signature that says it needs none."""
    return f"{encoded({'alg': algorithm, 'kid': 'k1'})}.{encoded(MEMBERS | {'exp': in_a_minute()})}."


def signed_with_the_public_key() -> str:
    """Return a token whose HMAC key is the public key, which everybody has."""
    pem = SIGNING_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    content = f"{encoded({'alg': 'HS256', 'kid': 'k1'})}.{encoded(MEMBERS | {'exp': in_a_minute()})}"
    mac = hmac.new(pem, content.encode(), hashlib.sha256).digest()
    return f"{content}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def by_another_key(**header: Any) -> str:
    """Return a token that somebody else signed; it may bring its own key along."""
    key = generate_private_key(SECP256R1())
    claims = MEMBERS | {"exp": in_a_minute()}
    return jwt.encode(claims, key, algorithm="ES256", headers={"kid": "k1"} | header)


#: Made when they are used: a token is valid for a minute.
FORGED: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("None"),
    "HS256 with the public key": signed_with_the_public_key,
    "another key": by_another_key,
    "its own key": lambda: by_another_key(
        jwk={"kty": "EC"}, jku="https://evil.example/jwks", x5u="https://evil.example"
    ),
    "unknown kid": lambda: by_another_key(kid="k2"),
    "kid is a path": lambda: by_another_key(kid="../../dev/null"),
    "wrong issuer": lambda: user_token(BUYER, iss="https://evil.example"),
    "wrong audience": lambda: user_token(BUYER, aud="others"),
    "not yet valid": lambda: user_token(BUYER, nbf=in_a_minute() + 3_600),
    "of the future": lambda: user_token(BUYER, iat=in_a_minute() + 3_600),
    "no user": lambda: user_token(BUYER, sub=None),
    "an ill-formed user": lambda: user_token("a b"),
    "dots": lambda: user_token(".."),
    "a number as user": lambda: user_token(BUYER, sub=7),
    "exp is text": lambda: user_token(BUYER, exp="never"),
    "exp is infinite": lambda: user_token(BUYER, exp=float("inf")),
    "no token": lambda: "x",
    "three dots": lambda: "...",
    "not base64": lambda: "ä.b.c".encode().decode("latin-1"),
    "a key's name": lambda: "rbk_admin_",
    "a key's name and nothing": lambda: "rbk_admin_" + " " * 43,
    "an unknown key": lambda: f"rbk_nobody_{SECRET}",
}


@pytest.mark.asyncio
class TestTokens:
    """No forged token is anybody's."""

    @pytest.mark.parametrize("make", FORGED.values(), ids=FORGED.keys())
    async def test_a_forged_token_is_401(self, secure: World, make: Callable[[], str]) -> None:
        """And it is counted as what it is."""
        token = make()
        reply = await secure.ask("GET", BALANCE, headers=bearer(token))
        code = "invalid-token" if token.strip() else "unauthenticated"
        problem(reply, 401, code)
        assert counted(secure, "rebate_auth_refused_total")[code] == 1

    async def test_an_expired_token(self, secure: World) -> None:
        """Of a user, after the leeway, and of a key: 401 with a code of its own."""
        late = user_token(BUYER, exp=int(time.time()) - 31)
        problem(await secure.ask("GET", BALANCE, headers=bearer(late)), 401, "expired-token")
        within = user_token(BUYER, exp=int(time.time()) - 20)
        assert (await secure.ask("GET", BALANCE, headers=bearer(within))).status == 200

    async def test_a_token_without_expiry(self, secure: World) -> None:
        """Would be valid for ever, and so is none."""
        token = jwt.encode(MEMBERS, SIGNING_KEY, algorithm="ES256", headers={"kid": "k1"})
        problem(await secure.ask("GET", BALANCE, headers=bearer(token)), 401, "invalid-token")

    @pytest.mark.parametrize("header", ["Basic eDp5", "Bearer", "Bearer ", "Token x", "x"])
    async def test_what_is_no_bearer_token(self, secure: World, header: str) -> None:
        """It is as if there were no credentials, and not counted against the address."""
        reply = await secure.ask("GET", BALANCE, headers={"Authorization": header})
        problem(reply, 401, "unauthenticated")


def peer_headers(secure: World, target: str = BALANCE, **changed: Any) -> dict[str, str]:
    """Return what a worker of ours sends to worker 0 for a key that may read; `changed`: what is forged."""
    caller = encode_caller(Caller("key", "crm", frozenset({"balances:read"})))
    signed = {
        "worker": secure.workers[0].url,
        "method": "GET",
        "target": target,
        "body": b"",
        "caller": caller,
        "sender": "http://peer",
    } | {name: value for name, value in changed.items() if name not in ("at_us", "ring")}
    at_us = changed.get("at_us", secure.clock())
    signature = sign(changed.get("ring", RING), PeerRequest(**signed), at_us)
    return {FORWARDED_HEADER: "http://peer", CALLER_HEADER: caller, SIGNATURE_HEADER: signature}


SECONDS = 1_000_000
FORGED_REQUESTS: dict[str, dict[str, Any]] = {
    "for another worker": {"worker": "http://127.0.0.1:1"},
    "of another method": {"method": "POST"},
    "of another target": {"target": "/v1/users/u2/balance"},
    "with another body": {"body": b"x"},
    "for another caller": {"caller": encode_caller(Caller("key", "x", frozenset({"admin"})))},
    "from another sender": {"sender": "http://other"},
    "with another secret": {"ring": parse_secret_ring("a:" + "t" * 32)},
    "with an unknown secret": {"ring": parse_secret_ring("b:" + "s" * 32)},
}


@pytest.mark.asyncio
class TestForwarding:
    """A client cannot pass a request off as a worker's."""

    async def test_a_signed_request_is_its_callers(self, secure: World) -> None:
        """The owner applies the caller's rights, which the sender has verified."""
        own = [number for number in (0,) if secure.owner_of(BUYER) == number]
        headers = peer_headers(secure)
        reply = await secure.ask("GET", BALANCE, headers=headers)
        assert reply.status == (200 if own else 503)
        headers = peer_headers(secure, "/v1/workers")
        problem(await secure.ask("GET", "/v1/workers", headers=headers), 403, "forbidden")

    @pytest.mark.parametrize("changed", FORGED_REQUESTS.values(), ids=FORGED_REQUESTS.keys())
    async def test_a_forged_one_is_as_if_not_forwarded(self, secure: World, changed: dict[str, Any]) -> None:
        """So it needs credentials; to the internal routes it is 404."""
        problem(
            await secure.ask("GET", BALANCE, headers=peer_headers(secure, **changed)), 401, "unauthenticated"
        )
        both = {**peer_headers(secure, **changed), **bearer(key_token("balances:read"))}
        assert (await secure.ask("GET", BALANCE, headers=both)).status == 200
        assert counted(secure, "rebate_auth_refused_total")["signature"] == 2

    @pytest.mark.parametrize("seconds", [-31, 31])
    async def test_an_old_one(self, secure: World, seconds: int) -> None:
        """Older than 30 s, or of the future."""
        headers = peer_headers(secure, at_us=secure.clock() + seconds * SECONDS)
        problem(await secure.ask("GET", BALANCE, headers=headers), 401, "unauthenticated")

    async def test_a_repeated_one(self, secure: World) -> None:
        """Whoever listens cannot ask the same again."""
        headers = peer_headers(secure, "/v1/me")
        assert (await secure.ask("GET", "/v1/me", headers=headers)).status == 200
        problem(await secure.ask("GET", "/v1/me", headers=headers), 401, "unauthenticated")

    @pytest.mark.parametrize("signature", ["", "v1", "v1 a 1 2 3", f"v2 a 1 {'0' * 32} {'0' * 64}", "ä"])
    async def test_what_is_no_signature(self, secure: World, signature: str) -> None:
        """The header alone marks nothing, and what nobody can read is no failure of ours."""
        headers = {FORWARDED_HEADER: "http://peer", CALLER_HEADER: "", SIGNATURE_HEADER: signature}
        problem(await secure.ask("GET", BALANCE, headers=headers), 401, "unauthenticated")
        problem(await secure.ask("POST", "/internal/share", headers=headers, body=b"{}"), 404, "not-found")

    async def test_internal_questions(self, secure: World) -> None:
        """A body that was changed on the way is 404, and the right one is understood."""
        signed: dict[str, Any] = {"method": "POST", "target": "/internal/users", "body": b"{}", "caller": ""}
        headers = {**peer_headers(secure, **signed), CALLER_HEADER: ""}
        problem(await secure.ask("POST", "/internal/users", headers=headers, body=b"[]"), 404, "not-found")
        headers = {**peer_headers(secure, **signed), CALLER_HEADER: ""}
        problem(await secure.ask("POST", "/internal/users", headers=headers, body=b"{}"), 503, "not-ready")


@pytest.mark.asyncio
class TestRates:
    """How often a caller may ask."""

    async def test_a_key_over_its_rate(self) -> None:
        """Two seconds' worth at once, then 429 with the time to wait; other keys do not notice."""
        digest = hashlib.sha256(SECRET.encode()).digest()
        keys = KeyRing(
            ApiKey(name, name, digest, frozenset({"balances:read"}), per_second=rate)
            for name, rate in (("slow", 0.001), ("fast", None))
        )
        async with World(security=lambda clock: secured(clock, keys)) as world:
            slow, fast = (bearer(f"rbk_{name}_{SECRET}") for name in ("slow", "fast"))
            assert (await world.ask("GET", BALANCE, headers=slow)).status == 200
            reply = await world.ask("GET", BALANCE, headers=slow)
            problem(reply, 429, "too-many-requests")
            assert int(reply.headers["Retry-After"]) >= 1
            assert reply.headers["RateLimit"].startswith('"requests";r=0;t=')
            assert reply.headers["RateLimit-Policy"].startswith('"requests";q=1;w=')
            assert (await world.ask("GET", BALANCE, headers=fast)).status == 200

    async def test_who_does_not_wait_is_answered_slowly(self) -> None:
        """A refusal takes a while, so that a client in a loop takes no time from the others."""
        digest = hashlib.sha256(SECRET.encode()).digest()
        key = ApiKey("slow", "slow", digest, frozenset({"balances:read"}), per_second=0.001)
        async with World(security=lambda clock: secured(clock, KeyRing([key]))) as world:
            slow = bearer(f"rbk_slow_{SECRET}")
            await world.ask("GET", BALANCE, headers=slow)
            began = time.monotonic()
            problem(await world.ask("GET", BALANCE, headers=slow), 429, "too-many-requests")
            assert time.monotonic() - began >= TOO_MANY_PAUSE_SECONDS

    async def test_wrong_credentials_of_one_address(self, secure: World) -> None:
        """Twenty a minute are 401, further ones 429; right ones and none at all are not concerned."""
        wrong = bearer(f"rbk_admin_{'y' * 43}")
        for _ in range(20):
            problem(await secure.ask("GET", BALANCE, headers=wrong), 401, "invalid-token")
        reply = await secure.ask("GET", BALANCE, headers=wrong)
        problem(reply, 429, "too-many-requests")
        assert "Retry-After" in reply.headers
        problem(await secure.ask("GET", BALANCE), 401, "unauthenticated")
        assert (await secure.ask("GET", BALANCE, headers=bearer(key_token("admin")))).status == 200
