"""Detects aiokafka consumers that no longer work, by their asyncio tasks (pinned aiokafka).

These tasks end without a log line: aiokafka gives the group up, or a CancelledError of its own ends one of
them, and then nothing is fetched or no heartbeat is sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from aiokafka.protocol.group import HeartbeatRequest, JoinGroupRequest

from ..kafka.lease_clock import lease_clock


def coordination_error(consumer: Any) -> BaseException | None:
    """Return why aiokafka has given the group up, None while it has not."""
    coordinator = consumer._coordinator  # noqa: SLF001
    pending = getattr(coordinator, "_pending_exception", None)  # what a public getmany would raise
    task = getattr(coordinator, "_coordination_task", None)
    if pending is None and task is not None and task.done() and not task.cancelled():
        pending = task.exception()
    return cast("BaseException | None", pending)


def task_gone(consumer: Any, *, with_heartbeat: bool) -> str | None:
    """Return the name of a task that ended while the consumer is open, None if all run.

    `with_heartbeat`: include the heartbeat task, which rightly does not run before the consumer is a member.
    """
    if consumer._closed:  # noqa: SLF001
        return None
    coordinator = consumer._coordinator  # noqa: SLF001
    tasks = {
        "coordination": getattr(coordinator, "_coordination_task", None),
        "fetching": getattr(consumer._fetcher, "_fetch_task", None),  # noqa: SLF001
        "metadata": consumer._client._sync_task,  # noqa: SLF001
    }
    if with_heartbeat and coordinator.member_id != JoinGroupRequest.UNKNOWN_MEMBER_ID:
        tasks["heartbeat"] = getattr(coordinator, "_heartbeat_task", None)
    return next((name for name, task in tasks.items() if task is not None and task.done()), None)


def renew_by_heartbeats(coordinator: Any, renew: Callable[[float], None]) -> None:
    """Call `renew` with the time of sending (lease clock) for each heartbeat that is answered without error.

    The time of the answer does not count: after a freeze, the answer to a heartbeat from before it is still
    in the socket. Nor does an answer of "rebalance in progress", which aiokafka calls a success: the
    partitions may belong to somebody else already.
    """
    beat, send = coordinator._do_heartbeat, coordinator._send_req  # noqa: SLF001 - pinned aiokafka
    errors: list[int] = []

    async def sent(request: Any) -> Any:
        response = await send(request)
        if isinstance(request, HeartbeatRequest):
            errors.append(response.error_code)
        return response

    async def noted() -> bool:
        sent_at = lease_clock()
        errors.clear()
        goes_on = bool(await beat())
        if goes_on and errors == [0]:
            renew(sent_at)
        return goes_on

    coordinator._send_req, coordinator._do_heartbeat = sent, noted  # noqa: SLF001
