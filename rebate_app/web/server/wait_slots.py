"""A bound on the writes that wait to become visible (`wait_ms`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rebate_app.metrics.catalogue import HTTP_WAITS, HTTP_WAITS_REFUSED
from rebate_app.metrics.registry import MetricsRegistry, Sample


class WaitSlots:
    """A bound on writes that wait at the same time, since each of them polls other workers."""

    def __init__(self, waits_max: int, metrics: MetricsRegistry) -> None:
        self._waits_max = waits_max
        self._metrics = metrics
        self._taken = 0
        metrics.read_from(lambda: [Sample(HTTP_WAITS, (), self._taken)])

    async def visible(self, wait: Callable[[], Awaitable[bool]]) -> bool:
        """Return what the wait returns; False without waiting when there is no slot."""
        if self._taken >= self._waits_max:
            self._metrics.add(HTTP_WAITS_REFUSED)
            return False
        self._taken += 1
        try:
            return await wait()
        finally:
            self._taken -= 1
