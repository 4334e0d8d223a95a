"""Worlds with authentication: keys of every scope, users' tokens, and workers that sign."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key

from rebate_app.auth.api_keys import ApiKey, KeyRing
from rebate_app.auth.peer_signature import SignatureVerifier
from rebate_app.auth.scopes import SCOPES
from rebate_app.auth.user_tokens import TokenKey, UserTokenVerifier
from rebate_app.secret_ring import parse_secret_ring
from rebate_app.web.auth.authenticator import Credentials
from rebate_app.web.routing.peer_client import PeerSecurity
from tests.web.facts import BUYER, INVITER, paid, profile, settled
from tests.web.worlds import World

SECRET = "x" * 43
RING = parse_secret_ring("a:" + "s" * 32)
SIGNING_KEY = generate_private_key(SECP256R1())
ISSUER, AUDIENCE = "https://id.example", "rebate"

#: One key for each scope alone; the key `admin` may do everything.
KEYS = KeyRing(
    ApiKey(scope.replace(":", "-"), scope, hashlib.sha256(SECRET.encode()).digest(), frozenset({scope}))
    for scope in SCOPES
)


def key_token(scope: str) -> str:
    """Return the token of the key that has that scope alone."""
    return f"rbk_{scope.replace(':', '-')}_{SECRET}"


def user_token(user_id: str, **claims: Any) -> str:
    """Return a token of a user, valid for a minute by the wall clock."""
    payload = {"sub": user_id, "iss": ISSUER, "aud": AUDIENCE, "exp": int(time.time()) + 60} | claims
    return jwt.encode(payload, SIGNING_KEY, algorithm="ES256", headers={"kid": "k1"})


async def settled_example(world: World) -> None:
    """Let the worked example happen: u2 invites u1, whose line is settled."""
    world.users(profile(INVITER), profile(BUYER, INVITER))
    world.orders(paid(), settled())


def secured(
    clock: Callable[[], int], keys: KeyRing = KEYS, user_per_second: float = 1_000.0
) -> Mapping[str, Any]:
    """Return the members of `Api` for one worker with authentication on."""
    return {
        "credentials": Credentials(
            required=True,
            keys=lambda: keys,
            token_keys=lambda: {"k1": TokenKey("ES256", SIGNING_KEY.public_key())},
            tokens=UserTokenVerifier(ISSUER, AUDIENCE),
            signatures=SignatureVerifier(RING),
            session_secrets=RING,
            user_per_second=user_per_second,
        ),
        "peer_security": PeerSecurity(RING, clock),
        "body_secrets": RING,
    }


def bearer(token: str) -> dict[str, str]:
    """Return the header that carries a token."""
    return {"Authorization": f"Bearer {token}"}
