"""The owner facts about money out, `owner-fact/1`: decisions, attempts and results.

See docs/spec/money-out.md#owner-facts. They count whatever app wrote them. `app` and `topic_id` say who did
and in which log; moments (`at`) are ms since 1970, amounts are in fen, an absent text is null.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from msgspec import Struct
from msgspec.json import Decoder, Encoder

from rebate_app.domain.money_out.facts import (
    Decision,
    PayoutAttempt,
    PayoutFact,
    PayoutResult,
    ResultStatus,
)

from ..moments import MILLISECOND_US
from ..unreadable import UnreadableValueError, decode_with, shortened

WITHDRAWAL_DECIDED: Literal["withdrawal.decided"] = "withdrawal.decided"
PAYOUT_ATTEMPT: Literal["payout.attempt"] = "payout.attempt"
PAYOUT_RESULT: Literal["payout.result"] = "payout.result"
FORMAT = 1


class Author(Struct, frozen=True):
    """Which app wrote an owner fact, and the id of the topic in which it stands."""

    app: str
    topic_id: str


class AuthoredFact(Struct, frozen=True):
    """An owner fact about money out, and who wrote it."""

    fact: PayoutFact
    author: Author


class _Owned(Struct, frozen=True, kw_only=True):
    schema: Literal["owner-fact/1"] = "owner-fact/1"


class _Decided(_Owned, frozen=True, kw_only=True):
    kind: Literal["withdrawal.decided"] = WITHDRAWAL_DECIDED
    app: str
    topic_id: str
    format: int = FORMAT
    user_id: str
    withdrawal_id: str
    request_offset: int
    accepted: bool
    reason: str | None
    review: bool | None
    approvals_needed: int | None
    fee: int | None
    net: int | None
    payout_no: str | None
    rule_version: str | None
    available: int
    at: int


class _Attempt(_Owned, frozen=True, kw_only=True):
    kind: Literal["payout.attempt"] = PAYOUT_ATTEMPT
    app: str
    topic_id: str
    format: int = FORMAT
    user_id: str
    withdrawal_id: str
    attempt: int
    channel: str
    channel_identity: str
    export_id: str | None
    at: int


class _Result(_Owned, frozen=True, kw_only=True):
    kind: Literal["payout.result"] = PAYOUT_RESULT
    app: str
    topic_id: str
    format: int = FORMAT
    user_id: str
    withdrawal_id: str
    attempt: int
    status: ResultStatus
    amount: int
    code: str | None
    channel_ref: str | None
    needs_user_url: str | None
    at: int


_Wire = _Decided | _Attempt | _Result
_encode = Encoder().encode
_DECODERS: dict[str, Callable[[bytes], _Wire]] = {
    WITHDRAWAL_DECIDED: Decoder(_Decided).decode,
    PAYOUT_ATTEMPT: Decoder(_Attempt).decode,
    PAYOUT_RESULT: Decoder(_Result).decode,
}
PAYOUT_KINDS = tuple(_DECODERS)


def encode_payout_fact(fact: PayoutFact, author: Author) -> tuple[bytes, bytes]:
    """Return the record (key, value) of an owner fact about money out."""
    wire: _Wire
    app, topic_id = author.app, author.topic_id
    if isinstance(fact, Decision):
        wire = _decided(fact, author)
    elif isinstance(fact, PayoutAttempt):
        wire = _Attempt(
            app=app,
            topic_id=topic_id,
            user_id=fact.user_id,
            withdrawal_id=fact.withdrawal_id,
            attempt=fact.attempt,
            channel=fact.channel,
            channel_identity=fact.channel_identity,
            export_id=fact.export_id or None,
            at=fact.at // MILLISECOND_US,
        )
    else:
        wire = _Result(
            app=app,
            topic_id=topic_id,
            user_id=fact.user_id,
            withdrawal_id=fact.withdrawal_id,
            attempt=fact.attempt,
            status=fact.status,
            amount=fact.amount,
            code=fact.code or None,
            channel_ref=fact.channel_ref or None,
            needs_user_url=fact.needs_user_url or None,
            at=fact.at // MILLISECOND_US,
        )
    return fact.user_id.encode(), _encode(wire)


def _decided(fact: Decision, author: Author) -> _Decided:
    accepted = fact.accepted
    return _Decided(
        app=author.app,
        topic_id=author.topic_id,
        user_id=fact.user_id,
        withdrawal_id=fact.withdrawal_id,
        request_offset=fact.request_offset,
        accepted=accepted,
        reason=None if accepted else fact.reason,
        review=fact.review if accepted else None,
        approvals_needed=fact.approvals_needed if accepted else None,
        fee=fact.fee if accepted else None,
        net=fact.net if accepted else None,
        payout_no=fact.payout_no if accepted else None,
        rule_version=fact.rule_version or None,
        available=fact.available,
        at=fact.at // MILLISECOND_US,
    )


def decode_payout_fact(kind: str, value: bytes | None, key: bytes | None) -> AuthoredFact:
    """Return an owner fact of one of PAYOUT_KINDS, and who wrote it.

    UnreadableValueError: it cannot be read, and must not be skipped.
    """
    wire: _Wire = decode_with(_DECODERS[kind], value)
    if wire.format != FORMAT:
        raise UnreadableValueError(f"its format {shortened(wire.format)} is not known here")
    if key != wire.user_id.encode("utf-8", "replace"):
        raise UnreadableValueError(f"it is about {shortened(wire.user_id)} and stands under another key")
    return AuthoredFact(_fact_of(wire), Author(wire.app, wire.topic_id))


def _fact_of(wire: _Wire) -> PayoutFact:
    if isinstance(wire, _Attempt):
        return _attempt_of(wire)
    if isinstance(wire, _Result):
        return _result_of(wire)
    return _decision_of(wire)


def _attempt_of(wire: _Attempt) -> PayoutAttempt:
    return PayoutAttempt(
        wire.user_id,
        wire.withdrawal_id,
        wire.attempt,
        wire.channel,
        wire.channel_identity,
        wire.export_id or "",
        wire.at * MILLISECOND_US,
    )


def _result_of(wire: _Result) -> PayoutResult:
    return PayoutResult(
        wire.user_id,
        wire.withdrawal_id,
        wire.attempt,
        wire.status,
        wire.amount,
        wire.code or "",
        wire.channel_ref or "",
        wire.needs_user_url or "",
        wire.at * MILLISECOND_US,
    )


def _decision_of(wire: _Decided) -> Decision:
    if wire.accepted and (wire.net is None or wire.fee is None or not wire.payout_no):
        raise UnreadableValueError("it accepts a withdrawal and lacks fee, net or payout_no")
    return Decision(
        wire.user_id,
        wire.withdrawal_id,
        wire.request_offset,
        wire.accepted,
        wire.reason or "",
        bool(wire.review),
        wire.approvals_needed or 0,
        wire.fee or 0,
        wire.net or 0,
        wire.payout_no or "",
        wire.rule_version or "",
        wire.available,
        wire.at * MILLISECOND_US,
    )
