"""A loss counts once it lasts: metadata and ends may be wrong for some seconds while leaders change."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable

from ..errors import StateLostError
from .log_losses import Loss

#: Longer than a leader election and the time until every node knows it, and well below 30 s.
CONFIRM_SECONDS = 10.0
AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


class Suspicions:
    """For how long each loss has been found by every look."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def note(self, found: Iterable[Loss]) -> list[Loss]:
        """Take what a look found; return what is confirmed by now."""
        now = self._clock()
        losses = {loss.subject: loss for loss in found}
        for subject in losses.keys() - self._since.keys():
            log.warning("it seems that a log is lost: %s", losses[subject].sentence)
        self._since = {subject: self._since.get(subject, now) for subject in losses}
        return [losses[subject] for subject, since in self._since.items() if now - since >= CONFIRM_SECONDS]


class LossConfirmation:
    """Repeats an operation that found a loss, until the loss is confirmed; for one run of attempts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since: float | None = None

    async def wait(self, error: StateLostError) -> None:
        """Wait before the next attempt; raise the error once losses have been found for long enough."""
        now = self._clock()
        self._since = now if self._since is None else self._since
        if now - self._since >= CONFIRM_SECONDS:
            raise error
        log.warning("it seems that a log is lost: %s", error.missing)
        await asyncio.sleep(AGAIN_SECONDS)
