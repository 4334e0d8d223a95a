"""Named fault points: the same worker, with a hook that kills or freezes it at one of them.

`faust -A tests.rig.faults worker` is the real app with the lane's no-op hook replaced, so nothing of
this is in the product. REBATE_TEST_FAULT is `point:count:action`: at the count-th time that the point
is passed (after the gate file exists), `kill` is SIGKILL and `freeze` SIGSTOP to itself. `commit-sent`
acts a moment later, when the request is on its way and not answered.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

POINTS = (
    "initialised-one",
    "fenced",
    "restoring",
    "computed",
    "sent",
    "acknowledged",
    "commit-sent",
    "committed",
    "applied",
)
LATER_S = {"sent": 0.0005, "commit-sent": 0.001}
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP}


class FaultHook:
    """Acts once, at the count-th passing of its point."""

    def __init__(self, point: str, count: int, action: str, gate: Path | None) -> None:
        self._point = point
        self._left = count
        self._signal = SIGNALS[action]
        self._gate = gate

    def __call__(self, point: str) -> None:
        """Note that a point is passed."""
        if point != self._point or self._left <= 0 or (self._gate is not None and not self._gate.exists()):
            return
        self._left -= 1
        if self._left == 0:
            delay = LATER_S.get(point)
            if delay is None:
                self._act()
            else:
                asyncio.get_running_loop().call_later(delay, self._act)

    def _act(self) -> None:
        os.kill(os.getpid(), self._signal)


def hook_from(environment: dict[str, str]) -> FaultHook | None:
    """Return the hook that the environment asks for."""
    asked = environment.get("REBATE_TEST_FAULT")
    if not asked:
        return None
    point, count, action = asked.split(":")
    if point not in POINTS:
        raise ValueError(f"no fault point {point!r}: {', '.join(POINTS)}")
    gate = environment.get("REBATE_TEST_FAULT_GATE")
    return FaultHook(point, int(count), action, Path(gate) if gate else None)


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from rebate_app import app

    hook = hook_from(dict(os.environ))
    if hook is not None:
        app.lane.fault_point = hook
    globals()["app"] = app
    return app
