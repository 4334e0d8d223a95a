"""Messages between stages and accounts: absolute, versioned targets.

See docs/spec/architecture.md#targets-between-stages. A target is what a line contributes from one sender,
never a difference. Repeating it changes nothing and a late one is ignored, because a sender's versions are
offsets of its own log.
"""

from __future__ import annotations

from msgspec import UNSET, Struct, UnsetType, field

from .order.value import LineValue


class LineTarget(Struct, frozen=True, gc=False, rename={"line_value": "worth"}):
    """A line's value for the account of a user or attribution id; None: the account loses the line.

    `source` is "" from the line itself, else the attribution id that forwards it. `version` is the
    offset of the causing record in the sender's log, `line_version` that in `order_topic`. `modified_at` is
    the network's moment of the causing fact, compact (compact_moment.py) and for people; absent where
    there is none, and in messages of older versions.
    """

    to: str
    line: str
    source: str
    version: int
    line_version: int
    line_value: LineValue | None
    by: str = ""
    claim: str | None = None
    cause: str = ""
    modified_at: int | UnsetType = field(default=UNSET, name="at")


class BonusTerms(Struct, array_like=True, frozen=True, gc=False):
    """The base of an inviter's share: the rule, the line's value, and what rates apply to for each figure."""

    rule: str
    line_value: LineValue
    base_net: int
    base_gross: int
    base_rest: int


class BonusTarget(Struct, frozen=True, gc=False):
    """A line's bonus for an inviter; `terms` None: the inviter loses it.

    `chain` is the buyer and the inviters before this one, so its length is the depth. `repriced` is the
    offset of the line's last repricing in the buyer's log, absent where there was none: when it changes, the
    inviter's terms are chosen anew. `modified_at` as in LineTarget.
    """

    to: str
    line: str
    chain: tuple[str, ...]
    version: int
    line_version: int
    terms: BonusTerms | None
    cause: str = ""
    repriced: int | UnsetType = UNSET
    modified_at: int | UnsetType = field(default=UNSET, name="at")


class Cursor(Struct, frozen=True, gc=False):
    """An account's message to itself: continue at line number `position` what a record began.

    `binding` is the offset of that record: the binding that moves an attribution id's lines, or the
    repricing of a user's lines.
    """

    to: str
    binding: int
    position: int


Message = LineTarget | BonusTarget | Cursor
