"""Decode a dead letter, render it as JSON, and build the headers of its replay.

The id is the place of the failed record, `topic/partition/offset`; a later letter of the same id (a release
that failed again) replaces the earlier one. A replay has the same key and value. It keeps the record's
timestamp, which is part of its meaning, unless the timestamp was the fault. Timestamps are in ms.
"""

from __future__ import annotations

import codecs
from hashlib import sha256
from typing import Any

import orjson
from msgspec import Struct
from msgspec.structs import replace

from rebate_app.domain.faults import IMPLAUSIBLE_TIME
from rebate_app.domain.reasons import INTERNAL_ERROR
from rebate_app.wire import failure_headers as names
from rebate_app.wire.audit_trail import ACTOR_HEADER, REQUEST_ID_HEADER
from rebate_app.wire.decisions import Decision
from rebate_app.wire.failure_headers import Header, Place, place_in, texts_of
from rebate_app.wire.moments import MILLISECOND_US, format_moment
from rebate_app.wire.unreadable import UnreadableValueError, parse_number, shortened

AUTHOR_HEADERS = {"actor": ACTOR_HEADER, "request_id": REQUEST_ID_HEADER}
VALUE_SHOWN_BYTES_MAX = 64 * 1_024


class DeadLetter(Struct, frozen=True):
    """A dead letter: `place` is its id, `stored_at` its own place in the dead-letter topic.

    `header_texts`: its headers as text. `is_value_dropped`: its large value was dropped; the reader reads
    it again.
    """

    place: Place
    stored_at: Place
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[Header]
    header_texts: dict[str, str]
    is_value_dropped: bool = False

    def without_large_value(self) -> DeadLetter:
        """Return the letter without its value if that is large, so that many fit in memory."""
        if len(self.value or b"") <= VALUE_SHOWN_BYTES_MAX:
            return self
        return replace(self, value=None, is_value_dropped=True)

    @property
    def id(self) -> str:
        """Return the id."""
        return str(self.place)

    @property
    def reason(self) -> str:
        """Return the reason code."""
        return self.header_texts.get(names.REASON, "")

    @property
    def is_parked(self) -> bool:
        """Whether the record waits for its parked key: a release of the key folds it."""
        return self.reason == INTERNAL_ERROR and self.key is not None

    @property
    def is_cut(self) -> bool:
        """Whether the letter holds only the beginning of its record; the whole record is at `place`."""
        return names.TRUNCATED in self.header_texts

    def is_copy_of(self, record: Any) -> bool:
        """Whether `record` is the letter's whole record: its value has the hash, its key the beginning."""
        if sha256(record.value or b"").hexdigest() != self.header_texts.get(names.SHA256):
            return False
        key: bytes | None = record.key
        if names.KEY_TRUNCATED not in self.header_texts:
            return key == self.key
        return (
            key is not None
            and str(len(key)) == self.header_texts[names.KEY_TRUNCATED]
            and key.startswith(self.key or b"")
        )

    def completed_from(self, record: Any) -> DeadLetter:
        """Return the letter with key, value and headers of its whole record, and our own headers."""
        theirs = [header for header in record.headers if not header[0].startswith(names.ERROR_PREFIX)]
        ours = [header for header in self.headers if header[0].startswith(names.ERROR_PREFIX)]
        return replace(self, key=record.key, value=record.value, headers=[*theirs, *ours])

    def replayed_at(self, now_ms: int) -> int:
        """Return the timestamp of a replay, in ms."""
        return now_ms if self.reason == IMPLAUSIBLE_TIME else self.timestamp


def decode_dead_letter(record: Any, source: str) -> DeadLetter:
    """Decode a record of a dead-letter topic.

    UnreadableValueError if its headers do not name a record of the source.
    """
    header_texts = texts_of(record.headers)
    try:
        place = place_in(header_texts)
    except ValueError as error:
        raise UnreadableValueError(f"its headers name no record: {shortened(error)}") from error
    if place.topic != source:
        raise UnreadableValueError(f"its headers name a record of {place.topic}, not of {source}")
    stored_at = Place(record.topic, record.partition, record.offset)
    headers = list(record.headers)
    return DeadLetter(place, stored_at, record.key, record.value, record.timestamp, headers, header_texts)


def replay_headers(letter: DeadLetter, replay_id: str, by: str) -> list[Header]:
    """Return the headers of a replay: the record's own, the id replayed, and its first failure.

    A replay of a rerouted copy is a record of its own: with the copy's mark it would be taken for a repeat.
    """
    theirs = [
        header
        for header in letter.headers
        if not header[0].startswith((names.ERROR_PREFIX, names.REPLAY_PREFIX))
        and header[0] not in names.REROUTED
    ]
    kept = (names.ORIGIN, names.FIRST_AT, names.ATTEMPT)
    carried = [header for header in letter.headers if header[0] in kept]
    return [
        *theirs,
        (names.REPLAY_OF, letter.id.encode()),
        (names.REPLAY_ID, replay_id.encode()),
        (names.REPLAY_BY, by.encode()),
        *carried,
    ]


def text_or_hex(raw: bytes | None, *, cut: bool = False) -> tuple[str | None, str]:
    """Return bytes for display, shortened: (text, "text"), or (hex, "hex") if they are not UTF-8.

    `cut`: they may end within a character.
    """
    if raw is None:
        return None, "none"
    shown = raw[:VALUE_SHOWN_BYTES_MAX]
    whole = len(shown) == len(raw) and not cut
    try:
        return codecs.getincrementaldecoder("utf-8")().decode(shown, final=whole), "text"
    except UnicodeDecodeError:
        return shown.hex(), "hex"


def list_row(letter: DeadLetter, decision: Decision | None) -> dict[str, Any]:
    """Return the letter as a row of a list."""
    headers = letter.header_texts
    return {
        "id": letter.id,
        "reason": letter.reason,
        "member": headers.get(names.MEMBER, ""),
        "detail": headers.get(names.DETAIL, ""),
        "stage": headers.get(names.STAGE, ""),
        "key": _key_of(letter)[0],
        "timestamp": format_moment(letter.timestamp * MILLISECOND_US),
        "at": headers.get(names.AT, ""),
        "attempt": _attempt(headers.get(names.ATTEMPT, "")),
        "origin": headers.get(names.ORIGIN),
        "cut": letter.is_cut,
        "decision": None if decision is None else decision.decision,
    } | _author(letter)


def _author(letter: DeadLetter) -> dict[str, Any]:
    """Return `actor` and `request_id` of the failed fact, for display: its headers, else its members."""
    named = {name: letter.header_texts.get(header) for name, header in AUTHOR_HEADERS.items()}
    if named["actor"] is not None:
        return dict(named)
    try:
        members = orjson.loads(letter.value or b"")
    except ValueError:
        members = None
    if not isinstance(members, dict):
        members = {}
    return {name: value if isinstance(value := members.get(name), str) else None for name in named}


def _attempt(text: str) -> int:
    try:
        return parse_number(text)
    except UnreadableValueError:
        return 1


def full_document(letter: DeadLetter, decision: Decision | None) -> dict[str, Any]:
    """Return the letter as the JSON object that shows it whole."""
    value, value_as = text_or_hex(letter.value, cut=letter.is_cut)
    return list_row(letter, decision) | {
        "stands_at": str(letter.stored_at),
        "key_as": _key_of(letter)[1],
        "value": value,
        "value_as": value_as,
        "value_bytes": _size(letter, names.TRUNCATED, len(letter.value or b"")),
        "whole_record": _whole_record(letter) if letter.is_cut else None,
        "headers": [{"name": name, "value": texts_of([(name, raw)])[name]} for name, raw in letter.headers],
        "decided": None
        if decision is None
        else {name: getattr(decision, name) for name in Decision.__struct_fields__},
    }


def _whole_record(letter: DeadLetter) -> dict[str, Any]:
    """Return place and sizes of the whole record of a cut letter."""
    return {
        "stands_at": letter.id,
        "value_bytes": _size(letter, names.TRUNCATED, 0),
        "value_sha256": letter.header_texts.get(names.SHA256, ""),
        "key_bytes": _size(letter, names.KEY_TRUNCATED, len(letter.key or b"")),
        "headers_cut": names.HEADERS_TRUNCATED in letter.header_texts,
    }


def _key_of(letter: DeadLetter) -> tuple[str | None, str]:
    return text_or_hex(letter.key, cut=names.KEY_TRUNCATED in letter.header_texts)


def _size(letter: DeadLetter, name: str, default: int) -> int:
    """Return the size that a header of a cut letter states, else `default`."""
    stated = letter.header_texts.get(name, "")
    return int(stated) if stated.isdigit() else default
