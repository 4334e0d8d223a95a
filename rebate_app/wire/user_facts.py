"""User facts on `rebate-user-log`: profiles and bindings, in and out (contracts.md 2).

Law: a profile is whole, null is absent, and the record's timestamp is the default moment; the key is
the user id or the attribution id. It is separate from the order facts because the two topics share
nothing but the way faults are found; profiles are rare, so there is one careful path only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import orjson

from rebate_app.domain.facts import Bind, Profile, UserFact
from rebate_app.domain.faults import SELF_INVITE, UNDECODABLE, UNKNOWN_LEVEL, Fault, RefusedError

from .identifiers import (
    USER_ID_SAYS,
    attribution_id_ok,
    match_attribution_id,
    match_user_id,
    user_id_ok,
)
from .json_values import parse_strict
from .members import MemberReader, shown
from .order_check import check_envelope, check_key
from .order_facts import key_text

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

__all__ = [
    "attribution_id_ok",
    "check_bind",
    "check_profile",
    "decode_user",
    "encode_bind",
    "encode_profile",
    "user_id_ok",
]

USER_SCHEMA = "user-fact/1"
PROFILE = "user.profile"
BIND = "attribution.bind"
KINDS = frozenset({PROFILE, BIND})

ATTRIBUTION_ID_SAYS = "platform:field:value with a known field, or platform:none"
LEVEL_SAYS = "1-64 characters without control"
#: A level is a name from a rule file; it is compared, never interpreted.
_match_level = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}").fullmatch


def decode_user(value: bytes | None, key: bytes | None, record_us: int) -> UserFact:
    """Return the fact of one record of `rebate-user-log` that others may send.

    `record_us`, the record's timestamp in microseconds UTC, is the default of `effective_at`. A profile
    whose inviter is its own user is a fact here: the fold gives nobody a second share of a line.
    RefusedError with every fault in the order of contracts.md 5.
    """
    if value is None:
        raise RefusedError([Fault(UNDECODABLE, "", "the record has no value")])
    try:
        document = parse_strict(value)
        text = key_text(key)
    except ValueError as error:
        raise RefusedError([Fault(UNDECODABLE, "", str(error))]) from None
    if not isinstance(document, dict):
        raise RefusedError([_no_object(document)])
    faults = check_envelope(document, USER_SCHEMA, KINDS)
    kind = document.get("kind")
    fact: UserFact | None = None
    if isinstance(kind, str) and kind in KINDS:
        owner = document.get("user_id" if kind == PROFILE else "attribution_id")
        if isinstance(owner, str):
            faults += check_key(text, owner)
        reader = MemberReader(document)
        fact = _profile(reader, record_us) if kind == PROFILE else _bind(reader)
        faults += reader.faults()
    if fact is None or faults:
        raise RefusedError(faults)
    return fact


def check_profile(
    document: object, *, levels: Container[str] | None, now_us: int = 0
) -> Profile | list[Fault]:
    """Return the profile that a parsed JSON value is, or all its faults, at least one.

    The value comes by HTTP or from a file: `schema` and `kind` may be absent. `levels` are the levels
    of all loaded rule versions, None to take any. `now_us` stands for an absent `effective_at`, for
    display: what counts is the timestamp of the record that `encode_profile` makes.
    """
    if not isinstance(document, dict):
        return [_no_object(document)]
    faults = _stated_envelope(document, PROFILE)
    reader = MemberReader(document)
    profile = _profile(reader, now_us)
    faults += reader.faults()
    if profile.level and levels is not None and profile.level not in levels:
        faults.append(Fault(UNKNOWN_LEVEL, "level", f"no loaded version has level {shown(profile.level)}"))
    if profile.user_id and profile.user_id == profile.inviter_id:
        faults.append(Fault(SELF_INVITE, "inviter_id", "a user cannot be their own inviter"))
    return faults or profile


def check_bind(document: object) -> Bind | list[Fault]:
    """Return the binding that a parsed JSON value is, or all its faults; `schema` and `kind` are optional."""
    if not isinstance(document, dict):
        return [_no_object(document)]
    faults = _stated_envelope(document, BIND)
    reader = MemberReader(document)
    bind = _bind(reader)
    faults += reader.faults()
    return faults or bind


def encode_profile(document: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return the record (key, value) of a value that `check_profile` took.

    An absent `effective_at` stays absent, so that the record's own timestamp is it.
    """
    return _record(document, PROFILE, "user_id", ("level", "inviter_id", "effective_at"))


def encode_bind(document: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return the record (key, value) of a value that `check_bind` took; without a user it unbinds."""
    return _record(document, BIND, "attribution_id", ("user_id",))


def _profile(reader: MemberReader, default_us: int) -> Profile:
    """Read a `user.profile`."""
    user_id = reader.needed_text("user_id", match_user_id, USER_ID_SAYS)
    level = reader.needed_text("level", _match_level, LEVEL_SAYS)
    inviter_id = reader.text("inviter_id", match_user_id, USER_ID_SAYS)
    effective_at = reader.moment("effective_at")
    return Profile(user_id, level, inviter_id, default_us if effective_at is None else effective_at)


def _bind(reader: MemberReader) -> Bind:
    """Read an `attribution.bind`; null, which is absent, unbinds."""
    attribution_id = reader.needed_text("attribution_id", match_attribution_id, ATTRIBUTION_ID_SAYS)
    return Bind(attribution_id, reader.text("user_id", match_user_id, USER_ID_SAYS))


def _stated_envelope(document: dict[str, Any], kind: str) -> list[Fault]:
    """Return the faults of a `schema` or `kind` that is stated and is not the one meant."""
    stated = {"schema": USER_SCHEMA, "kind": kind}
    stated |= {name: value for name in stated if (value := document.get(name)) is not None}
    return check_envelope(stated, USER_SCHEMA, (kind,))


def _record(
    document: Mapping[str, Any], kind: str, owner: str, members: tuple[str, ...]
) -> tuple[bytes, bytes]:
    """Return (key, value) with exactly the members of the contract; null ones say themselves."""
    value = {"schema": USER_SCHEMA, "kind": kind, owner: document[owner]}
    value |= {name: document.get(name) for name in members}
    return str(document[owner]).encode(), orjson.dumps(value)


def _no_object(document: object) -> Fault:
    """Return the fault of a value that is no JSON object."""
    return Fault(UNDECODABLE, "", f"a fact is a JSON object, and this is {shown(document)}")
