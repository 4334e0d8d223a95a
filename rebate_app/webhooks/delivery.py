"""Deliveries of events, and the actions by which `Queues` and `PartitionDeliverer` work together.

`Queues` decides and returns actions; `PartitionDeliverer` carries them out and reports back.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

from rebate_app.wire.failure_headers import Place

from .retry_records import DeliveryState, Event, ProgressMarker, QueueKey

RESTING, IN_FLIGHT, FORWARDING, SETTLED = "resting", "in-flight", "forwarding", "settled"
#: The life of a delivery.
TRANSITIONS: Mapping[str, frozenset[str]] = {
    RESTING: frozenset({IN_FLIGHT, FORWARDING}),  # its turn; it waits in a retry topic behind an older event
    IN_FLIGHT: frozenset({FORWARDING, SETTLED}),  # refused, or to be tried again; delivered
    FORWARDING: frozenset({RESTING, SETTLED}),  # a retry record holds it; a dead letter does
    SETTLED: frozenset(),
}
NOWHERE, DEAD = -1, -2
NEEDED, STALE, UNCLEAR = "needed", "stale", "unclear"
DELIVERED, RETRY, REFUSED = "delivered", "retry", "refused"


class Delivery(Struct, eq=False):
    """An event that is not done: neither delivered nor a dead letter.

    `stored_at`: the place of the record from which it can be read again.
    `taken`: that record was read, and is held back from committing until it is released.
    `level`: index of the retry topic that holds or will hold it; NOWHERE, or DEAD for a dead letter.
    `single_attempt`: too large for a retry topic; attempted once, in a queue of its own.
    `event`: None while it is on the broker only.
    """

    queue_key: QueueKey
    state: DeliveryState
    stored_at: Place
    event: Event | None
    taken: bool = False
    phase: str = RESTING
    level: int = NOWHERE
    single_attempt: bool = False

    def become(self, phase: str) -> None:
        """Change the phase; RuntimeError for a transition that TRANSITIONS does not have."""
        if phase not in TRANSITIONS[self.phase]:
            raise RuntimeError(f"{self.state.origin} cannot become {phase} while it is {self.phase}")
        self.phase = phase


class DeliveryAttempt(Struct, frozen=True, eq=False):
    """Send the event, then call `Queues.attempt_ended`."""

    delivery: Delivery
    event: Event


class Forward(Struct, frozen=True, eq=False):
    """Write the event to retry topic `level`, or as a dead letter; then call `Queues.forwarded`."""

    delivery: Delivery
    event: Event
    state: DeliveryState
    level: int
    reason: str = ""


class Release(Struct, frozen=True):
    """The record at `place` is done: it may be committed over."""

    place: Place


Action = DeliveryAttempt | Forward | ProgressMarker | Release


class Plan(Struct, frozen=True):
    """Topics, app scope, give-up time (ms) and memory bound (bytes) that decide delivery order."""

    events: str
    retries: tuple[str, ...]
    app: str
    give_up_after_ms: int
    kept_bytes_max: int = 4 * 2**20
