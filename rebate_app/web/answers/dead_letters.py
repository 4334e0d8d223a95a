"""Answers about records that failed, keys under review, and the audit trail."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from rebate_app.dead_letters.outcomes import DRY_RUN_OUTCOMES, OUTCOMES
from rebate_app.wire.audit_trail import TrailRecord
from rebate_app.wire.decisions import Decision

from ..operation import Operation, RequestBody
from ..resources.writes import REASON_CHARACTERS_MAX
from .accounts import CURSOR_UNFORESEEN
from .common import AnyMoment, Count, Cursor, Moment, matching, one_of

PlaceId = Annotated[str, matching("[A-Za-z0-9._-]{1,249}/[0-9]{1,9}/[0-9]{1,18}", "topic/partition/offset")]
ShownAs = Annotated[str, one_of(("text", "hex", "none"), "how the bytes are shown; none: there are none")]
WishText = Annotated[str, Meta(max_length=500)]


class DeadLetterRow(Struct, kw_only=True):
    """A record that failed, and what became of it."""

    id: PlaceId
    reason: Annotated[str, Meta(description="a reason code (docs/failures.md)")]
    member: str
    detail: str
    stage: Annotated[str, Meta(description="where in the work it failed")]
    key: str | None
    timestamp: Moment
    at: AnyMoment
    attempt: Count
    origin: str | None
    cut: Annotated[bool, Meta(description="it holds only the beginning of the record")]
    decision: Annotated[str, one_of(("replayed", "discarded"))] | None
    actor: Annotated[str | None, Meta(description="who sent the fact")]
    request_id: str | None


class DeadLetters(Struct, kw_only=True):
    """Dead letters, oldest first within a partition."""

    items: list[DeadLetterRow]
    next_cursor: Cursor


class RecordHeader(Struct, kw_only=True):
    """A header as text."""

    name: str
    value: str


class WholeRecord(Struct, kw_only=True):
    """Place and sizes of the whole record of a cut letter."""

    stands_at: PlaceId
    value_bytes: Count
    value_sha256: str
    key_bytes: Count
    headers_cut: bool


class DryRun(Struct, kw_only=True):
    """What today's code would make of the record."""

    outcome: Annotated[str, one_of(DRY_RUN_OUTCOMES)]
    reason: str
    detail: str


class DeadLetterDocument(DeadLetterRow, kw_only=True):
    """One dead letter in full."""

    stands_at: PlaceId
    key_as: ShownAs
    value: str | None
    value_as: ShownAs
    value_bytes: Count
    whole_record: WholeRecord | None
    headers: list[RecordHeader]
    decided: Decision | None
    today: DryRun


class DeadLetterOutcome(Struct, kw_only=True):
    """The outcome for one letter; `reason` and `detail` of a dry run, `detail` where nothing was sent."""

    id: PlaceId
    outcome: Annotated[str, one_of(dict.fromkeys([*OUTCOMES, *DRY_RUN_OUTCOMES]))]
    reason: str | UnsetType = UNSET
    detail: str | UnsetType = UNSET


class DeadLetterOutcomes(Struct, kw_only=True):
    """The outcome for each letter, in the order of the path."""

    items: list[DeadLetterOutcome]


class ReplayBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Who wants it, and why; the caller where authentication knows him."""

    by: WishText = ""
    why: WishText = ""
    reason: Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX)] | None = None
    again: Annotated[bool, Meta(description="also letters that somebody has replayed already")] = False
    dry_run: Annotated[bool, Meta(description="fold them over committed records, and send nothing")] = False


class ParkedKey(Struct, kw_only=True):
    """A line or account under review."""

    topic: str
    key: str | None
    key_as: ShownAs
    since: PlaceId
    at: Moment
    reason: str
    waiting: Count
    releasing: bool


class ParkedKeys(Struct, kw_only=True):
    """Keys under review, from every owner."""

    items: list[ParkedKey]
    next_cursor: Cursor


class ReleaseBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Why, and where the key is parked; by default where its newest dead letter is."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAX)]
    topic: str | None = None


class Release(Struct, kw_only=True):
    """The message that releases the key."""

    key: str
    release: PlaceId


class TrailPage(Struct, kw_only=True):
    """Who did what, newest first; a page may be empty and have a next one."""

    items: list[TrailRecord]
    next_cursor: Cursor


_FILTER = {
    **CURSOR_UNFORESEEN,
    "invalid-filter": "topics are those of this installation",
}
_WISH = {
    "invalid-wish": "`by` is needed without authentication, and `why` or `reason` for a discard",
}
DEAD_LETTERS = Operation(DeadLetters, codes=("not-ready", "broker-away"), unforeseen=_FILTER)
DEAD_LETTER = Operation(
    DeadLetterDocument, codes=("not-ready", "broker-away", "unknown-dead-letter", "invalid-id")
)
REPLAY = Operation(
    DeadLetterOutcomes,
    codes=("not-ready", "invalid-id", "invalid-wish"),
    body=RequestBody(ReplayBody, ("invalid-reason",)),
    unforeseen=_WISH,
)
DISCARD = REPLAY
PARKED_KEYS = Operation(ParkedKeys, codes=("not-ready",), unforeseen=CURSOR_UNFORESEEN)
RELEASE = Operation(
    Release,
    codes=("not-ready", "invalid-wish", "invalid-filter", "unknown-parked-key"),
    body=RequestBody(ReleaseBody, ("invalid-reason",)),
    unforeseen={
        "invalid-filter": "topics are those of this installation",
        "unknown-parked-key": "no record of the key has failed",
        "invalid-wish": "a reason of spaces says nothing",
    },
)
AUDIT_TRAIL = Operation(TrailPage, codes=("broker-away",), unforeseen=CURSOR_UNFORESEEN)
