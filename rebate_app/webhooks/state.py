"""What one worker reports about the webhooks that it delivers."""

from __future__ import annotations

from msgspec import Struct


class WebhookState(Struct, frozen=True):
    """The state of one worker's deliveries.

    `target` is the origin of its REBATE_WEBHOOK_URL, None while it has none and skips events. `is_down`: the
    receiver answers no longer, and one event at a time probes it. `waiting`: events of its `partitions` that
    it has read and that are not delivered.
    """

    target: str | None = None
    paused: bool = False
    is_down: bool = False
    partitions: tuple[int, ...] = ()
    waiting: int = 0
    oldest_undelivered_seconds: float | None = None
