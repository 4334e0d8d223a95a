"""User facts on `rebate-user-log`: profiles, bindings, repricings, money out (docs/spec/facts.md#user-facts).

A profile is whole, null is absent, and the record's timestamp is the default moment. The key is the user id
or the attribution id. Moments are microseconds UTC. Profiles are rare, so there is no fast path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from msgspec.structs import replace

from rebate_app.domain.facts import ATTRIBUTION_FIELDS, Bind, Profile, Reprice, UserFact
from rebate_app.domain.faults import SELF_INVITE, UNDECODABLE, UNKNOWN_LEVEL, Fault, RefusedError
from rebate_app.domain.money_out.facts import MoneyFact

from ..audit_trail import AUTHOR_MEMBERS, Requester, actor_of
from ..known_values import hint
from ..large_values import parse_fact
from .identifiers import (
    LEVEL_RULE,
    USER_ID_RULE,
    attribution_id_ok,
    match_attribution_id,
    match_border_user_id,
    match_level,
    match_user_id,
    user_id_ok,
)
from .members import MemberReader, quoted
from .money import MONEY_MEMBERS, read_money_fact
from .order import key_text
from .order_check import USER_SCHEMA, check_envelope, check_key
from .reprice import REPRICE, REPRICE_VALUES, limit_faults, read_reprice
from .unknown_members import unknown_members

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    #: On the topics every well-formed id is a user; at the borders `.` and `..` are none.
    AcceptsUserId = Callable[[str], object]

__all__ = [
    "attribution_id_ok",
    "check_bind",
    "check_money",
    "check_profile",
    "check_reprice",
    "decode_user",
    "encode_bind",
    "encode_money",
    "encode_profile",
    "encode_reprice",
    "user_id_ok",
]

PROFILE = "user.profile"
BIND = "attribution.bind"
#: Kind → the member that names whose fact it is, which is the record's key.
OWNER_MEMBER = {PROFILE: "user_id", BIND: "attribution_id", REPRICE: "user_id"} | dict.fromkeys(
    MONEY_MEMBERS, "user_id"
)
KINDS = tuple(OWNER_MEMBER)
PROFILE_MEMBERS = ("schema", "kind", "user_id", "level", "inviter_id", "effective_at")
BIND_MEMBERS = ("schema", "kind", "attribution_id", "user_id")
REPRICE_MEMBERS = ("schema", "kind", "user_id", *REPRICE_VALUES)

ATTRIBUTION_ID_RULE = (
    f"platform:none, or platform:field:value with a field of {', '.join(ATTRIBUTION_FIELDS)}"
)


def decode_user(value: bytes | None, key: bytes | None, record_us: int) -> UserFact:
    """Return the fact of one record of `rebate-user-log` that others may send.

    `record_us`, the record's timestamp in microseconds UTC, is the default of `effective_at`. A profile
    whose inviter is its own user is a fact here: the fold gives nobody a second share of a line.
    RefusedError with every fault in the order of docs/spec/facts.md#reason-codes.
    """
    if value is None:
        raise RefusedError([Fault(UNDECODABLE, "", "the record has no value")])
    try:
        document = parse_fact(value)
        text = key_text(key)
    except ValueError as error:
        raise RefusedError([Fault(UNDECODABLE, "", str(error))]) from None
    if not isinstance(document, dict):
        raise RefusedError([_no_object(document)])
    faults = check_envelope(document, USER_SCHEMA, OWNER_MEMBER)
    kind = document.get("kind")
    fact: UserFact | None = None
    if isinstance(kind, str) and kind in OWNER_MEMBER:
        owner = document.get(OWNER_MEMBER[kind])
        if isinstance(owner, str):
            faults += check_key(text, owner)
        reader = MemberReader(document)
        fact = _fact(kind, reader, record_us)
        if isinstance(fact, Profile):
            fact = replace(fact, actor=actor_of(document))
        faults += reader.faults()
        if isinstance(fact, Reprice):
            faults += limit_faults(fact)
    if fact is None or faults:
        raise RefusedError(faults)
    return fact


def check_profile(
    document: object, *, levels: Collection[str] | None, now_us: int = 0
) -> Profile | list[Fault]:
    """Return the profile that a parsed JSON value is, or all its faults, at least one.

    The value comes by HTTP or from a file: `schema` and `kind` may be absent. `inviter_id` may not be
    absent, null for none: a profile is whole, and an upgrade that leaves it out would erase the inviter.
    `levels` are the levels of all loaded rule versions, None to take any. `now_us` stands for an absent
    `effective_at`, for display: what counts is the timestamp of the record that `encode_profile` makes.
    """
    if not isinstance(document, dict):
        return [_no_object(document)]
    faults = _envelope_faults(document, PROFILE)
    reader = MemberReader(document)
    profile = _profile(reader, now_us, match_border_user_id)
    reader.require_present("inviter_id")
    faults += reader.faults() + unknown_members(_without_author(document), PROFILE_MEMBERS)
    if profile.level and levels is not None and profile.level not in levels:
        detail = f"no loaded version has level {quoted(profile.level)}; {hint(profile.level, sorted(levels))}"
        faults.append(Fault(UNKNOWN_LEVEL, "level", detail))
    if profile.user_id and profile.user_id == profile.inviter_id:
        faults.append(Fault(SELF_INVITE, "inviter_id", "a user cannot be their own inviter"))
    return faults or profile


def check_bind(document: object) -> Bind | list[Fault]:
    """Return the binding that a parsed JSON value is, or all its faults; `schema` and `kind` are optional.

    `user_id` has to be there, null unbinds.
    """
    if not isinstance(document, dict):
        return [_no_object(document)]
    faults = _envelope_faults(document, BIND)
    reader = MemberReader(document)
    bind = _bind(reader, match_border_user_id)
    reader.require_present("user_id")
    faults += reader.faults() + unknown_members(_without_author(document), BIND_MEMBERS)
    return faults or bind


def check_reprice(document: object) -> Reprice | list[Fault]:
    """Return the repricing that a parsed JSON value is, or all its faults.

    `schema` and `kind` are optional.
    """
    if not isinstance(document, dict):
        return [_no_object(document)]
    faults = _envelope_faults(document, REPRICE)
    reader = MemberReader(document)
    reprice = read_reprice(reader, match_border_user_id)
    faults += reader.faults() + limit_faults(reprice)
    faults += unknown_members(_without_author(document), REPRICE_MEMBERS)
    return faults or reprice


def encode_profile(document: Mapping[str, Any], requester: Requester | None = None) -> tuple[bytes, bytes]:
    """Return the record (key, value) of a value that `check_profile` took.

    An absent `effective_at` stays absent, so that the record's own timestamp is it. The members `actor` and
    `request_id` are the author's, whatever the document has.
    """
    return _record(document, PROFILE, "user_id", ("level", "inviter_id", "effective_at"), requester)


def encode_bind(document: Mapping[str, Any], requester: Requester | None = None) -> tuple[bytes, bytes]:
    """Return the record (key, value) of a value that `check_bind` took; without a user it unbinds."""
    return _record(document, BIND, "attribution_id", ("user_id",), requester)


def check_money(kind: str, document: object, actor: str) -> MoneyFact | list[Fault]:
    """Return the fact about money out that a parsed JSON value is, or all its faults.

    `actor`: who sends it. `schema` and `kind` are optional.
    """
    if not isinstance(document, dict):
        return [_no_object(document)]
    faults = _envelope_faults(document, kind)
    reader = MemberReader(document)
    fact = read_money_fact(kind, reader, match_border_user_id, actor)
    faults += reader.faults()
    members = ("schema", "kind", *MONEY_MEMBERS[kind])
    faults += unknown_members(_without_author(document), members)
    return faults or fact


def encode_money(kind: str, document: Mapping[str, Any], requester: Requester) -> tuple[bytes, bytes]:
    """Return the record (key, value) of a value that `check_money` took."""
    return _record(document, kind, "user_id", MONEY_MEMBERS[kind][1:], requester)


def encode_reprice(
    document: Mapping[str, Any], actor: str | None = None, request_id: str | None = None
) -> tuple[bytes, bytes]:
    """Return the record (key, value) of a value that `check_reprice` took; `actor`: who asks for it.

    See docs/adr/0019-actor-and-request-id.md: whoever sends the fact knows the actor, not the value itself.
    """
    requester = None if actor is None else Requester(actor, request_id)
    return _record(document, REPRICE, "user_id", REPRICE_VALUES, requester)


def _fact(kind: str, reader: MemberReader, record_us: int) -> UserFact:
    if kind in MONEY_MEMBERS:
        return read_money_fact(kind, reader, match_user_id)
    if kind == PROFILE:
        return _profile(reader, record_us)
    return _bind(reader) if kind == BIND else read_reprice(reader, match_user_id)


def _profile(reader: MemberReader, default_us: int, accepts: AcceptsUserId = match_user_id) -> Profile:
    """Read a `user.profile`."""
    user_id = reader.needed_text("user_id", accepts, USER_ID_RULE)
    level = reader.needed_text("level", match_level, LEVEL_RULE)
    inviter_id = reader.text("inviter_id", accepts, USER_ID_RULE)
    effective_at = reader.moment("effective_at")
    return Profile(user_id, level, inviter_id, default_us if effective_at is None else effective_at)


def _bind(reader: MemberReader, accepts: AcceptsUserId = match_user_id) -> Bind:
    """Read an `attribution.bind`; null, which is absent, unbinds."""
    attribution_id = reader.needed_text("attribution_id", match_attribution_id, ATTRIBUTION_ID_RULE)
    return Bind(attribution_id, reader.text("user_id", accepts, USER_ID_RULE))


def _without_author(document: dict[str, Any]) -> dict[str, Any]:
    """Return the members that a writer may choose; `actor` and `request_id` are overwritten."""
    return {name: value for name, value in document.items() if name not in AUTHOR_MEMBERS}


def _envelope_faults(document: dict[str, Any], kind: str) -> list[Fault]:
    """Return the faults of a `schema` or `kind` that is present and is not the expected one."""
    expected = {"schema": USER_SCHEMA, "kind": kind}
    expected |= {name: value for name in expected if (value := document.get(name)) is not None}
    return check_envelope(expected, USER_SCHEMA, (kind,))


def _record(
    document: Mapping[str, Any], kind: str, owner: str, members: tuple[str, ...], requester: Requester | None
) -> tuple[bytes, bytes]:
    """Return (key, value) with exactly the members of the contract, null ones too, and the author's."""
    value = {"schema": USER_SCHEMA, "kind": kind, owner: document[owner]}
    value |= {name: document.get(name) for name in members}
    if requester is not None:
        value |= {"actor": requester.actor, "request_id": requester.request_id}
    return str(document[owner]).encode(), orjson.dumps(value)


def _no_object(document: object) -> Fault:
    """Return the fault of a value that is no JSON object."""
    return Fault(UNDECODABLE, "", f"a fact is a JSON object, and this is {quoted(document)}")
