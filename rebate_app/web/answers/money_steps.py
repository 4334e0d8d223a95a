"""What answers and bodies about money out have in common (docs/money-out.md#over-http)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from rebate_app.domain.faults import UNDECODABLE, UNKNOWN_KIND, UNKNOWN_MEMBER, UNKNOWN_SCHEMA
from rebate_app.wire.facts.money import MONEY_MEMBERS, needs_reason
from rebate_app.wire.facts.text_types import ShortReasonText

from ..operation import Operation, RequestBody
from .common import Moment

OwnId = Annotated[str, Meta(description="1-64 of A-Za-z0-9._-, unique for the user")]
Ignored = Annotated[Any, Meta(description="set by the server")]

NO_INTEGER: Final = "JSON Schema takes 5.0 for an integer; here it is none"
IN_UTC: Final = "a moment lies within the years 1 to 9999, in UTC"
AFTER_THE_TIME: Final = "the time was up; Location says where to look"
REPEATED_OR_LATER: Final = {200: "a repeat, or it is folded", 202: AFTER_THE_TIME}
_STATE: Final = "it depends on the state, and on who did the step before"


class ApprovalItem(Struct, kw_only=True):
    """Who approved, and when."""

    actor: str
    at: Moment


class MoneyBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Members of every body, which the server sets."""

    actor: Ignored = None
    request_id: Ignored = None


class ReasonBody(MoneyBody, kw_only=True, forbid_unknown_fields=True):
    """Why."""

    reason: ShortReasonText


class OptionalReasonBody(MoneyBody, kw_only=True, forbid_unknown_fields=True):
    """Why, if somebody says it."""

    reason: ShortReasonText | None = None


def money_body(kind: str, type_: Any, *more: str) -> RequestBody:
    """Return a body with the codes under which its members, and those of the path, are refused."""
    plain = (UNDECODABLE, UNKNOWN_SCHEMA, UNKNOWN_KIND, UNKNOWN_MEMBER)
    members = ("schema", "kind", *MONEY_MEMBERS[kind])
    faults = [f"{fault}-{member}" for fault in ("missing", "invalid") for member in members]
    if "reason" in members and not needs_reason(kind):
        faults.remove("missing-reason")
    return RequestBody(type_, (*plain, *faults, *more), names_members=not more)


def verdict(
    kind: str, answer: Any, noun: str, body: Any = ReasonBody, unforeseen: Mapping[str, str] | None = None
) -> Operation:
    """Return a step that a person takes with the withdrawal, adjustment or opening (`noun`) of the path."""
    return Operation(
        answer,
        headers=("Location?",),
        also={202: AFTER_THE_TIME},
        codes=("not-ready", "wrong-state", "same-actor", f"unknown-{noun}"),
        body=money_body(kind, body),
        unforeseen={
            **dict.fromkeys(("wrong-state", "same-actor"), _STATE),
            **(unforeseen or {}),
            f"invalid-{noun}_id": "the path names the id",
        },
    )
