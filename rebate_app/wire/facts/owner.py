"""Facts that only the owner of a partition writes, `owner-fact/1` (docs/spec/facts.md#owner-facts).

What they state has happened, so a record that cannot be read is never skipped: its partition halts. A
`rules.activated` of another app is ignored. Facts about money out (payouts.py) and turns (turns.py) count
whatever app wrote them.
"""

from __future__ import annotations

from msgspec import DecodeError, Struct, ValidationError
from msgspec.json import Decoder, Encoder

from rebate_app.domain.pricing.catalogue import Activation

from ..unreadable import UnreadableValueError, decode_with, shortened
from .payouts import PAYOUT_KINDS, WITHDRAWAL_DECIDED, Author, AuthoredFact, decode_payout_fact
from .turns import TURN_KINDS, TurnFact, decode_turn

SCHEMA = "owner-fact/1"
PREFIX = f'{{"schema":"{SCHEMA}",'.encode()  # our encoder writes members in order
RULES_ACTIVATED = "rules.activated"
FORMAT = 1
#: No user id and no attribution id has this form.
KEY_PREFIX = "rules.activated:"


class RulesActivated(Struct, frozen=True):
    """A version is known for every record of this partition behind `after_offset` (format 1).

    `hash`: of the version's content; `at`: when the owner learned of it, ms since 1970.
    """

    schema: str
    kind: str
    app: str
    format: int
    version: str
    hash: str
    after_offset: int
    at: int


class _Header(Struct, frozen=True):
    schema: str = ""
    kind: str = ""
    app: str = ""
    topic_id: str = ""


_encode = Encoder().encode
_decode = Decoder(RulesActivated).decode
_decode_header = Decoder(_Header).decode


def encode_activated(activation: Activation, app: str) -> bytes:
    """Return the value of the owner's `rules.activated`."""
    return _encode(
        RulesActivated(
            SCHEMA,
            RULES_ACTIVATED,
            app,
            FORMAT,
            activation.version,
            activation.content_hash,
            activation.after_offset,
            activation.at,
        )
    )


def begins_as_owner_fact(value: bytes | None) -> bool:
    """Return whether the value begins as our own encoder writes owner facts."""
    return value is not None and value.startswith(PREFIX)


def is_owner_fact(value: bytes | None) -> bool:
    """Return whether the value is an owner fact, in whatever spelling, or begins as one."""
    if value is None:
        return False
    if value.startswith(PREFIX):
        return True
    try:
        return _decode_header(value).schema == SCHEMA
    except (DecodeError, ValidationError, UnicodeDecodeError, RecursionError):
        return False


OwnerFact = Activation | AuthoredFact | TurnFact


def decode_owner_fact(value: bytes | None, key: bytes | None, app: str) -> OwnerFact | None:
    """Return what an owner fact states, None for a `rules.activated` of another app.

    UnreadableValueError: it cannot be read, and must not be skipped.
    """
    header = decode_with(_decode_header, value)
    if header.kind in PAYOUT_KINDS:
        return decode_payout_fact(header.kind, value, key)
    if header.kind in TURN_KINDS:
        return decode_turn(value)
    if header.kind != RULES_ACTIVATED:
        raise UnreadableValueError(f"the kind {shortened(repr(header.kind))} is not known here")
    if header.app and header.app != app:
        return None
    fact = decode_with(_decode, value)
    if fact.format != FORMAT:
        raise UnreadableValueError(f"its format {shortened(fact.format)} is not known here")
    return Activation(fact.version, fact.hash, fact.after_offset, fact.at)


def waits_behind_its_user(value: bytes | None, key: bytes | None) -> bool:
    """Return whether an owner fact is about a user and can be read: it waits while that user is parked."""
    try:
        header = decode_with(_decode_header, value)
        if header.kind not in PAYOUT_KINDS:
            return False
        decode_payout_fact(header.kind, value, key)
    except UnreadableValueError:
        return False
    return True


def is_ours(value: bytes | None, app: str) -> bool:
    """Return whether it is an owner fact that the fold of that app writes: an activation or a decision.

    Attempts and results follow from what a payment service answers, turns from what an operator asks for.
    """
    if not begins_as_owner_fact(value):
        return False
    try:
        header = decode_with(_decode_header, value)
    except UnreadableValueError:
        return True
    return header.kind == RULES_ACTIVATED or (header.kind == WITHDRAWAL_DECIDED and header.app == app)


def payout_author(value: bytes | None) -> Author | None:
    """Return who wrote a decision, an attempt or a result; None for everything else."""
    if not begins_as_owner_fact(value):
        return None
    try:
        header = decode_with(_decode_header, value)
    except UnreadableValueError:
        return None
    return Author(header.app, header.topic_id) if header.kind in PAYOUT_KINDS else None
