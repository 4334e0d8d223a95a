"""Business refusals: a fact that is well-formed and changes nothing (docs/spec/money-out.md#facts).

They are answers over HTTP and a metric; no dead letters, and they count for no limit.
"""

from __future__ import annotations

from typing import Final

from .facts import ANONYMOUS

ID_REUSED: Final = "id-reused"
UNKNOWN_WITHDRAWAL: Final = "unknown-withdrawal"
UNKNOWN_ADJUSTMENT: Final = "unknown-adjustment"
UNKNOWN_OPENING: Final = "unknown-opening"
WRONG_STATE: Final = "wrong-state"
SAME_ACTOR: Final = "same-actor"
TOO_MANY_REQUESTS: Final = "too-many-requests"

#: Code → what it means.
BUSINESS_REFUSALS: Final[dict[str, str]] = {
    ID_REUSED: "the id is known with another content",
    UNKNOWN_WITHDRAWAL: "the user has no such withdrawal",
    UNKNOWN_ADJUSTMENT: "the user has no such adjustment",
    UNKNOWN_OPENING: "the user has no such opening",
    WRONG_STATE: "its state does not allow that, or not yet",
    SAME_ACTOR: "another person than the one before has to do this",
    TOO_MANY_REQUESTS: "the user has as many new requests of that day, or in all, as are kept",
}


def is_same_person(one: str, other: str) -> bool:
    """Return whether two actors are one person; of anonymous ones nobody can tell, so they are not."""
    return one == other and one != ANONYMOUS
