"""How often a caller may ask, per worker: token buckets, and a count of wrong credentials per address.

Headers as in draft-ietf-httpapi-ratelimit-headers: `RateLimit-Policy` and `RateLimit`. Times in seconds of a
monotonic clock.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from ..problems import ProblemError

BURST_SECONDS: Final = 2  # a bucket holds as much as comes in within this time
WRONG_MAX: Final = 20
WRONG_WINDOW_SECONDS: Final = 60.0
#: Most callers and addresses that are remembered; the one unseen for longest is forgotten first.
REMEMBERED_MAX: Final = 20_000


class RateLimiter:
    """Token buckets by caller."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (tokens, at)

    def take(self, caller: str, per_second: float) -> None:
        """Count a request; ProblemError `too-many-requests` beyond the rate, with the time to wait."""
        now, burst = self._clock(), max(1.0, BURST_SECONDS * per_second)
        tokens, at = self._buckets.pop(caller, (burst, now))
        tokens = min(burst, tokens + (now - at) * per_second)
        allowed = tokens >= 1
        self._buckets[caller] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > REMEMBERED_MAX:
            self._buckets.popitem(last=False)
        if not allowed:
            raise _too_many(per_second, burst, (1 - tokens) / per_second)


def _too_many(per_second: float, burst: float, wait_seconds: float) -> ProblemError:
    retry_seconds = max(1, math.ceil(wait_seconds))
    window_seconds = max(1, math.ceil(burst / per_second))
    headers = {
        "Retry-After": str(retry_seconds),
        "RateLimit-Policy": f'"requests";q={math.floor(burst)};w={window_seconds}',
        "RateLimit": f'"requests";r=0;t={retry_seconds}',
    }
    return ProblemError("too-many-requests", f"at most {per_second:g} requests a second", headers=headers)


class WrongCredentials:
    """Wrong credentials of the last minute by address: beyond WRONG_MAX, further wrong ones are 429."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def count(self, address: str) -> None:
        """Count wrong credentials; ProblemError `too-many-requests` for an address that sent too many."""
        now = self._clock()
        times = self._times.pop(address, None) or deque()
        while times and times[0] <= now - WRONG_WINDOW_SECONDS:
            times.popleft()
        self._times[address] = times
        if len(times) >= WRONG_MAX:
            retry_seconds = max(1, math.ceil(times[0] + WRONG_WINDOW_SECONDS - now))
            headers = {
                "Retry-After": str(retry_seconds),
                "RateLimit-Policy": f'"wrong-credentials";q={WRONG_MAX};w={WRONG_WINDOW_SECONDS:.0f}',
                "RateLimit": f'"wrong-credentials";r=0;t={retry_seconds}',
            }
            raise ProblemError("too-many-requests", "too many wrong credentials", headers=headers)
        times.append(now)
        if len(self._times) > REMEMBERED_MAX:
            self._times.popitem(last=False)
