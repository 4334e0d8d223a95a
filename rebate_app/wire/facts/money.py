"""User facts about money out: their members, read and checked (docs/spec/money-out.md#facts).

The key is the user id; null is absent. `actor` decides who may approve, so it is needed here: at a border the
server knows it, on the topic the fact names it. Amounts are in fen, moments in µs UTC, days since 1970-01-01.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rebate_app.domain.facts import AMOUNT_FEN_MAX
from rebate_app.domain.money_out.facts import (
    ACTOR_CHARACTERS_MAX,
    CHANNEL_REF_PATTERN,
    CONFIRMED_PARTS_MAX,
    MEMO_CHARACTERS_MAX,
    OUTCOMES,
    OWN_ID_PATTERN,
    REASON_CHARACTERS_MAX,
    REASON_CODES,
    REF_CHARACTERS_MAX,
    AdjustmentProposal,
    AdjustmentVerdict,
    Block,
    MoneyFact,
    Opening,
    OpeningApproval,
    Resolution,
    WithdrawalRequest,
    WithdrawalVerdict,
)
from rebate_app.domain.pricing.calendar import midnight

from ..moments import parse_date, parse_moment
from .identifiers import USER_ID_RULE
from .members import MemberReader, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    AcceptsUserId = Callable[[str], object]
    #: A fact that lacks its actor.
    ByActor = Callable[[str], MoneyFact]
    Read = Callable[[MemberReader, str], ByActor]

OWN_ID_RULE = "1-64 of A-Za-z0-9._-"
_CONTROLS = r"\x00-\x1f\x7f-\x9f\ud800-\udfff"


def _text_rule(most: int, least: int = 1) -> tuple[Callable[[str], object], str]:
    """Return what takes texts without control of that length, and the rule in words."""
    match = re.compile(rf"[^{_CONTROLS}]{{{least},{most}}}").fullmatch
    return match, f"{least}-{most} characters without control"


match_own_id = re.compile(OWN_ID_PATTERN).fullmatch
match_channel_ref = re.compile(CHANNEL_REF_PATTERN).fullmatch
_REASON = _text_rule(REASON_CHARACTERS_MAX)
_MEMO = _text_rule(MEMO_CHARACTERS_MAX, 0)
_REF = _text_rule(REF_CHARACTERS_MAX, 0)
_NAME = _text_rule(REF_CHARACTERS_MAX)
_ACTOR = _text_rule(ACTOR_CHARACTERS_MAX)

WITHDRAWAL_REQUEST = "withdrawal.request"
WITHDRAWAL_APPROVE = "withdrawal.approve"
WITHDRAWAL_REJECT = "withdrawal.reject"
WITHDRAWAL_CANCEL = "withdrawal.cancel"
WITHDRAWAL_RESOLVE = "withdrawal.resolve"
WITHDRAWAL_CONFIRM = "withdrawal.confirm"
ADJUSTMENT_PROPOSE = "adjustment.propose"
ADJUSTMENT_APPROVE = "adjustment.approve"
ADJUSTMENT_REJECT = "adjustment.reject"
OPENING = "account.opening"
OPENING_APPROVE = "account.opening.approve"
BLOCK = "account.block"
UNBLOCK = "account.unblock"

_WITHDRAWAL_VERDICT = ("user_id", "withdrawal_id", "reason")
_RESOLUTION = ("user_id", "withdrawal_id", "outcome", "channel_ref", "reason")
_ADJUSTMENT_VERDICT = ("user_id", "adjustment_id", "reason")
#: Kind → its members, those of every fact and of its author aside.
MONEY_MEMBERS: dict[str, tuple[str, ...]] = {
    WITHDRAWAL_REQUEST: ("user_id", "withdrawal_id", "amount", "channel", "payee_id", "memo"),
    WITHDRAWAL_APPROVE: _WITHDRAWAL_VERDICT,
    WITHDRAWAL_REJECT: _WITHDRAWAL_VERDICT,
    WITHDRAWAL_CANCEL: _WITHDRAWAL_VERDICT,
    WITHDRAWAL_RESOLVE: _RESOLUTION,
    WITHDRAWAL_CONFIRM: _RESOLUTION,
    ADJUSTMENT_PROPOSE: ("user_id", "adjustment_id", "amount", "reason_code", "reason", "ref"),
    ADJUSTMENT_APPROVE: _ADJUSTMENT_VERDICT,
    ADJUSTMENT_REJECT: _ADJUSTMENT_VERDICT,
    OPENING: (
        "user_id",
        "opening_id",
        "batch",
        "source",
        "as_of",
        "available",
        "confirmed",
        "withdrawn",
    ),
    OPENING_APPROVE: ("user_id", "opening_id", "reason"),
    BLOCK: ("user_id", "reason"),
    UNBLOCK: ("user_id", "reason"),
}

#: What a fact says whose sender gave no reason where none is needed: whoever reads the topic needs a text.
NO_REASON = "none given"
_WITHOUT_REASON = frozenset({WITHDRAWAL_CANCEL, WITHDRAWAL_CONFIRM, UNBLOCK})


def needs_reason(kind: str, outcome: object = None) -> bool:
    """Return whether whoever sends a fact of that kind has to say why.

    A resolution as `paid` names a reference; as `failed` the reason is the service's written word.
    """
    return outcome != "paid" if kind == WITHDRAWAL_RESOLVE else kind not in _WITHOUT_REASON


def with_reason(kind: str, document: dict[str, Any]) -> dict[str, Any]:
    """Return a fact as it may be sent: with NO_REASON where it needs none and has none."""
    if document.get("reason") is not None or needs_reason(kind, document.get("outcome")):
        return document
    return document | {"reason": NO_REASON}


def read_money_fact(
    kind: str, reader: MemberReader, accepts: AcceptsUserId, actor: str | None = None
) -> MoneyFact:
    """Read a fact of one of MONEY_MEMBERS; faults are added to the reader.

    `accepts` takes the user ids. `actor`: who sends it, where that is known; else the fact has to name it.
    """
    user_id = reader.needed_text("user_id", accepts, USER_ID_RULE)
    by_actor = _READERS[kind](reader, user_id)
    return by_actor(reader.needed_text("actor", *_ACTOR) if actor is None else actor)


def _request(reader: MemberReader, user_id: str) -> ByActor:
    withdrawal_id = _own_id(reader, "withdrawal_id")
    amount = reader.integer("amount", 1, AMOUNT_FEN_MAX, needed=True) or 0
    channel, payee_id = _own_id(reader, "channel"), _own_id(reader, "payee_id")
    memo = reader.text("memo", *_MEMO) or ""
    return lambda actor: WithdrawalRequest(user_id, withdrawal_id, amount, channel, payee_id, memo, actor)


def _withdrawal_verdict(verdict: Any) -> Read:
    def read(reader: MemberReader, user_id: str) -> ByActor:
        withdrawal_id, reason = _own_id(reader, "withdrawal_id"), _reason(reader)
        return lambda actor: WithdrawalVerdict(user_id, withdrawal_id, verdict, reason, actor)

    return read


def _resolution(*, confirms: bool) -> Read:
    def read(reader: MemberReader, user_id: str) -> ByActor:
        withdrawal_id = _own_id(reader, "withdrawal_id")
        outcome: Any = reader.choice("outcome", OUTCOMES)
        paid = outcome == "paid"
        channel_ref = reader.text("channel_ref", *_NAME, needed=paid) or ""
        if channel_ref and not paid:
            reader.refuse("channel_ref", "channel_ref belongs to the outcome paid")
        reason = _reason(reader)
        return lambda actor: Resolution(user_id, withdrawal_id, outcome, channel_ref, reason, confirms, actor)

    return read


def _proposal(reader: MemberReader, user_id: str) -> ByActor:
    adjustment_id = _own_id(reader, "adjustment_id")
    amount = _signed(reader, "amount")
    if reader.value("amount") == 0:
        reader.refuse("amount", "amount cannot be 0")
    code, reason = reader.choice("reason_code", REASON_CODES), _reason(reader)
    ref = reader.text("ref", *_REF) or ""
    return lambda actor: AdjustmentProposal(user_id, adjustment_id, amount, code, reason, ref, actor)


def _adjustment_verdict(verdict: Any) -> Read:
    def read(reader: MemberReader, user_id: str) -> ByActor:
        adjustment_id, reason = _own_id(reader, "adjustment_id"), _reason(reader)
        return lambda actor: AdjustmentVerdict(user_id, adjustment_id, verdict, reason, actor)

    return read


def _opening(reader: MemberReader, user_id: str) -> ByActor:
    opening_id, batch = _own_id(reader, "opening_id"), _own_id(reader, "batch")
    source = reader.needed_text("source", *_NAME)
    as_of = _as_of(reader)
    available, confirmed = _signed(reader, "available"), _confirmed(reader)
    withdrawn = _signed(reader, "withdrawn")
    return lambda actor: Opening(
        user_id, opening_id, batch, source, as_of, available, confirmed, withdrawn, actor
    )


def _opening_approval(reader: MemberReader, user_id: str) -> ByActor:
    opening_id, reason = _own_id(reader, "opening_id"), _reason(reader)
    return lambda actor: OpeningApproval(user_id, opening_id, reason, actor)


def _block(*, blocked: bool) -> Read:
    def read(reader: MemberReader, user_id: str) -> ByActor:
        reason = _reason(reader)
        return lambda actor: Block(user_id, blocked, reason, actor)

    return read


def _own_id(reader: MemberReader, member: str) -> str:
    return reader.needed_text(member, match_own_id, OWN_ID_RULE)


def _reason(reader: MemberReader) -> str:
    return reader.needed_text("reason", *_REASON)


def _signed(reader: MemberReader, member: str) -> int:
    return reader.integer(member, -AMOUNT_FEN_MAX, AMOUNT_FEN_MAX, needed=True) or 0


def _as_of(reader: MemberReader) -> int:
    """Return the moment of an opening's figures; a date is the beginning of that day in Shanghai."""
    value = reader.value("as_of", needed=True)
    if isinstance(value, str):
        for parse in (parse_moment, lambda text: midnight(parse_date(text))):
            try:
                return parse(value)
            except ValueError:
                continue
    if value is not None:
        reader.refuse("as_of", f"as_of has to be an RFC 3339 moment or a date, and is {quoted(value)}")
    return 0


def _confirmed(reader: MemberReader) -> tuple[tuple[int, int], ...]:
    """Return the confirmed parts of an opening; absent: none."""
    value = reader.value("confirmed")
    if value is None:
        return ()
    parts = [_part(each) for each in value] if isinstance(value, list) else [None]
    good = [part for part in parts if part is not None]
    if len(good) < len(parts) or len(parts) > CONFIRMED_PARTS_MAX:
        rule = f'a list of at most {CONFIRMED_PARTS_MAX} of {{"on": a date, "amount": fen}}'
        reader.refuse("confirmed", f"confirmed has to be {rule}")
        return ()
    return tuple(good)


def _part(value: Any) -> tuple[int, int] | None:
    if not isinstance(value, dict) or set(value) != {"on", "amount"}:
        return None
    on, amount = value["on"], value["amount"]
    if not isinstance(on, str) or type(amount) is not int or abs(amount) > AMOUNT_FEN_MAX:
        return None
    try:
        return parse_date(on), amount
    except ValueError:
        return None


_READERS: dict[str, Read] = {
    WITHDRAWAL_REQUEST: _request,
    WITHDRAWAL_APPROVE: _withdrawal_verdict("approve"),
    WITHDRAWAL_REJECT: _withdrawal_verdict("reject"),
    WITHDRAWAL_CANCEL: _withdrawal_verdict("cancel"),
    WITHDRAWAL_RESOLVE: _resolution(confirms=False),
    WITHDRAWAL_CONFIRM: _resolution(confirms=True),
    ADJUSTMENT_PROPOSE: _proposal,
    ADJUSTMENT_APPROVE: _adjustment_verdict("approve"),
    ADJUSTMENT_REJECT: _adjustment_verdict("reject"),
    OPENING: _opening,
    OPENING_APPROVE: _opening_approval,
    BLOCK: _block(blocked=True),
    UNBLOCK: _block(blocked=False),
}
