"""Named fault points: the same worker, with a hook that kills or freezes it at one of them.

`faust -A tests.rig.faults worker` is the real app with the lane's no-op hook replaced, so nothing of
this is in the product. REBATE_TEST_FAULT is `point:count:action`: at the count-th time that the point
is passed (after the gate file exists), `kill` is SIGKILL to itself, `freeze` SIGSTOP, `term` SIGTERM.
`commit-sent` acts a moment later, when the request is on its way and not answered. REBATE_TEST_BUG names
keys on whose records our folds raise, after having done everything.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rebate_app.lane.stage import Record

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
SIGNALS = {"kill": signal.SIGKILL, "freeze": signal.SIGSTOP, "term": signal.SIGTERM}


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


def plant_bug(keys: str) -> None:
    """Have both folds do all of their work on records of these keys, separated by spaces, and then raise."""
    from agents.accounts import AccountsWork
    from agents.order_lines import OrderLinesWork

    buggy = frozenset(key.encode() for key in keys.split())
    for work in (AccountsWork, OrderLinesWork):
        if buggy:
            work.take = _raising(work.take, buggy)  # type: ignore[method-assign, assignment]


def _raising(take: Callable[[Any, Record], None], buggy: frozenset[bytes]) -> Callable[[Any, Record], None]:
    def take_and_raise(work: Any, record: Record) -> None:
        take(work, record)
        if record.key in buggy:
            raise ZeroDivisionError(f"the key is {record.key!r}")

    return take_and_raise


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from rebate_app import app

    plant_bug(os.environ.get("REBATE_TEST_BUG", ""))
    hook = hook_from(dict(os.environ))
    if hook is not None:
        app.lane.fault_point = hook
    globals()["app"] = app
    return app
