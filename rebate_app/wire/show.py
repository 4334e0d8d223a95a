"""The members of a snapshot that decide nothing and are kept for people.

Law: they never refuse a fact; one that is larger than 1 KiB as compact JSON, or that JSON cannot say,
is left out (contracts.md 1: "kept for show"). It is separate so that nothing that decides can read them.
"""

from __future__ import annotations

from typing import Any

import msgspec

#: Compact JSON of one member, in bytes. A line keeps its snapshots, so what is for show must stay small.
MEMBER_BYTES_MAX = 1_024
MEMBERS = ("parent_order_id", "platform_status", "status_reason", "item")
NOTHING = b"{}"

_encode = msgspec.json.Encoder().encode


class _Show(msgspec.Struct, omit_defaults=True, gc=False):
    """The members in the order in which they are written; None is not written."""

    parent_order_id: Any = None
    platform_status: Any = None
    status_reason: Any = None
    item: Any = None


def encode_show(parent_order_id: Any, platform_status: Any, status_reason: Any, item: Any) -> bytes:
    """Return the compact JSON object of the members that are there and small enough."""
    if parent_order_id is None and platform_status is None and status_reason is None and item is None:
        return NOTHING
    members = (parent_order_id, platform_status, status_reason, item)
    try:
        encoded = _encode(_Show(*members))
        if len(encoded) <= MEMBER_BYTES_MAX:
            return encoded
    except (ValueError, TypeError, RecursionError):
        pass
    return _encode(_Show(*(member if _is_small(member) else None for member in members)))


def _is_small(member: Any) -> bool:
    """Return whether a member can be said in JSON within the limit."""
    try:
        return len(_encode(member)) <= MEMBER_BYTES_MAX
    except (ValueError, TypeError, RecursionError):
        return False
