"""Attack 18: what renews a lease, and what does not."""

from __future__ import annotations

import time
from typing import Any

import pytest
from aiokafka.errors import RebalanceInProgressError
from aiokafka.protocol.group import HeartbeatRequest

from rebate_app.streams.faust.consumer_health import renew_by_heartbeats
from rebate_app.streams.kafka.lease_clock import lease_clock

pytestmark = pytest.mark.asyncio


class Response:
    """The broker's answer."""

    def __init__(self, error_code: int) -> None:
        self.error_code = error_code


class Coordinator:
    """As aiokafka's: "rebalance in progress" is a success."""

    def __init__(self, error_code: int) -> None:
        self.error_code = error_code

    async def _send_req(self, request: Any) -> Response:
        return Response(self.error_code)

    async def _do_heartbeat(self) -> bool:
        response = await self._send_req(HeartbeatRequest("group", 1, "member"))
        return response.error_code in (0, RebalanceInProgressError.errno)


@pytest.mark.parametrize(
    ("error_code", "goes_on", "renewals"),
    [(0, True, 1), (RebalanceInProgressError.errno, True, 0), (25, False, 0)],
)
async def test_only_an_answer_without_error_renews(error_code: int, goes_on: bool, renewals: int) -> None:
    """And aiokafka sees the same answer as before."""
    coordinator, renewed = Coordinator(error_code), list[float]()
    renew_by_heartbeats(coordinator, renewed.append)
    assert await coordinator._do_heartbeat() is goes_on
    assert len(renewed) == renewals


async def test_the_clock_counts_suspensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the system's boot-time clock, else the monotonic one."""
    before = lease_clock()
    assert lease_clock() >= before
    monkeypatch.delattr(time, "CLOCK_BOOTTIME", raising=False)
    assert abs(lease_clock() - time.monotonic()) < 1
