"""A dead letter as an operator sees it, and what it becomes when it is sent again.

Law: its id is where the record failed, `topic/partition/offset`; a later letter of the same id (a release
that failed again) takes the place of the earlier one. A replay is the same key and value; it keeps the
record's timestamp, which is part of its meaning, except where the timestamp was what was wrong.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from rebate_app.domain.faults import IMPLAUSIBLE_TIME
from rebate_app.domain.reasons import INTERNAL_ERROR
from rebate_app.wire import failure_headers as names
from rebate_app.wire.decisions import Decision
from rebate_app.wire.failure_headers import Header, Place, texts_of
from rebate_app.wire.moments import format_moment

MILLISECOND_US = 1_000
VALUE_SHOWN_BYTES_MAX = 64 * 1_024


class Letter(Struct, frozen=True):
    """A dead letter: `place` is its id, `stands` where it is itself; `told` its headers as text."""

    place: Place
    stands: Place
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: list[Header]
    told: dict[str, str]

    @property
    def id(self) -> str:
        """Return the id."""
        return str(self.place)

    @property
    def reason(self) -> str:
        """Return the reason code."""
        return self.told.get(names.REASON, "")

    @property
    def waits_parked(self) -> bool:
        """Whether the record waits for its key: releasing the key is what sends it on."""
        return self.reason == INTERNAL_ERROR and self.key is not None

    def replayed_at(self, now_ms: int) -> int:
        """Return the timestamp in ms that a replay has."""
        return now_ms if self.reason == IMPLAUSIBLE_TIME else self.timestamp


def letter_of(record: Any, source: str) -> Letter | None:
    """Return the letter that a record of a dead-letter topic is, None for what does not name its place."""
    told = texts_of(record.headers)
    try:
        place = Place(told[names.TOPIC], int(told[names.PARTITION]), int(told[names.OFFSET]))
    except (KeyError, ValueError):
        return None
    if place.topic != source:
        return None
    stands = Place(record.topic, record.partition, record.offset)
    headers = list(record.headers)
    return Letter(place, stands, record.key, record.value, record.timestamp, headers, told)


def replay_headers(letter: Letter, replay_id: str, by: str) -> list[Header]:
    """Return the headers of a replay: the record's own, what it is a replay of, and its first failure."""
    theirs = [
        header
        for header in letter.headers
        if not header[0].startswith((names.ERROR_PREFIX, names.REPLAY_PREFIX))
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


def text_or_hex(raw: bytes | None) -> tuple[str | None, str]:
    """Return bytes for a person: (text, "text"), or (hex, "hex") for what is no UTF-8, shortened."""
    if raw is None:
        return None, "none"
    shown = raw[:VALUE_SHOWN_BYTES_MAX]
    try:
        return shown.decode("utf-8", "strict" if len(shown) == len(raw) else "ignore"), "text"
    except UnicodeDecodeError:
        return shown.hex(), "hex"


def in_words(letter: Letter, decision: Decision | None) -> dict[str, Any]:
    """Return a row of a list."""
    told = letter.told
    return {
        "id": letter.id,
        "reason": letter.reason,
        "member": told.get(names.MEMBER, ""),
        "detail": told.get(names.DETAIL, ""),
        "stage": told.get(names.STAGE, ""),
        "key": text_or_hex(letter.key)[0],
        "timestamp": format_moment(letter.timestamp * MILLISECOND_US),
        "at": told.get(names.AT, ""),
        "attempt": int(attempt) if (attempt := told.get(names.ATTEMPT, "1")).isdigit() else 1,
        "origin": told.get(names.ORIGIN),
        "decision": None if decision is None else decision.decision,
    }


def in_full(letter: Letter, decision: Decision | None) -> dict[str, Any]:
    """Return everything about a letter."""
    value, value_as = text_or_hex(letter.value)
    return in_words(letter, decision) | {
        "stands_at": str(letter.stands),
        "key_as": text_or_hex(letter.key)[1],
        "value": value,
        "value_as": value_as,
        "value_bytes": len(letter.value or b""),
        "headers": [{"name": name, "value": texts_of([(name, raw)])[name]} for name, raw in letter.headers],
        "decided": None
        if decision is None
        else {name: getattr(decision, name) for name in Decision.__struct_fields__},
    }
