"""Faust's table manager with our own recovery: what happens when partitions come and go.

Faust's recovery restores record by record, logs and skips errors, and waits for a record that may
be a transaction marker (engine.md 4). Ours fences, restores by position and fails the worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

import faust
from faust.tables.manager import TableManager
from faust.types import TP
from mode import Service
from mode.utils.locks import Event

from .failures import BugError, LaneError

log = logging.getLogger(__name__)


class LaneTable(faust.Table):
    """A table as Faust knows it: its name, and its changelog, so that stage topics are co-assigned.

    The records live in the lane's stores, one per partition; Faust's own store stays empty.
    """

    async def on_start(self) -> None:
        """Declare nothing: topics are created and verified by our own admin."""

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Do nothing: the lane owns the records."""

    def persisted_offset(self, tp: TP) -> int | None:
        """Return None: how far the changelog was read is kept in the lane's store."""
        del tp
        return None


class LaneRecovery(Service):
    """Takes assigned partitions over: outside the rebalance callback, bound to its generation."""

    in_recovery = False

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        self.completed = Event()
        self._signal = Event()
        self._assigned: set[tuple[str, int]] = set()
        self._followed: set[tuple[str, int]] = set()
        self._beside: set[tuple[str, int]] = set()
        self._generation = 0
        self._opening: asyncio.Task[None] | None = None
        super().__init__(**kwargs)

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop answering as owner and stop opening what may not be ours any more."""
        del revoked
        self.app.lane.settled = False
        if self._opening is not None:
            self._opening.cancel()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Note the assignment and return at once: heartbeats wait for this callback."""
        del revoked, newly_assigned
        self._assigned = {(tp.topic, tp.partition) for tp in assigned if tp.topic in self.app.lane.stages}
        companion = self.app.lane.companion
        beside = () if companion is None else companion.topics
        self._beside = {(tp.topic, tp.partition) for tp in assigned if tp.topic in beside}
        by_changelog = {stage.changelog: source for source, stage in self.app.lane.stages.items()}
        self._followed = {
            (by_changelog[tp.topic], tp.partition)
            for tp in self.app.assignor.assigned_standbys()
            if tp.topic in by_changelog
        }
        self._generation = generation_id
        self._signal.set()

    @Service.task
    async def _follow_assignments(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self._signal):
                return
            self._signal.clear()
            if self._opening is not None:
                await asyncio.gather(self._opening, return_exceptions=True)
            self._opening = asyncio.create_task(self._take_over(self._assigned, self._generation))

    async def _take_over(self, assigned: set[tuple[str, int]], generation: int) -> None:
        app = self.app
        try:
            await app.on_rebalance_complete.send()
            app.flow_control.resume()
            app.consumer.resume_flow()
            await app._fetcher.maybe_start()  # noqa: SLF001 - as Faust's own recovery does
            await app.lane.take_over(assigned, self._followed)
            if generation != app.consumer_generation_id:
                return
            if app.lane.companion is not None:
                app.lane.companion.take_over(self._beside)
            self.completed.set()
            app.tables.on_actives_ready()
            app.tables.on_standbys_ready()
            app.on_rebalance_end()
            log.info("worker ready: %d partitions", len(assigned))
        except LaneError as error:
            app.lane.fatal(error)
        except Exception as error:
            log.exception("taking partitions over failed")
            app.lane.fatal(BugError(f"taking partitions over failed: {error!r}"))

    async def on_stop(self) -> None:
        """Finish what was submitted, commit, and leave the partitions in order."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self.app.lane.drain()
        await self.app.consumer.commit()
        await self.app.lane.suspend()

    def stats(self) -> Mapping[str, Any]:
        """Return restore progress by partition."""
        return {lane.name: str(lane.restoring) for lane in self.app.lane.partitions.values()}


class LaneTableManager(TableManager):
    """Faust's table manager, restoring through the lane."""

    @property
    def recovery(self) -> LaneRecovery:
        """Return the recovery service."""
        if self._recovery is None:
            self._recovery: LaneRecovery | None = LaneRecovery(self.app, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Register the changelogs, then follow assignments."""
        await self._update_channels()
        await self.recovery.start()
