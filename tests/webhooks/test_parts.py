"""Gate, window and formats by themselves."""

from __future__ import annotations

import asyncio

import pytest

from rebate_app.lane.chunk import Chunk
from rebate_app.webhooks.copies import Mark, Travel, Undelivered, copy_of, dead_letter_of, mark_of, read_copy
from rebate_app.webhooks.gate import FAILURES_MAX, INTERVAL_MAX_S, Circuit, Gate
from rebate_app.webhooks.window import BYTES_HIGH, RECORDS_HIGH, Window
from rebate_app.wire.failure_headers import Place, texts_of
from tests.list_lane import LogRecord

from .model import APP, EVENTS, event


def record(offset: int, value: bytes = b"{}") -> LogRecord:
    """Return a record at that offset."""
    return LogRecord(EVENTS, 0, offset, 0, b"k", value)


class TestCircuit:
    """A receiver that is down is asked seldom, and one that is up not at all about it."""

    def test_it_opens_after_failures_in_a_row(self) -> None:
        """One success between failures keeps it closed."""
        circuit = Circuit()
        for _ in range(3):
            for _ in range(FAILURES_MAX - 1):
                circuit.failed(0, probe=circuit.begin())
            circuit.answered()
        assert not circuit.is_open
        for _ in range(FAILURES_MAX):
            assert circuit.wait_s(0) == 0
            circuit.failed(0, probe=circuit.begin())
        assert circuit.is_open

    def test_while_open_one_attempt_at_a_time_at_growing_intervals(self) -> None:
        """Each probe that fails doubles the wait, up to a bound; an answer closes it."""
        circuit, now, waits = Circuit(), 0.0, []
        for _ in range(FAILURES_MAX):
            circuit.failed(now, probe=circuit.begin())
        for _ in range(9):
            wait_s = circuit.wait_s(now)
            assert wait_s is not None
            waits.append(wait_s)
            now += wait_s
            probe = circuit.begin()
            assert probe
            assert circuit.wait_s(now) is None
            circuit.failed(now, probe=probe)
        assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
        assert waits[-1] == INTERVAL_MAX_S
        circuit.answered()
        assert circuit.wait_s(now + 1_000) == 0

    def test_late_failures_do_not_lengthen_the_wait(self) -> None:
        """What was under way when it opened tells nothing new; a probe given up lets another one go."""
        circuit = Circuit()
        for _ in range(3 * FAILURES_MAX):
            circuit.failed(0, probe=False)
        assert circuit.wait_s(0) == 1
        circuit.abandoned(probe=circuit.begin())
        assert circuit.wait_s(1) == 0

    def test_what_the_receiver_asks_for_is_kept(self) -> None:
        """Retry-After holds back the next attempt, whoever makes it."""
        circuit = Circuit()
        circuit.failed(10, probe=False, wait_s=30)
        assert circuit.wait_s(15) == 25


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
        assert window.add(Chunk(EVENTS, 0, 5, 12, 12, [record(n) for n in (5, 7, 9)]))
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
        assert not window.add(Chunk(EVENTS, 0, 6, 8, 8, [record(6)]))
        assert window.add(Chunk(EVENTS, 0, 0, 7, 8, [record(n) for n in range(7)]))
        assert [r.offset for r in window.waiting] == [5, 6]

    @pytest.mark.parametrize("chunk", [[b"x"] * (RECORDS_HIGH + 1), [b"x" * BYTES_HIGH]])
    def test_it_is_bounded_in_records_and_bytes(self, chunk: list[bytes]) -> None:
        """Many records, or a few large ones: then no more is fetched until most of them are done."""
        window = Window(EVENTS, 0, 0)
        records = [record(n, value) for n, value in enumerate(chunk)]
        window.add(Chunk(EVENTS, 0, 0, len(records), len(records), list(records)))
        assert window.is_high
        assert not window.is_low
        while window.waiting:
            window.release(window.take().offset)
        assert window.is_low


class TestFormats:
    """What is written is what is read."""

    def written(self, out: object) -> LogRecord:
        """Return an outgoing record as it stands in a log."""
        return LogRecord(out.topic, 0, 3, out.timestamp_ms, out.key, out.value, out.headers)  # type: ignore[attr-defined]

    def test_a_copy_says_all_that_is_known(self) -> None:
        """Origin, attempts, moments and the last error survive a rebalance."""
        body, travel = event()
        copy = self.written(copy_of(body, travel, "retry-1m", APP, 99))
        assert read_copy(copy, APP) == travel
        assert read_copy(copy, "another") is None

    def test_a_mark_and_a_replay(self) -> None:
        """A mark names what is done; a copy without an origin is an event by itself."""
        assert read_copy(self.written(mark_of(Mark(b"u", 7), "retry", 0, APP, 1)), APP) == Mark(b"u", 7)
        again = LogRecord("retry", 0, 3, 50, b"u", b"{}", [("rebate-webhook-app", APP.encode())])
        assert read_copy(again, APP) == Travel(Place("retry", 0, 3), 50)

    @pytest.mark.parametrize(
        "headers",
        [
            [("rebate-webhook-origin", b"nowhere")],
            [("rebate-webhook-origin", b"t/0/1"), ("rebate-webhook-attempt", b"x")],
            [("rebate-webhook-through", b"x")],
        ],
    )
    def test_what_nobody_knows_is_passed_over(self, headers: list[tuple[str, bytes]]) -> None:
        """A copy that cannot be read stops nothing."""
        mine = [("rebate-webhook-app", APP.encode()), *headers]
        assert read_copy(LogRecord("retry", 0, 3, 50, b"u", b"{}", mine), APP) is None
        assert read_copy(LogRecord("retry", 0, 3, 50, None, None, mine), APP) is None

    def test_a_dead_letter_is_one_as_all_others(self) -> None:
        """It names where the event stands, and of a replay where its first failure was."""
        body, travel = event()
        why = Undelivered("webhook-refused", "app", "1", "w")
        told = texts_of(dead_letter_of(body, travel, why, "dlt", 9).headers)
        assert told["rebate-error-reason"] == "webhook-refused"
        assert (told["rebate-error-topic"], told["rebate-error-offset"]) == (EVENTS, "7")
        assert told["theirs"] == "1"
        assert "rebate-error-origin" not in told
        replayed = type(body)(body.key, body.value, (("rebate-replay-of", b"events/0/1"),))
        again = texts_of(dead_letter_of(replayed, travel, why, "dlt", 9).headers)
        assert again["rebate-error-origin"] == "events/0/1"
