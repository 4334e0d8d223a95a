"""Bodies of writes, what is answered to them, and the codes under which a member is refused."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from rebate_app.domain.facts import REPRICE_LINES_MAX
from rebate_app.domain.faults import (
    IMPLAUSIBLE_TIME,
    SELF_INVITE,
    UNDECODABLE,
    UNKNOWN_KIND,
    UNKNOWN_LEVEL,
    UNKNOWN_MEMBER,
    UNKNOWN_SCHEMA,
)
from rebate_app.wire.facts.refusals import ORDER_MEMBERS
from rebate_app.wire.facts.schemas import order_event_schema
from rebate_app.wire.facts.text_types import (
    LevelIdText,
    LineIdText,
    MomentText,
    OrderLineText,
    PlatformText,
    ReasonText,
    UserIdText,
)

from ..operation import Definitions, Operation, RequestBody
from ..resources.writes import EVENTS_MAX, REASON_CHARACTERS_MAX
from .common import UserId, Warned

Visible = Annotated[bool, Meta(description="with `wait_ms`: whether the account holds it by now")]
WhyText = Annotated[
    str, Meta(max_length=REASON_CHARACTERS_MAX, description="the caller's reason, for the audit trail")
]
Ignored = Annotated[Any, Meta(description="set by the server: a warning says that it is ignored")]


class AcceptedOrders(Struct, kw_only=True):
    """The facts are in the log; any warning is about a member that nothing reads."""

    accepted: Annotated[int, Meta(ge=0)]
    lines: list[str]
    warnings: list[Warned]
    warnings_left_off: Annotated[int, Meta(ge=1)] | UnsetType = UNSET
    visible: Visible | UnsetType = UNSET


class AcceptedFact(Struct, kw_only=True):
    """The fact about the user is in the log."""

    accepted: Annotated[int, Meta(ge=1, le=1)]
    user_id: UserId
    warnings: list[Warned] | UnsetType = UNSET
    visible: Visible | UnsetType = UNSET


class AcceptedBinding(Struct, kw_only=True):
    """The binding is in the log."""

    accepted: Annotated[int, Meta(ge=1, le=1)]
    attribution_id: str
    warnings: list[Warned] | UnsetType = UNSET
    visible: Visible | UnsetType = UNSET


class _Written(Struct, kw_only=True, forbid_unknown_fields=True):
    actor: Ignored = None
    request_id: Ignored = None


class ProfileBody(_Written, kw_only=True, forbid_unknown_fields=True):
    """The whole profile from `effective_at` on, by default from now on; `inviter_id` null for none."""

    level: LevelIdText
    inviter_id: UserIdText | None
    effective_at: MomentText | None = None
    reason: WhyText | None = None


class BindingBody(_Written, kw_only=True, forbid_unknown_fields=True):
    """The user to whom the attribution id belongs from here on; null unbinds."""

    user_id: UserIdText | None
    reason: WhyText | None = None


class RepriceBody(_Written, kw_only=True, forbid_unknown_fields=True):
    """Which of the user's own lines get rules, level and inviters anew; paid_to does not count."""

    reason: ReasonText | None = None
    lines: Annotated[list[OrderLineText], Meta(min_length=1, max_length=REPRICE_LINES_MAX)] | None = None
    paid_from: MomentText | None = None
    paid_to: MomentText | None = None
    released: Annotated[bool | None, Meta(description="also lines whose money is released")] = None


class ClaimBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The user of the path says that an order line is his."""

    platform: PlatformText
    order_line_id: LineIdText
    claimed_at: MomentText


def orders_schema() -> Definitions:
    """Return the schema of one fact or a batch, and the definitions of facts."""
    schema = order_event_schema()
    fact = {
        "anyOf": schema["anyOf"],
        "discriminator": schema["discriminator"],
        "description": "A fact about one order line; null is absent",
    }
    batch = {
        "type": "object",
        "required": ["events"],
        "properties": {
            "events": {"type": "array", "maxItems": EVENTS_MAX, "items": {"$ref": "#/$defs/OrderFact"}},
            "kind": {"type": "null"},
            "order_line_id": {"type": "null"},
        },
        "description": "A batch: all or nothing",
    }
    listed = {"required": ["events"], "properties": {"events": {"type": "array"}}}
    single = {"allOf": [{"$ref": "#/$defs/OrderFact"}, {"not": listed}]}
    return {"anyOf": [single, batch]}, {**schema["$defs"], "OrderFact": fact}


def _codes(plain: tuple[str, ...], members: tuple[str, ...]) -> tuple[str, ...]:
    return (*plain, *(f"{fault}-{member}" for fault in ("missing", "invalid") for member in members))


_ENVELOPE: Final = (UNDECODABLE, UNKNOWN_SCHEMA, UNKNOWN_KIND)
_CHECKED: Final = (*_ENVELOPE, UNKNOWN_MEMBER)
ORDER_CODES: Final = _codes((*_ENVELOPE, IMPLAUSIBLE_TIME, "invalid-events"), ORDER_MEMBERS)
CLAIM_CODES: Final = (*ORDER_CODES, UNKNOWN_MEMBER)
PROFILE_CODES: Final = _codes(
    (*_CHECKED, UNKNOWN_LEVEL, SELF_INVITE),
    ("schema", "kind", "user_id", "level", "inviter_id", "effective_at", "reason"),
)
BINDING_CODES: Final = _codes(_CHECKED, ("schema", "kind", "attribution_id", "user_id", "reason"))
REPRICE_CODES: Final = _codes(
    (*_CHECKED, "limit-lines"),
    ("schema", "kind", "user_id", "lines", "paid_from", "paid_to", "released", "reason"),
)

_IN_UTC: Final = "a moment lies within the years 1 to 9999, in UTC"
_NO_INTEGER: Final = "JSON Schema takes 1791.0 for an integer; here it is none"
_MOMENTS: Final = ("seq.modified_at", "times.paid", "times.settled", "modified_at", "claimed_at")
_INTEGERS: Final = (
    "seq.fetch_seq",
    "amounts.est_commission",
    "amounts.settled_commission",
    "amounts.service_fee",
    "net_refund",
)
_ORDERS_UNFORESEEN: Final = {
    IMPLAUSIBLE_TIME: "whether `modified_at` is in the future depends on the clock",
    **{f"invalid-{member}": _IN_UTC for member in _MOMENTS},
    **{f"invalid-{member}": _NO_INTEGER for member in _INTEGERS},
}
ORDERS = Operation(
    AcceptedOrders,
    202,
    headers=("Location?",),
    body=RequestBody(orders_schema, ORDER_CODES),
    unforeseen=_ORDERS_UNFORESEEN,
)
CLAIM = Operation(
    AcceptedOrders,
    202,
    headers=("Location",),
    body=RequestBody(ClaimBody, CLAIM_CODES),
    unforeseen={"invalid-claimed_at": _IN_UTC},
)
PROFILE_PUT = Operation(
    AcceptedFact,
    202,
    headers=("Location",),
    body=RequestBody(ProfileBody, PROFILE_CODES),
    unforeseen={
        UNKNOWN_LEVEL: "the levels are those of the loaded rule files",
        SELF_INVITE: "the path names the user",
        "invalid-effective_at": _IN_UTC,
    },
)
ATTRIBUTION_PUT = Operation(
    AcceptedBinding, 202, headers=("Location",), body=RequestBody(BindingBody, BINDING_CODES)
)
REPRICE = Operation(
    AcceptedFact,
    202,
    headers=("Location",),
    body=RequestBody(RepriceBody, REPRICE_CODES),
    unforeseen={
        "invalid-paid_from": _IN_UTC,
        "invalid-paid_to": f"it has to be after paid_from, and {_IN_UTC}",
    },
)
