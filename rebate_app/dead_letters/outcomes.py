"""Outcome codes of replays, discards and dry runs of dead letters, each with its meaning."""

from __future__ import annotations

from msgspec import Struct

from rebate_app.wire.failure_headers import Place

REPLAYED, PARKED, DECIDED, UNKNOWN, CLOSED = "replayed", "parked", "decided", "unknown", "discarded"
TOO_LARGE, ORIGIN_GONE = "too-large", "origin-gone"
#: Outcomes of a replay or discard.
OUTCOMES = {
    REPLAYED: "its record was sent again",
    CLOSED: "it is closed, its record is not sent again",
    PARKED: "its record waits for its key: release the key",
    DECIDED: "somebody has replayed or discarded it already",
    TOO_LARGE: "its topic refuses a record of that size; the letter stays open",
    ORIGIN_GONE: "it is cut, and the whole record is not at its place any more; the letter stays open",
    UNKNOWN: "there is no such dead letter",
}
#: Outcomes of a replay that sent nothing although it should.
NOT_REPLAYED = frozenset({UNKNOWN, TOO_LARGE, ORIGIN_GONE})

APPLIED, IGNORED, REFUSED, FAILED, AWAY = "applied", "ignored", "refused", "failed", "away"
DELIVERY = "delivery"
#: Outcomes of a dry run: what today's code would make of the record.
DRY_RUN_OUTCOMES = {
    APPLIED: "it would change something",
    IGNORED: "it would change nothing: it is old, or known already",
    REFUSED: "it would be refused again, for the reason given",
    FAILED: "our fold would raise again: a bug of ours that is not mended",
    AWAY: "its owner cannot be asked now",
    DELIVERY: "an event would be delivered anew; its receiver decides",
    TOO_LARGE: OUTCOMES[TOO_LARGE],
    ORIGIN_GONE: OUTCOMES[ORIGIN_GONE],
}
#: Outcomes of a dry run after which a replay is of use.
GOOD = frozenset({APPLIED, IGNORED, DELIVERY})


class Outcome(Struct, frozen=True):
    """The outcome of one dead letter; `place`: the topic, partition and offset of the record sent again."""

    outcome: str
    detail: str = ""
    place: Place | None = None


class DryRunOutcome(Struct, frozen=True):
    """The outcome of a dry run; `reason` and `detail` where the record would fail."""

    outcome: str
    reason: str = ""
    detail: str = ""


def too_large(topic: str, size_bytes: int, limit_bytes: int | None) -> Outcome:
    """Return the outcome of a record whose uncompressed size the topic refuses."""
    takes = "" if limit_bytes is None else f", {topic} takes {limit_bytes}"
    detail = (
        f"the record has {size_bytes} bytes uncompressed{takes}: raise max.message.bytes of {topic} "
        "for the replay, or have the fact sent again smaller"
    )
    return Outcome(TOO_LARGE, detail)


def origin_gone(place: Place) -> Outcome:
    """Return the outcome of a cut letter whose whole record is no longer at `place`."""
    detail = f"the letter is cut, and {place} does not hold the record whose hash it has"
    return Outcome(ORIGIN_GONE, detail)
