"""Renders records and messages for people: members by name, and text for what cannot be decoded.

It never raises: a damaged record is what an audit looks for.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from rebate_app.streams.errors import UnreadableStateError

from .record_kinds import kind_of

TEXT_CHARACTERS_MAX = 2_000


def text_of(raw: bytes | None) -> str:
    """Return bytes as text, shortened; "" for none."""
    text = (raw or b"").decode("utf-8", "backslashreplace")
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[:TEXT_CHARACTERS_MAX] + "…"


def rendered_record(table: str, key: bytes, value: bytes | None) -> Any:
    """Return a table's record with its members named, its text if it cannot be decoded, None for none."""
    if value is None:
        return None
    kind = kind_of(table, key)
    if kind is None:
        return text_of(value)
    try:
        return named(kind.decode(value, key))
    except UnreadableStateError:
        return text_of(value)


def named(value: Any) -> Any:
    """Return Structs as dictionaries with their members' names, at every depth."""
    if isinstance(value, Struct):
        return {name: named(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): named(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [named(item) for item in value]
    return value
