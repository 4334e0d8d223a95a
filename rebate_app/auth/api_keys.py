"""API keys of machines and staff: the TOML file, its entries, tokens (docs/spec/api-security.md#api-keys).

A token is `rbk_<id>_<secret>`; the file holds only the SHA-256 of the secret's text. The secret is 32 random
bytes, so a fast hash is enough, and it is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import tomllib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

from .scopes import SCOPES

PREFIX: Final = "rbk_"
SECRET_BYTES: Final = 32
NAME_CHARACTERS_MAX: Final = 200
PER_SECOND_MAX: Final = 1_000_000
MICROSECONDS: Final = 1_000_000

_ID = re.compile(r"[a-z0-9-]{1,32}")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_TOKEN = re.compile(r"rbk_([a-z0-9-]{1,32})_([A-Za-z0-9_-]{43})")
_MEMBERS: Final = ("id", "name", "sha256", "scopes", "not_after", "per_second")
#: Compared when the id is unknown, so that an unknown id takes as long as a wrong secret.
_NO_DIGEST: Final = bytes(32)


class InvalidTokenError(Exception):
    """The token is none, or wrong."""


class ExpiredTokenError(InvalidTokenError):
    """The token was right, and its time is over."""


class ApiKey(Struct, frozen=True):
    """One entry. `digest`: SHA-256 of the secret's text. `not_after_us`: µs since 1970, None for never.

    `per_second`: requests a second and worker, None for no limit.
    """

    id: str
    name: str
    digest: bytes
    scopes: frozenset[str]
    not_after_us: int | None = None
    per_second: float | None = None

    @property
    def actor(self) -> str:
        """Return who acts, as facts and the audit trail carry it."""
        return f"key:{self.id}"


class KeyRing:
    """All keys of one file.

    A token that was right once is remembered as long as the ring is, one for each key: it is looked up by a
    hash of this process's own (SipHash), so the time it takes tells nothing of one that is nearly right.
    """

    def __init__(self, keys: Iterable[ApiKey] = ()) -> None:
        self.keys: Mapping[str, ApiKey] = {key.id: key for key in keys}
        self._by_token: dict[str, ApiKey] = {}

    def verify(self, token: str, now_us: int) -> ApiKey:
        """Return the key of a token; InvalidTokenError, ExpiredTokenError for a right one after its time."""
        key = self._by_token.get(token)
        if key is None:
            key = self._by_token[token] = self._key_of(token)
        if key.not_after_us is not None and now_us >= key.not_after_us:
            raise ExpiredTokenError("the key has expired")
        return key

    def _key_of(self, token: str) -> ApiKey:
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise InvalidTokenError("the token is not an API key")
        key = self.keys.get(match[1])
        digest = hashlib.sha256(match[2].encode()).digest()
        if not hmac.compare_digest(digest, _NO_DIGEST if key is None else key.digest) or key is None:
            raise InvalidTokenError("no such key")
        return key


def is_api_key(token: str) -> bool:
    """Return whether a bearer token claims to be an API key, and not a user token."""
    return token.startswith(PREFIX)


def parse_keys(content: bytes) -> KeyRing:
    """Return the keys of a file; ValueError naming every problem, and no secret."""
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"it is not TOML: {error}") from None
    entries = document.pop("key", [])
    problems = [f"unknown member {name!r}" for name in document]
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("keys are written as [[key]]")
    keys = []
    for number, entry in enumerate(entries, start=1):
        found = _faults_of(entry)
        problems += [f"key {number}: {fault}" for fault in found]
        if not found:
            keys.append(_key_of(entry))
    seen = [key.id for key in keys]
    problems += [f"the id {name!r} occurs twice" for name in sorted({n for n in seen if seen.count(n) > 1})]
    if problems:
        raise ValueError("; ".join(problems))
    return KeyRing(keys)


def _faults_of(entry: Mapping[str, Any]) -> list[str]:
    faults = [f"unknown member {name!r}" for name in entry if name not in _MEMBERS]
    faults += [f"{name} is missing" for name in ("id", "name", "sha256", "scopes") if name not in entry]
    checks = {
        "id": (_is_text(_ID), "id has to be 1-32 of a-z0-9-"),
        "name": (_is_name, f"name has to be text of 1-{NAME_CHARACTERS_MAX} characters"),
        "sha256": (_is_text(_SHA256), "sha256 has to be 64 hexadecimal digits"),
        "scopes": (_is_scopes, f"scopes has to be a list of: {', '.join(SCOPES)}"),
        "not_after": (_is_moment, "not_after has to be a date and time with an offset"),
        "per_second": (_is_rate, f"per_second has to be a number above 0, at most {PER_SECOND_MAX}"),
    }
    return faults + [
        text for name, (check, text) in checks.items() if name in entry and not check(entry[name])
    ]


def _is_text(pattern: re.Pattern[str]) -> Any:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= NAME_CHARACTERS_MAX and value.isprintable()


def _is_scopes(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(each, str) and each in SCOPES for each in value)
    )


def _is_moment(value: object) -> bool:
    return isinstance(value, datetime) and value.utcoffset() is not None


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= PER_SECOND_MAX


def _key_of(entry: Mapping[str, Any]) -> ApiKey:
    not_after: datetime | None = entry.get("not_after")
    return ApiKey(
        id=entry["id"],
        name=entry["name"],
        digest=bytes.fromhex(entry["sha256"]),
        scopes=frozenset(entry["scopes"]),
        not_after_us=None if not_after is None else round(not_after.timestamp() * MICROSECONDS),
        per_second=entry.get("per_second"),
    )


class NewKey(Struct, frozen=True):
    """A key that was just made: the token, shown once, and the entry for the file."""

    token: str
    entry: str


def new_key(key_id: str, name: str, scopes: Iterable[str], not_after: datetime | None = None) -> NewKey:
    """Return a new key with a random secret; ValueError naming every problem of its entry."""
    secret = secrets.token_urlsafe(SECRET_BYTES)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    lines = [
        "[[key]]",
        f"id = {_toml(key_id)}",
        f"name = {_toml(name)}",
        f'sha256 = "{digest}"',
        f"scopes = [{', '.join(_toml(scope) for scope in scopes)}]",
    ]
    if not_after is not None:
        lines.append(f"not_after = {not_after.isoformat()}")
    entry = "\n".join(lines) + "\n"
    parse_keys(entry.encode())
    return NewKey(f"{PREFIX}{key_id}_{secret}", entry)


def _toml(text: str) -> str:
    """Return a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in escaped) + '"'
