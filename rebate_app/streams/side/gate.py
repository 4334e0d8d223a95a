"""Limit attempts: none while paused, one probe at a time while the receiver is down.

After FAILURES_MAX failures in a row the circuit breaker opens: one probe at a time, at growing intervals,
until one is answered. Other events wait, and the delivery order does not change. Times in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

FAILURES_MAX = 5
INTERVAL_FIRST_SECONDS, INTERVAL_MAX_SECONDS = 1.0, 60.0


class CircuitBreaker:
    """Whether the receiver seems to be up, by the last attempts. The caller passes the time."""

    def __init__(self) -> None:
        self.is_open = False
        self._failures = 0
        self._interval = INTERVAL_FIRST_SECONDS
        self._not_before = 0.0
        self._probing = False

    def wait_seconds(self, now: float) -> float | None:
        """Return the seconds until an attempt may be made, None while a probe is in flight."""
        if self.is_open and self._probing:
            return None
        return max(0.0, self._not_before - now)

    def begin(self) -> bool:
        """Begin an attempt; return whether it is a probe."""
        self._probing = self.is_open
        return self.is_open

    def record_answer(self) -> None:
        """Record an answer: the receiver is up."""
        self.is_open = self._probing = False
        self._failures = 0
        self._interval = INTERVAL_FIRST_SECONDS

    def record_failure(self, now: float, *, probe: bool, wait_seconds: float = 0.0) -> None:
        """Record a failed attempt; `wait_seconds`: the receiver's Retry-After."""
        self._failures += 1
        if probe:
            self._probing = False
            self._interval = min(2 * self._interval, INTERVAL_MAX_SECONDS)
        if probe or (not self.is_open and self._failures >= FAILURES_MAX):
            self.is_open = True
            self._not_before = max(self._not_before, now + self._interval)
        self._not_before = max(self._not_before, now + wait_seconds)

    def record_cancelled(self, *, probe: bool) -> None:
        """Record an attempt that was cancelled."""
        if probe:
            self._probing = False


class Gate:
    """Admits attempts: a limited number at once, while not paused and the circuit breaker allows."""

    def __init__(self, at_once_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.circuit = CircuitBreaker()
        self._clock = clock
        self._paused = False
        self._room = asyncio.Semaphore(at_once_max)
        self._changed = asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether attempts are paused."""
        return self._paused

    def pause(self, paused: bool) -> None:
        """Stop or resume admitting attempts."""
        self._paused = paused
        self._notify()

    async def enter(self) -> bool:
        """Wait until an attempt may be made; return whether it is a probe. Then call `leave`."""
        await self._room.acquire()
        try:
            while (wait_seconds := None if self._paused else self.circuit.wait_seconds(self._clock())) != 0:
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_seconds):
                        await self._changed.wait()
        except BaseException:
            self._room.release()
            raise
        return self.circuit.begin()

    def leave(self, *, probe: bool, answered: bool | None, wait_seconds: float = 0.0) -> None:
        """Record the end of the attempt; `answered` None: it was cancelled."""
        self._room.release()
        if answered is None:
            self.circuit.record_cancelled(probe=probe)
        elif answered:
            self.circuit.record_answer()
        else:
            self.circuit.record_failure(self._clock(), probe=probe, wait_seconds=wait_seconds)
        self._notify()

    def _notify(self) -> None:
        self._changed.set()
