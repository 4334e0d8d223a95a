"""`BatchPacer`: a pause that grows while the core is busy, and that many records at hand do not wait for."""

from __future__ import annotations

import pytest

from rebate_app.streams.task.pacing import (
    BUSY,
    PAUSE_MAX_SECONDS,
    PAUSE_MIN_SECONDS,
    RECORDS_ENOUGH,
    ROOM,
    WINDOW_SECONDS,
    BatchPacer,
)


class Core:
    """A clock, and how much of the passing time the thread has used."""

    def __init__(self) -> None:
        self.now = 100.0
        self.used = 5.0

    def pacer(self) -> BatchPacer:
        """Return a pacer that reads these clocks."""
        return BatchPacer(lambda: self.now, lambda: self.used)

    def passes(self, seconds: float, share: float) -> None:
        """Let time pass of which the thread uses a share."""
        self.now += seconds
        self.used += seconds * share


@pytest.fixture
def core() -> Core:
    """Give a core on which nothing has happened."""
    return Core()


def windows(core: Core, pacer: BatchPacer, count: int, share: float) -> list[float]:
    """Return the pause after each of so many windows with that load."""
    pauses = []
    for _ in range(count):
        core.passes(WINDOW_SECONDS * 1.01, share)
        pacer.wait_seconds(core.now, 1)
        pauses.append(pacer.pause_seconds)
    return pauses


class TestBatchPacer:
    """What the load makes of the pause."""

    @pytest.mark.parametrize("share", [0.0, ROOM, BUSY - 0.01])
    def test_a_core_with_room_never_waits(self, core: Core, share: float) -> None:
        """Latency is what counts then."""
        assert windows(core, core.pacer(), 50, share) == [0.0] * 50

    def test_a_busy_core_waits_more_and_more_up_to_a_limit(self, core: Core) -> None:
        """Monotone, from a pause that is worth it to one that people do not notice."""
        pauses = windows(core, core.pacer(), 20, 0.95)
        assert pauses[0] == PAUSE_MIN_SECONDS
        assert pauses == sorted(pauses)
        assert pauses[-1] == PAUSE_MAX_SECONDS

    def test_it_holds_between_the_bounds_and_ends_where_there_is_room(self, core: Core) -> None:
        """Two bounds, so that the pause does not swing about one of them."""
        pacer = core.pacer()
        held = windows(core, pacer, 4, 0.95)[-1]
        assert windows(core, pacer, 5, (BUSY + ROOM) / 2) == [held] * 5
        pauses = windows(core, pacer, 20, 0.2)
        assert pauses == sorted(pauses, reverse=True)
        assert pauses[-1] == 0.0

    def test_a_batch_waits_for_what_is_left_of_the_pause(self, core: Core) -> None:
        """It counts from the beginning of the batch before, so a slow commit waits no longer."""
        pacer = core.pacer()
        windows(core, pacer, 20, 0.95)
        began_at = core.now
        core.passes(PAUSE_MAX_SECONDS / 4, 0.95)
        assert pacer.wait_seconds(began_at, 1) == pytest.approx(PAUSE_MAX_SECONDS * 3 / 4)
        core.passes(PAUSE_MAX_SECONDS, 0.95)
        assert pacer.wait_seconds(began_at, 1) == 0.0

    def test_a_busy_moment_delays_no_fetch(self, core: Core) -> None:
        """Fetches wait a tenth of a second then, which is worth it only where the core stays busy."""
        pacer = core.pacer()
        assert windows(core, pacer, 3, 0.95)[-1] > 0
        assert not pacer.is_busy
        windows(core, pacer, 1, 0.95)
        assert pacer.is_busy

    def test_many_records_do_not_wait(self, core: Core) -> None:
        """A backlog loses nothing by it, however busy the core is."""
        pacer = core.pacer()
        windows(core, pacer, 20, 1.0)
        assert pacer.wait_seconds(core.now, RECORDS_ENOUGH) == 0.0
        assert pacer.wait_seconds(core.now, RECORDS_ENOUGH - 1) > 0.0

    def test_a_worker_that_was_idle_for_long_begins_anew(self, core: Core) -> None:
        """The pause of a busy hour says nothing about the next one."""
        pacer = core.pacer()
        windows(core, pacer, 20, 0.95)
        assert pacer.is_busy
        core.passes(3_600, 0.01)
        assert not pacer.is_busy  # so that the first fetch does not wait for more, either
        assert pacer.wait_seconds(core.now, 1) == 0.0

    def test_a_moment_is_no_measurement(self, core: Core) -> None:
        """The load of less than a window says nothing."""
        pacer = core.pacer()
        for _ in range(100):
            core.passes(WINDOW_SECONDS / 200, 1.0)
            pacer.wait_seconds(core.now, 1)
        assert pacer.pause_seconds == 0.0
