"""The worker of the page's tests: the real app, with an hour of load already in its samples.

A real hour would take one. Its figures are made up and go through the same list, `/v1/workers` and charts as
real ones. A stuck withdrawal can be resolved at once, and not only after a day. REBATE_TEST_BUG parks keys
(`tests.rig.faults`).
"""

from __future__ import annotations

import math
import time
from typing import Any

from rebate_app.metrics.minute_samples import MINUTE_US, MinuteSample

MINUTES = 58


def past_hour(now_us: int) -> list[MinuteSample]:
    """Return samples of the last hour, the newest a minute old; two minutes were idle."""
    end = now_us - now_us % MINUTE_US
    found = []
    for number in range(MINUTES):
        at = end - (MINUTES - number) * MINUTE_US
        wave = 1 + 0.6 * math.sin(number / 9) + 0.12 * math.sin(number * 2.3)
        idle = number in (20, 21)
        age = None if idle else round(0.25 + 0.12 * math.sin(number / 5) + (1.4 if number == 41 else 0), 3)
        facts = 0 if idle else int(5_400 * wave)
        requests = int(240 * wave)
        found.append(MinuteSample(at, facts, 2 * facts, age, requests, 0.025 if number != 41 else 0.1))
    return found


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from rebate_app.domain.money_out import withdrawal_fold
    from tests.rig.faults import app

    withdrawal_fold.RESOLVE_AFTER_US = 0
    app.samples._samples.extend(past_hour(time.time_ns() // 1_000))
    globals()["app"] = app
    return app
