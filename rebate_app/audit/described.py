"""Records and messages in words: what a person sees of a difference.

Law: total. What cannot be decoded is shown as text, since a damaged record is what an audit looks for.
"""

from __future__ import annotations

from typing import Any

from msgspec import MsgspecError, Struct

from rebate_app.lane.store import Readable
from tables import accounts, order_lines, parking
from tables.records import RecordKind

TEXT_CHARACTERS_MAX = 2_000

ACCOUNT_KINDS: dict[str, RecordKind[Any]] = {
    "h": accounts.HEAD,
    "l": accounts.LINE,
    "n": accounts.LINE_NAME,
    "e": accounts.ENTRY,
    "p": accounts.PROFILES,
    "u": accounts.USER_NAME,
    "H": accounts.ID_HEAD,
    "L": accounts.ID_LINE,
    "N": accounts.ID_LINE_NAME,
    "i": accounts.ID_NAME,
    "#": accounts.COUNTERS,
    "v": accounts.USED_RULE,
}


class _One(Readable):
    """A store of one record, to read it through the table's own view."""

    def __init__(self, value: bytes) -> None:
        self._value = value

    def get(self, key: bytes) -> bytes | None:
        """Return the record."""
        del key
        return self._value


def text_of(raw: bytes | None) -> str:
    """Return bytes as text, shortened; "" for none."""
    text = (raw or b"").decode("utf-8", "backslashreplace")
    return text if len(text) <= TEXT_CHARACTERS_MAX else text[:TEXT_CHARACTERS_MAX] + "…"


def record_in_words(table: str, key: bytes, value: bytes | None) -> Any:
    """Return a record of a table with its members named, its text if it cannot be decoded, None for none."""
    if value is None:
        return None
    if parking.is_about_failures(key):
        return _in_words(parking.kind_of(key), key, value)
    if table == order_lines.NAME:
        kind: RecordKind[Any] | None = None if key == order_lines.USED_KEY else order_lines.LINE
    else:
        kind = ACCOUNT_KINDS.get(text_of(key).split(" ", 1)[0])
    return _in_words(kind, key, value)


def _in_words(kind: RecordKind[Any] | None, key: bytes, value: bytes) -> Any:
    if kind is None:
        return text_of(value)
    try:
        return named(kind.read(_One(value), key))
    except (MsgspecError, UnicodeDecodeError, RecursionError):
        return text_of(value)


def named(value: Any) -> Any:
    """Return Structs as dictionaries with their members' names, all the way down."""
    if isinstance(value, Struct):
        return {name: named(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {str(key): named(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [named(item) for item in value]
    return value
