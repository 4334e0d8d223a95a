"""Requests between workers keep their names and members, since workers of two versions run side by side."""

from __future__ import annotations

from typing import Any

from msgspec import inspect

from rebate_app.web.routes.peer_rpcs import PEER_RPCS

#: By the name in the path: the members of request and response, nested ones in brackets.
WIRE = {
    "channels": ("", "states idle"),
    "log-ends": ("", "remembered"),
    "payout-prompt": ("partition payout_no searches", "known"),
    "payout-summary": ("partition", "channels"),
    "balances": ("partition user_ids at", "balances"),
    "invitees": ("partition inviter after limit at", "items next visited"),
    "order-lines": ("partition number platform at", "lines[members sent_to by] visited"),
    "about": ("", "halted samples[at facts messages event_age_seconds requests p99_seconds] rules"),
    "totals": (
        "partition day",
        (
            "sums[users open settled closed debt suspense frozen withdrawn adjustments openings platforms "
            "maturing] offset lag visited"
        ),
    ),
    "fact-processed": ("partition offset key", "processed"),
    "forwarded": ("partition attribution_id line", "user_id by line_version"),
    "line-display": ("partition lines", "lines[title parent_order_id]"),
    "lines-held": ("partition held[account line source line_version]", "held"),
    "lines-moved": (
        "partition attribution_id user_id offset start",
        "done held[account line source line_version] next",
    ),
    "lines-repriced": ("partition offset key", "processed"),
    "lines-sent": ("partition facts", "lines"),
    "parked-accounts": ("partition after limit", "items[key since at reason waiting releasing] more beyond"),
    "parked-lines": ("partition after limit", "items[key since at reason waiting releasing] more beyond"),
    "rehearse-account": (
        "partition record[topic partition offset timestamp key value headers]",
        "outcome reason detail",
    ),
    "rehearse-line": (
        "partition record[topic partition offset timestamp key value headers]",
        "outcome reason detail",
    ),
    "share": (
        "partition user_id line chain day",
        "found line_version level bps rule reason estimated confirmed available held inviter says",
    ),
    "money": (
        "partition user_id kind own_id offset payee_id",
        "processed parked item request_offset refusal payee_channel",
    ),
    "money-list": ("partition of_list states after limit channel before_ms", "items read_to"),
    "unbound": ("partition start limit day", "items next beyond"),
    "users": ("partition start limit day", "items next beyond"),
}


def members(of_type: Any) -> str:
    """Return the encoded names of a struct's members, those of nested structs in brackets."""
    info = inspect.type_info(of_type)
    assert isinstance(info, inspect.StructType)
    return " ".join(field.encode_name + _nested(field.type) for field in info.fields)


def _nested(info: inspect.Type) -> str:
    if isinstance(info, inspect.ListType):
        return _nested(info.item_type)
    return f"[{members(info.cls)}]" if isinstance(info, inspect.StructType) else ""


def test_names_and_members_are_those_of_the_version_before() -> None:
    """A new member needs a default, so that a request of the version before can be read."""
    wire = {name: (members(rpc.request_type), members(rpc.response_type)) for name, rpc in PEER_RPCS.items()}
    assert wire == WIRE
