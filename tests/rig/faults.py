"""Named fault points: the same worker, with a hook that kills or freezes it at one of them.

`faust -A tests.rig.faults worker` is the real app with the engine's no-op hook replaced, so nothing of
this is in the product. REBATE_TEST_FAULT is `point:count:action`: at the count-th time that the point
is passed (after the gate file exists), `kill` is SIGKILL to itself, `freeze` SIGSTOP, `term` SIGTERM, and
`freeze-broker` SIGSTOP to the process REBATE_TEST_FAULT_PID, which is frozen when the worker goes on: what
follows the point finds it so. `payout-…` are the crash points of payouts. `commit-sent` acts on the worker
itself a moment later, when the request is on its way and not answered. REBATE_TEST_BUG names keys on whose
records our folds raise, after having done everything.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from rebate_app.payouts.executor import CRASH_POINTS
from rebate_app.streams.task.stage import Record
from tests.rig.freezing import freeze

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
    "noted",
)
#: Passed by each payout (rebate_app/payouts/executor.py).
PAYOUT_POINTS = tuple(f"payout-{point}" for point in CRASH_POINTS)
#: Passed only while a kind of record is built in a store of an older version (tests/e2e/test_building.py).
BUILT = "built"
LATER_S = {"sent": 0.0005, "commit-sent": 0.001}
SIGNALS = {
    "kill": signal.SIGKILL,
    "freeze": signal.SIGSTOP,
    "term": signal.SIGTERM,
    "freeze-broker": signal.SIGSTOP,
}


class FaultHook:
    """Acts once, at the count-th passing of its point."""

    def __init__(
        self, point: str, count: int, action: str, gate: Path | None, pid: int | None = None
    ) -> None:
        self._point = point
        self._pid = os.getpid() if pid is None else pid
        self._left = count
        self._signal = SIGNALS[action]
        self._gate = gate

    def __call__(self, point: str) -> None:
        """Note that a point is passed."""
        if point != self._point or self._left <= 0 or (self._gate is not None and not self._gate.exists()):
            return
        self._left -= 1
        if self._left == 0:
            delay = LATER_S.get(point) if self._pid == os.getpid() else None
            if delay is None:
                self._act()
            else:
                asyncio.get_running_loop().call_later(delay, self._act)

    def _act(self) -> None:
        if self._pid == os.getpid():
            os.kill(self._pid, self._signal)
        else:
            freeze(self._pid)


def hook_from(environment: dict[str, str]) -> FaultHook | None:
    """Return the hook that the environment asks for."""
    asked = environment.get("REBATE_TEST_FAULT")
    if not asked:
        return None
    point, count, action = asked.split(":")
    if point not in (*POINTS, *PAYOUT_POINTS, BUILT):
        raise ValueError(f"no fault point {point!r}: {', '.join((*POINTS, *PAYOUT_POINTS))}, {BUILT}")
    gate = environment.get("REBATE_TEST_FAULT_GATE")
    pid = int(environment["REBATE_TEST_FAULT_PID"]) if action == "freeze-broker" else None
    return FaultHook(point, int(count), action, Path(gate) if gate else None, pid)


def _payout_fault(hook: FaultHook) -> Callable[[str], Awaitable[None]]:
    async def pass_point(point: str) -> None:
        hook(f"payout-{point}")

    return pass_point


def plant_bug(keys: str) -> None:
    """Have both folds do all of their work on records of these keys, separated by spaces, and then raise."""
    from agents.accounts import AccountsFold
    from agents.order_lines import OrderLinesFold

    buggy = frozenset(key.encode() for key in keys.split())
    for work in (AccountsFold, OrderLinesFold):
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
        app.tasks.fault_point = hook
        app.payouts._context = replace(app.payouts._context, fault=_payout_fault(hook))
    globals()["app"] = app
    return app
