"""The gate before calls to the outside, and the window of records that are read and not done."""

from __future__ import annotations

import asyncio

import pytest

from rebate_app.streams.side.gate import FAILURES_MAX, INTERVAL_MAX_SECONDS, CircuitBreaker, Gate
from rebate_app.streams.side.window import BYTES_HIGH, RECORDS_HIGH, Window
from rebate_app.streams.task.batch import RecordBatch
from tests.topology_driver import LogRecord
from tests.webhooks.model import EVENTS


def record(offset: int, value: bytes = b"{}") -> LogRecord:
    """Return a record at that offset."""
    return LogRecord(EVENTS, 0, offset, 0, b"k", value)


class TestCircuitBreaker:
    """A receiver that is down is asked seldom, and one that is up not at all about it."""

    def test_it_opens_after_failures_in_a_row(self) -> None:
        """One success between failures keeps it closed."""
        circuit = CircuitBreaker()
        for _ in range(3):
            for _ in range(FAILURES_MAX - 1):
                circuit.record_failure(0, probe=circuit.begin())
            circuit.record_answer()
        assert not circuit.is_open
        for _ in range(FAILURES_MAX):
            assert circuit.wait_seconds(0) == 0
            circuit.record_failure(0, probe=circuit.begin())
        assert circuit.is_open

    def test_while_open_one_attempt_at_a_time_at_growing_intervals(self) -> None:
        """Each probe that fails doubles the wait, up to a bound; an answer closes it."""
        circuit, now, waits = CircuitBreaker(), 0.0, []
        for _ in range(FAILURES_MAX):
            circuit.record_failure(now, probe=circuit.begin())
        for _ in range(9):
            wait_seconds = circuit.wait_seconds(now)
            assert wait_seconds is not None
            waits.append(wait_seconds)
            now += wait_seconds
            probe = circuit.begin()
            assert probe
            assert circuit.wait_seconds(now) is None
            circuit.record_failure(now, probe=probe)
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert waits[-1] == INTERVAL_MAX_SECONDS
        circuit.record_answer()
        assert circuit.wait_seconds(now + 1_000) == 0

    def test_late_failures_do_not_lengthen_the_wait(self) -> None:
        """What was under way when it opened tells nothing new; a probe given up lets another one go."""
        circuit = CircuitBreaker()
        for _ in range(3 * FAILURES_MAX):
            circuit.record_failure(0, probe=False)
        assert circuit.wait_seconds(0) == 1
        circuit.record_cancelled(probe=circuit.begin())
        assert circuit.wait_seconds(1) == 0

    def test_what_the_receiver_asks_for_is_kept(self) -> None:
        """Retry-After holds back the next attempt, whoever makes it."""
        circuit = CircuitBreaker()
        circuit.record_failure(10, probe=False, wait_seconds=30)
        assert circuit.wait_seconds(15) == 25


class TestGate:
    """So many at once, none while paused."""

    def test_pause_holds_and_resume_lets_go(self) -> None:
        """Who waits at the gate goes on with resume; who is given up leaves room for others."""

        async def run() -> None:
            gate = Gate(1)
            gate.pause(paused=True)
            waiting = asyncio.create_task(gate.enter())
            await asyncio.sleep(0)
            assert not waiting.done()
            gate.pause(paused=False)
            assert await asyncio.wait_for(waiting, 5) is False
            second = asyncio.create_task(gate.enter())
            await asyncio.sleep(0)
            second.cancel()
            await asyncio.gather(second, return_exceptions=True)
            gate.leave(probe=False, answered=None)
            gate.pause(paused=True)
            third = asyncio.create_task(gate.enter())
            await asyncio.sleep(0)
            third.cancel()
            await asyncio.gather(third, return_exceptions=True)
            gate.pause(paused=False)
            assert await asyncio.wait_for(gate.enter(), 5) is False
            gate.leave(probe=False, answered=True)

        asyncio.run(run())

    def test_an_open_circuit_holds_for_its_interval(self) -> None:
        """The one that waits is let through when the time has come, as the one that tells."""

        async def run() -> None:
            now = [0.0]
            gate = Gate(4, lambda: now[0])
            for _ in range(FAILURES_MAX):
                gate.leave(probe=await gate.enter(), answered=False)
            now[0] = 0.99
            assert await asyncio.wait_for(_at(gate, now), 5) is True

        async def _at(gate: Gate, now: list[float]) -> bool:
            entering = asyncio.create_task(gate.enter())
            await asyncio.sleep(0)
            assert not entering.done()
            now[0] = 1.0
            return await entering

        asyncio.run(run())


class TestWindow:
    """Where to go on never passes what is not done."""

    def test_the_position_is_the_oldest_that_is_not_done(self) -> None:
        """Released in any order, it moves only over what is released without a gap."""
        window = Window(EVENTS, 0, 5)
        assert window.add(RecordBatch(EVENTS, 0, 5, 12, 12, [record(n) for n in (5, 7, 9)]))
        for _ in range(3):
            window.take()
        window.release(7)
        assert window.position == 5
        window.release(5)
        assert window.position == 9
        window.release(9)
        assert window.position == 12

    def test_a_gap_is_refused_and_an_overlap_dropped(self) -> None:
        """Every position is covered once."""
        window = Window(EVENTS, 0, 5)
        assert not window.add(RecordBatch(EVENTS, 0, 6, 8, 8, [record(6)]))
        assert window.add(RecordBatch(EVENTS, 0, 0, 7, 8, [record(n) for n in range(7)]))
        assert [r.offset for r in window.waiting] == [5, 6]

    @pytest.mark.parametrize("batch", [[b"x"] * (RECORDS_HIGH + 1), [b"x" * BYTES_HIGH]])
    def test_it_is_bounded_in_records_and_bytes(self, batch: list[bytes]) -> None:
        """Many records, or a few large ones: then no more is fetched until most of them are done."""
        window = Window(EVENTS, 0, 0)
        records = [record(n, value) for n, value in enumerate(batch)]
        window.add(RecordBatch(EVENTS, 0, 0, len(records), len(records), list(records)))
        assert window.is_high
        assert not window.is_low
        while window.waiting:
            window.release(window.take().offset)
        assert window.is_low
