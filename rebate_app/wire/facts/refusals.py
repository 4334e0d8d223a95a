"""Every reason code under which a record of a source can become a dead letter.

The codes of a member are made from its path (docs/spec/facts.md#reason-codes); the paths are those that
`order_check` and `user` read, and their parents.
"""

from __future__ import annotations

from rebate_app.domain.faults import (
    IMPLAUSIBLE_TIME,
    KEY_MISMATCH,
    UNDECODABLE,
    UNKNOWN_KIND,
    UNKNOWN_SCHEMA,
)
from rebate_app.domain.reasons import INTERNAL_ERROR

from ..stages import ORDERS, USER_LOG
from .money import MONEY_MEMBERS

ORDER_MEMBERS = (
    "schema",
    "kind",
    "platform",
    "order_line_id",
    "seq",
    "seq.modified_at",
    "seq.fetch_seq",
    "status",
    "currency",
    "amounts",
    "amounts.est_commission",
    "amounts.settled_commission",
    "amounts.service_fee",
    "times",
    "times.paid",
    "times.settled",
    "times.expected_settle",
    "attribution",
    "attribution.user_id",
    "attribution.special_id",
    "attribution.sub_union_id",
    "attribution.custom_uid",
    "attribution.relation_id",
    "attribution.pid",
    "suit_id",
    "refund_status",
    "net_refund",
    "modified_at",
    "punish_status",
    "user_id",
    "claimed_at",
)
_MONEY_MEMBERS = dict.fromkeys(member for members in MONEY_MEMBERS.values() for member in members)
USER_MEMBERS = (
    "schema",
    "kind",
    "user_id",
    "level",
    "inviter_id",
    "effective_at",
    "attribution_id",
    "actor",
    *(member for member in _MONEY_MEMBERS if member != "user_id"),
)
ORDER_LIMITS = ("suit_id", "times.expected_settle", "claimed_at", "record")
USER_LIMITS = ("effective_at", "record")

_PLAIN = (UNDECODABLE, UNKNOWN_SCHEMA, UNKNOWN_KIND, KEY_MISMATCH, INTERNAL_ERROR)


def _reasons(plain: tuple[str, ...], members: tuple[str, ...], limits: tuple[str, ...]) -> tuple[str, ...]:
    return (
        *plain,
        *(f"{fault}-{member}" for fault in ("missing", "invalid") for member in members),
        *(f"limit-{member}" for member in limits),
    )


ORDER_REASONS = _reasons((*_PLAIN, IMPLAUSIBLE_TIME), ORDER_MEMBERS, ORDER_LIMITS)
USER_REASONS = _reasons(_PLAIN, USER_MEMBERS, USER_LIMITS)
_BY_STAGE = {ORDERS.name: ORDER_REASONS, USER_LOG.name: USER_REASONS}


def reasons_of_stage(stage: str) -> tuple[str, ...]:
    """Return the reason codes of the dead letters of a stage, by its name in the table of stages."""
    return _BY_STAGE.get(stage, _PLAIN)
