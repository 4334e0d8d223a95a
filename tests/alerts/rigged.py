"""The real app with one thing wrong with it, for recordings: `REBATE_TEST_RIG` names it.

`clock-ahead`: its clock is 30 s fast. `request-fails`: reading a balance raises. `no-group-commit`: the
group's offset is not committed any more once the file REBATE_TEST_RIG_GATE exists.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

AHEAD_SECONDS = 30
real_time, real_time_ns = time.time, time.time_ns
RIG = os.environ["REBATE_TEST_RIG"]

if RIG == "clock-ahead":
    time.time = lambda: real_time() + AHEAD_SECONDS
    time.time_ns = lambda: real_time_ns() + AHEAD_SECONDS * 10**9


def _fail(*_: object) -> None:
    raise ZeroDivisionError("planted")


def _is_gated() -> bool:
    return Path(os.environ["REBATE_TEST_RIG_GATE"]).exists()


def _failing_once_gated(commit: Any) -> Any:
    async def commit_or_fail(*arguments: Any) -> None:
        if _is_gated():
            raise TimeoutError("planted")
        await commit(*arguments)

    return commit_or_fail


def __getattr__(name: str) -> Any:
    """Build the app when Faust asks for it."""
    if name != "app":
        raise AttributeError(name)
    from rebate_app import app

    if RIG == "request-fails":
        from rebate_app.web.resources import balances

        vars(balances)["read_parked"] = _fail
    if RIG == "no-group-commit":
        from rebate_app.streams.faust.offset_commit import OffsetCommits

        OffsetCommits.commit = _failing_once_gated(OffsetCommits.commit)  # type: ignore[method-assign]
    globals()["app"] = app
    return app
