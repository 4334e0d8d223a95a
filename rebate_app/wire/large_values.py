"""Read the facts in values that are far larger than any fact, in bounded time.

A compressing client can send 20 MB in a record that the topic takes. Parsing that into Python objects would
block the event loop for up to a second, so only the members that facts have are read; all others are
skipped by a typed decode (about 1 ms per MB) and never become objects. The verdict is that of the reference
check, except that skipped members may be nested deeper than `json_values.NESTING_MAX`.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, DecodeError, Raw, UnsetType, ValidationError, defstruct
from msgspec.json import Decoder

from .json_values import parse_strict

#: Up to here, which is what `order_topic` takes uncompressed, values are parsed whole.
WHOLE_BYTES_MAX = 2 * 1_048_576
#: A member that is larger is shortened: no text, number or list of that size is valid in any member.
MEMBER_BYTES_MAX = 64 * 1_024
TEXT_KEPT_CHARACTERS = 200

_NESTED = {
    "seq": ("modified_at", "fetch_seq"),
    "amounts": ("est_commission", "settled_commission", "service_fee"),
    "times": ("paid", "settled", "expected_settle"),
    "attribution": ("user_id", "special_id", "sub_union_id", "custom_uid", "relation_id", "pid"),
}
#: Every member of an order fact and of a user fact that decides something or is kept for display.
_MEMBERS = (
    *("schema", "kind", "platform", "order_line_id", "status", "currency"),
    *("suit_id", "refund_status", "net_refund", "modified_at", "punish_status", "claimed_at"),
    *("user_id", "level", "inviter_id", "effective_at", "attribution_id"),
    *("parent_order_id", "order_id", "platform_status", "status_reason", "item"),
    *("actor", "request_id"),
    *_NESTED,
)
#: Members that are left out when they are large, without being refused (facts/display_fields.py).
_DISPLAY_MEMBERS = frozenset({"parent_order_id", "order_id", "platform_status", "status_reason", "item"})


def _decoder(name: str, members: tuple[str, ...]) -> Decoder[Any]:
    fields = [(member, Raw | UnsetType, UNSET) for member in members]
    return Decoder(defstruct(name, fields))


_decode_fact = _decoder("Fact", _MEMBERS).decode
_decode_nested = {name: _decoder(name.title(), members).decode for name, members in _NESTED.items()}


def parse_fact(value: bytes) -> Any:
    """Return the JSON value of a record; of a large one, the members that facts have.

    ValueError if it is not UTF-8 or not JSON, or, for a large one, no JSON object.
    """
    if len(value) <= WHOLE_BYTES_MAX:
        return parse_strict(value)
    try:
        value.decode()
    except UnicodeDecodeError:
        raise ValueError("the value is not UTF-8") from None
    return {
        name: _nested(name, raw)
        for name, raw in _members(_decode_fact, value)
        if len(raw) <= MEMBER_BYTES_MAX or name not in _DISPLAY_MEMBERS
    }


def _members(decode: Any, value: bytes | memoryview) -> list[tuple[str, bytes]]:
    """Return the known members of a JSON object as JSON text; ValueError for what is none."""
    try:
        found = decode(value)
    except ValidationError:
        raise ValueError("the value is not a JSON object") from None
    except (DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the value is not JSON: {error}") from None
    names = type(found).__struct_fields__
    return [(name, bytes(raw)) for name in names if (raw := getattr(found, name)) is not UNSET]


def _nested(name: str, raw: bytes) -> Any:
    """Return a member's value, shortened if it is large."""
    if len(raw) <= MEMBER_BYTES_MAX:
        return parse_strict(raw)
    decode = _decode_nested.get(name)
    if raw[:1] == b"{" and decode is not None:
        return {inner: _shortened(text) for inner, text in _members(decode, raw)}
    return _shortened(raw)


def _shortened(raw: bytes) -> Any:
    """Return the value of a JSON text, of a large one something of its type that is as invalid."""
    if len(raw) <= MEMBER_BYTES_MAX:
        return parse_strict(raw)
    if raw[:1] == b'"':
        return raw[1 : 1 + TEXT_KEPT_CHARACTERS].decode("utf-8", "replace")
    return {} if raw[:1] == b"{" else []
