"""What a rehearsal of a replay says: words that the worker that rehearses and whoever asks it share."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

APPLIED, IGNORED, REFUSED, FAILED, AWAY = "applied", "ignored", "refused", "failed", "away"
DELIVERY = "delivery"
#: What today's code would make of a record.
REHEARSALS = {
    APPLIED: "it would change something",
    IGNORED: "it would change nothing: it is old, or known already",
    REFUSED: "it would be refused again, for the reason given",
    FAILED: "our fold would raise again: a bug of ours that is not mended",
    AWAY: "its owner cannot be asked now",
    DELIVERY: "an event would be delivered anew; its receiver decides",
}
GOOD = frozenset({APPLIED, IGNORED, DELIVERY})


class Rehearsal(Struct, frozen=True):
    """The outcome, and why where it would not be taken."""

    outcome: str
    reason: str = ""
    detail: str = ""


class Rehearsed(Struct):
    """A record to be rehearsed (a Record)."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
