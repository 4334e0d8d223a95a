"""User tokens: JWTs that the platform's own app gets from its identity provider (RFC 7519, RFC 8725).

The key of the set decides the algorithm, never the token (docs/spec/api-security.md#user-tokens).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import jwt
from msgspec import Struct

from rebate_app.wire.facts.identifiers import match_border_user_id

from .api_keys import ExpiredTokenError, InvalidTokenError

LEEWAY_SECONDS: Final = 30
#: What a key of each type may verify. Curves and sizes are checked by the library when the key is read.
ALGORITHMS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("RS256",),
    "EC": ("ES256",),
    "OKP": ("EdDSA",),
    "oct": ("HS256",),
}
CURVES: Final[Mapping[str, str]] = {"EC": "P-256", "OKP": "Ed25519"}
SYMMETRIC_BYTES_MIN: Final = 32  # of a key of HS256 (RFC 7518, 3.2)
#: Whatever a library raises for bytes that a stranger has chosen.
_UNUSABLE: Final = (
    jwt.PyJWTError,
    ValueError,
    TypeError,
    OverflowError,
    KeyError,
    AttributeError,
    RecursionError,
)


class TokenKey(Struct, frozen=True):
    """One key of the set, and the only algorithm that it is used with."""

    algorithm: str
    key: Any


class UserTokenVerifier(Struct, frozen=True):
    """Verifies tokens of one issuer for one audience; `claim` holds the user id."""

    issuer: str
    audience: str
    claim: str = "sub"

    def verify(self, keys: Mapping[str | None, TokenKey], token: str) -> str:
        """Return the user id of a token; InvalidTokenError or ExpiredTokenError.

        By the wall clock: `exp` is needed, `nbf` and `iat` hold where given, with LEEWAY_SECONDS.
        """
        try:
            claims = self._claims(keys, token)
        except jwt.ExpiredSignatureError:
            raise ExpiredTokenError("the token has expired") from None
        except _UNUSABLE as error:
            raise InvalidTokenError(f"the token is not valid: {type(error).__name__}") from None
        user_id = claims.get(self.claim)
        if not isinstance(user_id, str) or match_border_user_id(user_id) is None:
            raise InvalidTokenError(f"{self.claim} is not a user id")
        return user_id

    def _claims(self, keys: Mapping[str | None, TokenKey], token: str) -> Mapping[str, Any]:
        kid = jwt.get_unverified_header(token).get("kid")
        if kid is None and len(keys) == 1:
            (found,) = keys.values()
        else:
            found = keys[kid] if isinstance(kid, str) else _no_key()
        options: Any = {"require": ["exp"], "verify_sub": self.claim == "sub"}
        return jwt.decode(
            token,
            found.key,
            algorithms=[found.algorithm],
            issuer=self.issuer,
            audience=self.audience,
            leeway=LEEWAY_SECONDS,
            options=options,
        )


def _no_key() -> TokenKey:
    raise InvalidTokenError("the token does not name one of several keys")


def parse_key_set(content: bytes) -> Mapping[str | None, TokenKey]:
    """Return the keys of a JSON Web Key Set by `kid`; ValueError naming every problem, and no key.

    A set of one key may leave `kid` out. Keys for encryption are ignored.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("a key set has a list of keys")
    keys: dict[str | None, TokenKey] = {}
    problems = []
    for number, entry in enumerate(entries, start=1):
        if entry.get("use", "sig") != "sig":
            continue
        try:
            kid = _kid_of(entry)
            key = _key_of(entry)
        except ValueError as error:
            problems.append(f"key {number}: {error}")
        else:
            if kid in keys:
                problems.append(f"key {number}: its kid occurs twice, or several keys have none")
            keys[kid] = key
    if len(keys) > 1 and None in keys:
        problems.append("of several keys, each needs a kid")
    if problems:
        raise ValueError("; ".join(problems))
    return keys


def _kid_of(entry: Mapping[str, Any]) -> str | None:
    kid = entry.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise ValueError("kid has to be text")
    return kid


def _key_of(entry: Mapping[str, Any]) -> TokenKey:
    kind = str(entry.get("kty"))
    allowed = ALGORITHMS.get(kind)
    if allowed is None:
        raise ValueError(f"kty has to be one of {', '.join(ALGORITHMS)}")
    algorithm = entry.get("alg", allowed[0])
    if algorithm not in allowed:
        raise ValueError(f"alg of a key of type {kind} has to be {', '.join(allowed)}")
    if kind in CURVES and entry.get("crv") != CURVES[kind]:
        raise ValueError(f"crv of a key of type {kind} has to be {CURVES[kind]}")
    try:
        key = jwt.PyJWK(dict(entry), algorithm=algorithm).key
    except _UNUSABLE:
        raise ValueError("it cannot be used") from None
    if kind == "oct" and len(key) < SYMMETRIC_BYTES_MIN:
        raise ValueError(f"a key of type oct has at least {SYMMETRIC_BYTES_MIN} bytes")
    if kind != "oct" and "d" in entry:
        raise ValueError("it is a private key, which nobody here may have")
    return TokenKey(algorithm, key)
