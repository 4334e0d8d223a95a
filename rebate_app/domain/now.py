"""The one clock of the folds: the place of a fact in its log, and who sent it."""

from __future__ import annotations

from msgspec import Struct


class Now(Struct, frozen=True, gc=False):
    """Offset of the record in its log, and the record's timestamp in µs.

    `actor`: who sent the fact, None where nothing says so. It is for display and decides nothing.
    """

    offset: int
    at: int
    actor: str | None = None
