"""Probes for whoever runs the worker (contracts.md 7).

Law: `/livez` depends on nothing but the loop that answers it; `/readyz` is 200 only while the worker has
joined and all its partitions are restored and being processed. It is separate so that no dependency
creeps into `/livez`.
"""

from __future__ import annotations

from .api import Answer, Call, Desk, json_answer
from .problems import ProblemError


async def read_live(desk: Desk, call: Call) -> Answer:
    """Answer `GET /livez`."""
    del desk, call
    return json_answer({"status": "alive"})


async def read_ready(desk: Desk, call: Call) -> Answer:
    """Answer `GET /readyz`."""
    del call
    ready, reason = desk.placement.readiness()
    if not ready:
        halted = desk.placement.halted()
        code = "not-ready" if halted is None else halted[0]
        raise ProblemError(code, reason, headers={"Retry-After": "1"}, ready=False, reason=reason)
    return json_answer({"status": "ready", "ready": True, "reason": reason})
