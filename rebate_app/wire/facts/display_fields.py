"""The display fields of a snapshot: members that decide nothing (docs/spec/facts.md#display-members).

They never refuse a fact. A member that is larger than 1 KiB as compact JSON, or that JSON cannot express, is
left out.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: Compact JSON of one member, in bytes. A line keeps its snapshots, so display fields must stay small.
MEMBER_BYTES_MAX = 1_024
MEMBERS = ("parent_order_id", "platform_status", "status_reason", "item", "order_id")
NOTHING = b"{}"
NO_MEMBERS = (None,) * len(MEMBERS)

_encode = msgspec.json.Encoder().encode


class _DisplayFields(msgspec.Struct, omit_defaults=True, gc=False):
    """The members in the order in which they are written; None is not written."""

    parent_order_id: Any = None
    platform_status: Any = None
    status_reason: Any = None
    item: Any = None
    order_id: Any = None


def encode_display_fields(
    parent_order_id: Any, platform_status: Any, status_reason: Any, item: Any, order_id: Any
) -> bytes:
    """Return the compact JSON object of the members that are present and small enough."""
    members = (parent_order_id, platform_status, status_reason, item, order_id)
    if members == NO_MEMBERS:
        return NOTHING
    try:
        encoded = _encode(_DisplayFields(*members))
        if len(encoded) <= MEMBER_BYTES_MAX:
            return encoded
    except (ValueError, TypeError, RecursionError):
        pass
    return _encode(_DisplayFields(*(member if _is_small(member) else None for member in members)))


def _is_small(member: Any) -> bool:
    """Return whether the JSON of a member is within the limit."""
    try:
        return len(_encode(member)) <= MEMBER_BYTES_MAX
    except (ValueError, TypeError, RecursionError):
        return False
