"""The clock of leases, in seconds: it goes on while the machine is suspended.

`time.monotonic` stands still meanwhile on Linux, so a lease measured by it would survive any suspension.
"""

from __future__ import annotations

import time


def lease_clock() -> float:
    """Return the time since some moment in the past, suspensions included where the system counts them."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)
