"""Records of the registry (`rebate-rules`): rule versions and settings that an app has fixed by use.

| key | value |
|---|---|
| `version NAME` | content hash of a rule version that an older release has used; only read |
| `user_id_fields` | the setting with which lines were read |
| `first-start ID` | the event epoch, JSON; the first one in the log wins |

A record without a value is a tombstone.
"""

from __future__ import annotations

import re

from msgspec import Struct, field
from msgspec.json import Decoder, Encoder

from .unreadable import INT64_MAX, UnreadableValueError, decode_with, shortened, utf8_text

VERSION_PREFIX = "version "
USER_ID_FIELDS_KEY = "user_id_fields"
#: Followed by a unique id: compaction must keep the first of these records.
EVENT_EPOCH_PREFIX = "first-start "
#: Before every timestamp that a record can have: Kafka's own "none" is -1.
EVERYTHING_MS = -1
FORMAT = 1

_match_hash = re.compile(r"[0-9a-f]{64}").fullmatch
_has_control = re.compile(r"[\x00-\x1f\x7f]").search


class EventEpoch(Struct, frozen=True):
    """From which record on the app emits events, decided at its first start (format 1).

    Events are emitted for records with a timestamp of `since_ms` or later, in ms since 1970. `begin` (JSON:
    `from`) has the end of each partition of `rebate-events` at that time: everything before it was sent by
    others. Partitions beyond its length begin at 0.
    """

    since_ms: int = EVERYTHING_MS
    begin: list[int] = field(default_factory=list, name="from")
    format: int = FORMAT


encode_event_epoch = Encoder().encode
_decode = Decoder(EventEpoch).decode


def decode_event_epoch(value: bytes | None) -> EventEpoch:
    """Return the epoch; UnreadableValueError for what this version cannot decode."""
    epoch = decode_with(_decode, value)
    if epoch.format != FORMAT:
        raise UnreadableValueError(f"its format {shortened(epoch.format)} is not known here")
    if not all(-1 <= number <= INT64_MAX for number in (epoch.since_ms, *epoch.begin)):
        raise UnreadableValueError("a moment or an offset of it is out of range")
    return epoch


def decode_registry(key: bytes | None, value: bytes | None) -> tuple[str, str | None]:
    """Return (key, value) of a record, None for a tombstone; UnreadableValueError for anything else."""
    name = utf8_text(key, "key")
    is_version = name.startswith(VERSION_PREFIX)
    if not (is_version or name == USER_ID_FIELDS_KEY or name.startswith(EVENT_EPOCH_PREFIX)):
        raise UnreadableValueError(f"its key {shortened(repr(name))} is not known here")
    if value is None:
        return name, None
    text = utf8_text(value, "value")
    if is_version and _match_hash(text) is None:
        raise UnreadableValueError("its value is no content hash")
    if name == USER_ID_FIELDS_KEY and _has_control(text):
        raise UnreadableValueError("its value is no setting")
    if name.startswith(EVENT_EPOCH_PREFIX):
        decode_event_epoch(value)
    return name, text
