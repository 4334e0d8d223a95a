"""`rebate lag --wait` returns only when everything is in the balances, whatever happens in between."""

from __future__ import annotations

import asyncio
import time

import pytest

from rebate_app.cli import lag
from rebate_app.cli.lag import Committed, LagWatch, OutOfTimeError, PartitionLag, SpanContent, lag_of
from tests.cli.lag_world import ORDERS, USERS, World


def watch(view: lag.LogView, seconds: float = 60) -> LagWatch:
    """Return a watch on the two logs."""
    return LagWatch(
        view, (ORDERS, USERS), deadline=time.monotonic() + seconds, on_progress=lambda behind: None
    )


class Still:
    """A view of logs in which nothing happens."""

    def __init__(
        self,
        ends: dict[str, dict[int, int]],
        committed: dict[str, dict[int, Committed]],
        records: dict[tuple[str, int], int] | None = None,
        stable: dict[str, dict[int, int]] | None = None,
    ) -> None:
        self._ends = ends
        self._stable = stable or ends
        self._committed = committed
        self._records = records or {}
        self.looks = 0
        self.counted = 0  # looks that read whole spans

    async def ends(self, topic: str) -> dict[int, int]:
        """Return the ends."""
        return self._ends.get(topic, {})

    async def stable_ends(self, topic: str) -> dict[int, int]:
        """Return the last stable offsets."""
        return self._stable.get(topic, {})

    async def committed(self, topic: str) -> dict[int, Committed]:
        """Return the group's offsets."""
        return self._committed[topic]

    async def find(
        self, topic: str, spans: dict[int, tuple[int, int]], *, first_only: bool
    ) -> dict[int, SpanContent]:
        """Return as many records as there are said to be."""
        self.looks += 1
        self.counted += not first_only
        return {number: SpanContent(self._records.get((topic, number), 0), complete=True) for number in spans}


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds in memory need no time."""
    monkeypatch.setattr(lag, "POLL_SECONDS", 0)


class TestSettle:
    """The promise of exit code 0."""

    @pytest.mark.parametrize("seed", range(150))
    def test_nothing_is_left_when_it_returns(self, seed: int) -> None:
        """Lines under ids, hops to inviters and moving ids are all done, at any speed of anything."""
        world = World(seed, orders=seed % 7, binds=seed % 4)
        asyncio.run(watch(world).settle())
        assert world.everything_processed()

    @pytest.mark.parametrize("seed", range(20))
    def test_a_worker_that_never_commits_is_never_believed(self, seed: int) -> None:
        """What is processed and not committed may be processed again: it is not in the balances for sure."""
        world = World(seed, orders=3, binds=1)
        world._commit = lambda: None  # type: ignore[method-assign]
        with pytest.raises(OutOfTimeError):
            asyncio.run(watch(world, seconds=0.05).settle())

    def test_markers_behind_the_commit_are_nothing(self) -> None:
        """A log that ends in transaction markers is processed, though its end is never committed."""
        view = Still({ORDERS: {0: 5}, USERS: {0: 9}}, {ORDERS: {0: Committed(5)}, USERS: {0: Committed(7)}})
        asyncio.run(watch(view).settle())
        assert view.looks == 1, "the verdict about the same span holds"

    def test_a_record_behind_the_commit_is_waited_for(self) -> None:
        """One record that nobody has processed is enough to say no."""
        view = Still(
            {ORDERS: {0: 5}, USERS: {0: 9}},
            {ORDERS: {0: Committed(5)}, USERS: {0: Committed(7)}},
            {(USERS, 0): 1},
        )
        with pytest.raises(OutOfTimeError):
            asyncio.run(watch(view, seconds=0.05).settle())
        assert view.looks == 1, "the verdict about the same span holds"

    def test_an_id_that_moves_lines_is_waited_for(self) -> None:
        """Nothing is behind, and still not everything has been sent."""
        view = Still(
            {ORDERS: {0: 5}, USERS: {0: 9}},
            {ORDERS: {0: Committed(5)}, USERS: {0: Committed(9, unfinished=1)}},
        )
        with pytest.raises(OutOfTimeError):
            asyncio.run(watch(view, seconds=0.05).settle())

    def test_topics_that_do_not_exist_yet_are_waited_for(self) -> None:
        """A worker that starts at the same time will create them."""
        with pytest.raises(OutOfTimeError):
            asyncio.run(watch(Still({}, {}), seconds=0.05).settle())


class TestLag:
    """The figures of plain `rebate lag`."""

    def test_small_differences_are_counted(self) -> None:
        """Markers and aborted records are no lag."""
        view = Still(
            {USERS: {0: 10, 1: 4, 2: 0}},
            {USERS: {n: Committed(c) for n, c in enumerate((2, 3, 0))}},
            {(USERS, 0): 6},
        )
        assert asyncio.run(lag_of(view, USERS)) == [
            PartitionLag(USERS, 0, 6),
            PartitionLag(USERS, 1, 0),
            PartitionLag(USERS, 2, 0),
        ]

    def test_large_differences_are_not_read(self) -> None:
        """Far behind, the difference of offsets says enough; only the first record is read, for its age."""
        view = Still({USERS: {0: lag.COUNTED_MAX + 8}}, {USERS: {0: Committed(7)}})
        assert asyncio.run(lag_of(view, USERS)) == [PartitionLag(USERS, 0, lag.COUNTED_MAX + 1)]
        assert (view.looks, view.counted) == (1, 0)

    def test_what_cannot_be_read_yet_counts_in_full(self) -> None:
        """What the look had no time for is not assumed to be nothing."""

        class HeldBack(Still):
            async def find(
                self, topic: str, spans: dict[int, tuple[int, int]], *, first_only: bool
            ) -> dict[int, SpanContent]:
                return {0: SpanContent(2, complete=False, rest=3)}

        view = HeldBack({USERS: {0: 9}}, {USERS: {0: Committed(2)}})
        assert asyncio.run(lag_of(view, USERS)) == [PartitionLag(USERS, 0, 5)]

    def test_what_an_open_transaction_holds_back_is_no_lag_and_has_a_figure_of_its_own(self) -> None:
        """Up to the last stable offset everything is processed; above it nobody can read."""
        view = Still(
            {USERS: {0: 9, 1: 5}}, {USERS: {0: Committed(4), 1: Committed(5)}}, stable={USERS: {0: 4, 1: 7}}
        )
        assert asyncio.run(lag_of(view, USERS)) == [
            PartitionLag(USERS, 0, 0, unstable=5),
            PartitionLag(USERS, 1, 0, unstable=0),
        ]
        assert view.looks == 0

    def test_a_commit_beyond_the_end_is_no_lag(self) -> None:
        """Offsets never count below zero."""
        view = Still({USERS: {0: 3}}, {USERS: {0: Committed(9)}})
        assert asyncio.run(lag_of(view, USERS)) == [PartitionLag(USERS, 0, 0)]
