"""What the accounts tell each other: absolute, versioned targets (design.md 2).

A target says what a line contributes from one sender, never a difference: repeating it changes
nothing and a late one is ignored, because a sender's versions are offsets of its own log.
"""

from __future__ import annotations

from msgspec import Struct

from .worth import Worth


class LineTarget(Struct, frozen=True, gc=False):
    """A line's worth for the account of a user or of an attribution id; `worth` None: no longer yours.

    `source` is "" from the line itself, else the attribution id that forwards it. `version` is the
    offset of the causing record in the sender's log, `line_version` that in `order_topic`.
    """

    to: str
    line: str
    source: str
    version: int
    line_version: int
    worth: Worth | None
    by: str = ""
    claim: str | None = None
    cause: str = ""


class BonusTerms(Struct, array_like=True, frozen=True, gc=False):
    """What an inviter's share is computed from: the rule, the net and the base of each figure."""

    rule: str
    worth: Worth
    base_net: int
    base_gross: int
    base_rest: int


class BonusTarget(Struct, frozen=True, gc=False):
    """A line's bonus for an inviter; `terms` None: no longer yours.

    `chain` is the buyer and the inviters before this one, so its length is the depth.
    """

    to: str
    line: str
    chain: tuple[str, ...]
    version: int
    line_version: int
    terms: BonusTerms | None
    cause: str = ""


class Cursor(Struct, frozen=True, gc=False):
    """An attribution id's message to itself: go on re-binding at line number `position`."""

    to: str
    binding: int
    position: int


Message = LineTarget | BonusTarget | Cursor
