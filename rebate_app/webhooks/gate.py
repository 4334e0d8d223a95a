"""When attempts may be made at all: not while paused, and seldom while the receiver is down.

Law: after some failures in a row one attempt at a time is made, at growing intervals, until one is answered;
all other events wait where they are, so nothing is hammered and no order is lost. It is separate from the
order of events, which does not change by it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

FAILURES_MAX = 5
INTERVAL_FIRST_S, INTERVAL_MAX_S = 1.0, 60.0


class Circuit:
    """Whether the receiver is up, as far as the last attempts tell. No clock of its own."""

    def __init__(self) -> None:
        self.is_open = False
        self._failures = 0
        self._interval = INTERVAL_FIRST_S
        self._not_before = 0.0
        self._probing = False

    def wait_s(self, now: float) -> float | None:
        """Return for how long no attempt may be made, 0 for now, None until something changes."""
        if self.is_open and self._probing:
            return None
        return max(0.0, self._not_before - now)

    def begin(self) -> bool:
        """Begin an attempt; return whether it is the one that tells if the receiver is back."""
        self._probing = self.is_open
        return self.is_open

    def answered(self) -> None:
        """Hear that the receiver has answered: it is up."""
        self.is_open = self._probing = False
        self._failures = 0
        self._interval = INTERVAL_FIRST_S

    def failed(self, now: float, *, probe: bool, wait_s: float = 0.0) -> None:
        """Hear that an attempt has failed; `wait_s`: what the receiver asks for."""
        self._failures += 1
        if probe:
            self._probing = False
            self._interval = min(2 * self._interval, INTERVAL_MAX_S)
        if probe or (not self.is_open and self._failures >= FAILURES_MAX):
            self.is_open = True
            self._not_before = max(self._not_before, now + self._interval)
        self._not_before = max(self._not_before, now + wait_s)

    def abandoned(self, *, probe: bool) -> None:
        """Hear that an attempt was given up before it ended."""
        if probe:
            self._probing = False


class Gate:
    """Lets attempts through: so many at once, while the circuit allows and nobody has said pause."""

    def __init__(self, at_once_max: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.circuit = Circuit()
        self._clock = clock
        self._paused = False
        self._room = asyncio.Semaphore(at_once_max)
        self._changed = asyncio.Event()

    @property
    def paused(self) -> bool:
        """Whether somebody has said pause."""
        return self._paused

    def pause(self, paused: bool) -> None:
        """Let nothing through any more, or let it through again."""
        self._paused = paused
        self._tell()

    async def enter(self) -> bool:
        """Return when an attempt may be made, and whether it is the one that tells; then `leave`."""
        await self._room.acquire()
        try:
            while (wait_s := None if self._paused else self.circuit.wait_s(self._clock())) != 0:
                self._changed.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._changed.wait()
        except BaseException:
            self._room.release()
            raise
        return self.circuit.begin()

    def leave(self, *, probe: bool, answered: bool | None, wait_s: float = 0.0) -> None:
        """Tell how the attempt ended; `answered` None: it was given up."""
        self._room.release()
        if answered is None:
            self.circuit.abandoned(probe=probe)
        elif answered:
            self.circuit.answered()
        else:
            self.circuit.failed(self._clock(), probe=probe, wait_s=wait_s)
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
