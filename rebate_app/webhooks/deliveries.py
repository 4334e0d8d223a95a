"""What is known of an event that is not delivered yet, and what is to be done about it.

It is separate from the queues, which decide, because whoever acts on a decision needs the words alone.
"""

from __future__ import annotations

from msgspec import Struct

from rebate_app.wire.failure_headers import Place

from .copies import Event, Line, Mark, Travel

RESTING, FLYING, COPYING = "resting", "flying", "copying"
NOWHERE, DEAD = -1, -2
NEEDED, STALE, UNCLEAR = "needed", "stale", "unclear"
DELIVERED, RETRY, REFUSED = "delivered", "retry", "refused"


class Delivery(Struct, eq=False):
    """An event that is not done. `live`: the record at `stands` was read and waits to be released.

    `level`: the retry topic in which it stands or is being copied to, NOWHERE before, DEAD for a dead letter.
    `event`: None while it is on the broker only.
    """

    line: Line
    travel: Travel
    stands: Place
    event: Event | None
    live: bool = False
    state: str = RESTING
    level: int = NOWHERE


class Attempt(Struct, frozen=True, eq=False):
    """Send the event; then `finished`."""

    delivery: Delivery
    event: Event


class Copy(Struct, frozen=True, eq=False):
    """Write the event into the retry topic `level`, or as a dead letter for `reason`; then `copied`."""

    delivery: Delivery
    event: Event
    travel: Travel
    level: int
    reason: str = ""


class Release(Struct, frozen=True):
    """That record is not needed any more."""

    place: Place


Action = Attempt | Copy | Mark | Release


class Plan(Struct, frozen=True):
    """The names and bounds that the order depends on. Times in ms; `kept_bytes_max` of bodies in memory."""

    events: str
    retries: tuple[str, ...]
    app: str
    give_up_after: int
    kept_bytes_max: int = 4 * 2**20
