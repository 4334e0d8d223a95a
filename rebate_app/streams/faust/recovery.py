"""Faust's table manager with a recovery of our own: takes over assigned partitions, and leaves revoked ones.

Faust's recovery restores record by record, logs and skips errors, and waits for a record that may be a
transaction marker (docs/spec/exactness.md#faust). This one fences, restores by position, and ends the
worker on failure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import faust
from faust.tables.manager import TableManager
from faust.types import TP
from mode import Service
from mode.utils.locks import Event

from ..errors import AnnouncedUrlError
from ..supervision import supervise, watched

log = logging.getLogger(__name__)


class ChangelogTable(faust.Table):
    """A table for Faust: name and changelog, by which it co-assigns partitions and standbys.

    Records are in the engine's stores, one per partition; Faust's own store stays empty.
    """

    async def on_start(self) -> None:
        """Declare nothing: `kafka.admin` creates and verifies topics."""

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Do nothing: the engine keeps the records."""

    def persisted_offset(self, tp: TP) -> int | None:
        """Return None: the engine's store has the position in the changelog."""
        del tp
        return None


class TaskRecovery(Service):
    """Takes assigned partitions over, outside the rebalance callback and bound to its generation."""

    in_recovery = False

    def __init__(self, app: Any, **kwargs: Any) -> None:
        self.app = app
        self.completed = Event()
        self._signal = Event()
        self._assigned: set[tuple[str, int]] = set()
        self._followed: set[tuple[str, int]] = set()
        self._side_partitions: set[tuple[str, int]] = set()
        self._generation = 0
        self._opening: asyncio.Task[None] | None = None
        super().__init__(**kwargs)

    def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Stop answering as owner, and stop opening partitions that may be another worker's."""
        del revoked
        self.app.tasks.settled = False
        if self._opening is not None:
            self._opening.cancel()

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Record the assignment and return at once: heartbeats wait for this callback."""
        del revoked, newly_assigned
        self._assigned = {(tp.topic, tp.partition) for tp in assigned if tp.topic in self.app.tasks.stages}
        side_topics = self.app.tasks.side_consumer.topics
        self._side_partitions = {(tp.topic, tp.partition) for tp in assigned if tp.topic in side_topics}
        by_changelog = {stage.changelog: source for source, stage in self.app.tasks.stages.items()}
        self._followed = {
            (by_changelog[tp.topic], tp.partition)
            for tp in self.app.assignor.assigned_standbys()
            if tp.topic in by_changelog
        }
        self._generation = generation_id
        self._signal.set()

    @Service.task
    async def _watched_assignments(self) -> None:
        await watched(self._follow_assignments, "assignments", self.app.tasks.fatal, may_return=True)

    async def _follow_assignments(self) -> None:
        while not self.should_stop:
            if await self.wait_for_stopped(self._signal):
                return
            self._signal.clear()
            if self._opening is not None:
                await asyncio.gather(self._opening, return_exceptions=True)
            take_over = partial(self._take_over, self._assigned, self._generation)
            fatal = self.app.tasks.fatal
            self._opening = supervise(take_over, "taking partitions over", fatal, may_return=True)

    async def _take_over(self, assigned: set[tuple[str, int]], generation: int) -> None:
        app = self.app
        if app.assignor.refusal:
            app.tasks.fatal(AnnouncedUrlError(app.assignor.refusal))
            return
        await app.on_rebalance_complete.send()
        app.flow_control.resume()
        app.consumer.resume_flow()
        await app._fetcher.maybe_start()  # noqa: SLF001 - as Faust's own recovery does
        await app.tasks.take_over(assigned, self._followed)
        if generation != app.consumer_generation_id:
            return
        app.tasks.side_consumer.take_over(self._side_partitions)
        self.completed.set()
        app.tables.on_actives_ready()
        app.tables.on_standbys_ready()
        app.on_rebalance_end()
        log.info("worker ready: %d partitions", len(assigned))

    async def on_stop(self) -> None:
        """Finish submitted batches, commit, and release the partitions."""
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        await self.app.tasks.drain()
        await self.app.consumer.commit()
        await self.app.tasks.suspend()

    def stats(self) -> Mapping[str, Any]:
        """Return restore progress by partition."""
        return {task.name: str(task.restoring) for task in self.app.tasks.partitions.values()}


class TaskTableManager(TableManager):
    """Faust's table manager, restoring through the engine."""

    @property
    def recovery(self) -> TaskRecovery:
        """Return the recovery service."""
        if self._recovery is None:
            self._recovery: TaskRecovery | None = TaskRecovery(self.app, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """Register the changelogs, then follow assignments."""
        await self._update_channels()
        await self.recovery.start()
