"""The reference check of an order fact: every fault of a parsed value, in contract order.

The order is schema, kind, key, then the members in the order of docs/spec/facts.md#order-facts with all
missing ones before all invalid ones, then the time (docs/spec/facts.md#reason-codes). The fast path of
order.py accepts only facts that this check accepts. Amounts are fen, moments are microseconds UTC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rebate_app.domain.facts import (
    AMOUNT_FEN_MAX,
    FUTURE_HOURS_MAX,
    PUNISH_RANK,
    REFUND_RANK,
    STATUS_RANK,
    Attribution,
    Claim,
    OrderFact,
    Punish,
    Refund,
    Snapshot,
)
from rebate_app.domain.faults import (
    IMPLAUSIBLE_TIME,
    KEY_MISMATCH,
    UNDECODABLE,
    UNKNOWN_KIND,
    UNKNOWN_SCHEMA,
    Fault,
    missing,
)

from ..known_values import hint, listed
from ..moments import HOUR_US
from .display_fields import MEMBERS as DISPLAY_MEMBERS
from .display_fields import encode_display_fields
from .identifiers import (
    DOT_IDS,
    NO_VALUES,
    USER_ID_RULE,
    VALUE_RULE,
    match_line_id,
    match_platform,
    match_suit_id,
    match_user_id,
    match_value,
)
from .members import MemberReader, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

ORDER_SCHEMA = "order-event/1"
USER_SCHEMA = "user-fact/1"
SNAPSHOT = "order.snapshot"
REFUND = "order.refund"
PUNISH = "order.punish"
CLAIM = "order.claim"
KINDS = (SNAPSHOT, REFUND, PUNISH, CLAIM)

CURRENCY = "CNY"
FETCH_SEQ_MAX = 2**63 - 1
FUTURE_US_MAX = FUTURE_HOURS_MAX * HOUR_US
#: Statuses that cannot be priced without an estimate and a paid time (docs/spec/facts.md#order-facts).
PRICED_STATUSES = frozenset({"paid", "received", "settled", "punished"})
SETTLED = "settled"

#: Where facts of a schema belong, for those that were sent to the other topic.
_TOPIC_OF = {ORDER_SCHEMA: "order_topic", USER_SCHEMA: "rebate-user-log"}

#: In place of a key: the value comes from HTTP or a file, where there are no keys.
NO_KEY = object()


def check_keyed_order(document: object, key: object, record_us: int) -> OrderFact | list[Fault]:
    """Return the fact that a parsed JSON value is, or all its faults in contract order, at least one.

    `key` is the record's key as text, None if it had none, `NO_KEY` where there are no keys.
    `record_us` is the moment after which a `modified_at` is too far in the future by 24 hours.
    """
    if not isinstance(document, dict):
        return [Fault(UNDECODABLE, "", f"a fact is a JSON object, and this is {quoted(document)}")]
    faults = check_envelope(document, ORDER_SCHEMA, KINDS)
    reader = MemberReader(document)
    line = _line(reader, document, key, faults)
    read = _READERS.get(document["kind"]) if isinstance(document.get("kind"), str) else None
    fact = read(reader, line) if read is not None else None
    if key is NO_KEY:
        for path in dot_members(fact):
            reader.refuse(path, f"{path} cannot be . or .., which clients resolve in URLs")
    faults += reader.faults()
    if isinstance(fact, Snapshot | Refund | Punish) and fact.modified_at - record_us > FUTURE_US_MAX:
        member = "seq.modified_at" if isinstance(fact, Snapshot) else "modified_at"
        faults.append(Fault(IMPLAUSIBLE_TIME, member, f"{member} is more than {FUTURE_HOURS_MAX} h ahead"))
    return fact if fact is not None and not faults else faults


def dot_members(fact: OrderFact | None) -> list[str]:
    """Return the members of a fact that hold `.` or `..` where a user id may stand.

    Borders refuse them, since clients resolve such an id in a URL. On the topics they are user ids, so
    that an old log folds as it did (docs/spec/facts.md#order-facts). Any attribution member may hold
    user ids, as `REBATE_USER_ID_FIELDS` says.
    """
    if isinstance(fact, Claim):
        return ["user_id"] if fact.user_id in DOT_IDS else []
    if not isinstance(fact, Snapshot) or fact.attribution is None:
        return []
    names = Attribution.__struct_fields__
    return [f"attribution.{name}" for name in names if getattr(fact.attribution, name) in DOT_IDS]


def check_envelope(document: dict[str, Any], schema: str, kinds: Collection[str]) -> list[Fault]:
    """Return the faults of `schema` and `kind`: absent is missing, everything else unexpected is unknown."""
    faults = []
    for member, known, code in (("schema", (schema,), UNKNOWN_SCHEMA), ("kind", kinds, UNKNOWN_KIND)):
        value = document.get(member)
        if value is None:
            faults.append(missing(member))
        elif not isinstance(value, str) or value not in known:
            detail = f"{member} {quoted(value)} is not known here; {_remedy(value, known)}"
            faults.append(Fault(code, member, detail))
    return faults


def _remedy(value: object, known: Collection[str]) -> str:
    """Return what is known here, and the topic of a schema that belongs to the other one."""
    topic = _TOPIC_OF.get(value) if isinstance(value, str) else None
    return hint(value, known) if topic is None else f"it belongs to {topic}; known: {listed(list(known))}"


def check_key(key: object, expected: str) -> list[Fault]:
    """Return the fault of a record's key that is not the key of its fact."""
    if key is NO_KEY or key == expected:
        return []
    return [Fault(KEY_MISMATCH, "", f"the key is {quoted(key)}, and the fact says {quoted(expected)}")]


def _line(reader: MemberReader, document: dict[str, Any], key: object, faults: list[Fault]) -> str:
    """Return `platform:order_line_id`, adding the faults of both and of the key."""
    platform, order_line_id = document.get("platform"), document.get("order_line_id")
    line = f"{platform}:{order_line_id}"
    if isinstance(platform, str) and isinstance(order_line_id, str):
        faults += check_key(key, line)
    reader.needed_text("platform", match_platform, "1-16 of a-z0-9")
    reader.needed_text("order_line_id", match_line_id, "1-64 of A-Za-z0-9._-")
    return line


def _snapshot(reader: MemberReader, line: str) -> Snapshot:
    """Read an `order.snapshot`."""
    modified_at = reader.needed_moment("seq.modified_at")
    fetch_seq = reader.integer("seq.fetch_seq", 0, FETCH_SEQ_MAX) or 0
    status = reader.choice("status", STATUS_RANK)
    reader.needed_text("currency", CURRENCY.__eq__, CURRENCY)
    priced = status in PRICED_STATUSES
    est_commission = _amount(reader, "amounts.est_commission", -AMOUNT_FEN_MAX, needed=priced)
    paid_at = reader.moment("times.paid", needed=priced)
    settles = status == SETTLED or reader.value("times.expected_settle") is not None
    settled_commission = _amount(reader, "amounts.settled_commission", -AMOUNT_FEN_MAX, needed=settles)
    return Snapshot(
        line=line,
        modified_at=modified_at,
        fetch_seq=fetch_seq,
        status=status,
        est_commission=est_commission,
        settled_commission=settled_commission or 0,
        service_fee=_amount(reader, "amounts.service_fee", 0) or 0,
        paid_at=paid_at,
        settled_at=reader.moment("times.settled"),
        expected_settle=reader.date("times.expected_settle"),
        attribution=_attribution(reader),
        display=encode_display_fields(*map(reader.value, DISPLAY_MEMBERS)),
    )


def _attribution(reader: MemberReader) -> Attribution | None:
    """Read the attribution of a snapshot: None if there is none at all."""
    if reader.value("attribution") is None:
        return None
    return Attribution(
        user_id=_token(reader, "user_id", match_user_id, USER_ID_RULE),
        special_id=_token(reader, "special_id", match_value, VALUE_RULE),
        sub_union_id=_token(reader, "sub_union_id", match_value, VALUE_RULE),
        custom_uid=_token(reader, "custom_uid", match_value, VALUE_RULE),
        relation_id=_token(reader, "relation_id", match_value, VALUE_RULE),
        pid=_token(reader, "pid", match_value, VALUE_RULE),
    )


def _token(reader: MemberReader, name: str, accepts: Callable[[str], object], rule: str) -> str | None:
    """Read one attribution value; `""` and `"0"` are None."""
    text = reader.text(f"attribution.{name}", lambda value: value in NO_VALUES or accepts(value), rule)
    return None if text in NO_VALUES else text


def _amount(reader: MemberReader, path: str, least: int, *, needed: bool = False) -> int | None:
    """Read an amount in fen."""
    return reader.integer(path, least, AMOUNT_FEN_MAX, needed=needed)


def _refund(reader: MemberReader, line: str) -> Refund:
    """Read an `order.refund`."""
    return Refund(
        line=line,
        suit_id=reader.needed_text("suit_id", match_suit_id, "1-64 of A-Za-z0-9._-"),
        status=reader.choice("refund_status", REFUND_RANK),
        net_refund=_amount(reader, "net_refund", 0, needed=True) or 0,
        modified_at=reader.needed_moment("modified_at"),
    )


def _punish(reader: MemberReader, line: str) -> Punish:
    """Read an `order.punish`."""
    return Punish(
        line=line,
        status=reader.choice("punish_status", PUNISH_RANK),
        modified_at=reader.needed_moment("modified_at"),
    )


def _claim(reader: MemberReader, line: str) -> Claim:
    """Read an `order.claim`: it has no modified_at, so no time of it is implausible."""
    return Claim(
        line=line,
        user_id=reader.needed_text("user_id", match_user_id, USER_ID_RULE),
        claimed_at=reader.needed_moment("claimed_at"),
    )


_READERS: dict[str, Callable[[MemberReader, str], OrderFact]] = {
    SNAPSHOT: _snapshot,
    REFUND: _refund,
    PUNISH: _punish,
    CLAIM: _claim,
}
