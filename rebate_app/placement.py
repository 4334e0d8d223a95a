"""Who owns which partition, by the engine's tasks and the last assignment of the group."""

from __future__ import annotations

from typing import Any

from rebate_app.settings import Settings
from rebate_app.streams.task.manager import TaskManager
from rebate_app.streams.task.task import RUNNING, StreamTask
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.web.routing.ports import Assignment, Halted, Local, Nobody, Place, Remote, Restoring, Unstable
from rebate_app.wire.topics import Topics


class GroupPlacement:
    """Looks a partition up among this worker's tasks, then in the assignment that the group's leader sent."""

    def __init__(self, app: Any, tasks: TaskManager, settings: Settings, topics: Topics) -> None:
        self.partitions = settings.partitions
        self._app = app
        self._tasks = tasks
        self._stages = {stage.spec.records: stage for stage in topics.stages}

    def partition_of(self, key: str) -> int:
        """Return the partition of a log key."""
        return partition_of(key.encode(), self.partitions)

    def place(self, records: str, partition: int) -> Place:
        """Return the owner of a partition of the stage whose table has these records."""
        source, changelog = self._stages[records].source, self._stages[records].changelog
        task = self._tasks.partitions.get((source, partition))
        if task is not None:
            if task.state != RUNNING:
                return Nobody(f"{source}/{partition} is being restored here")
            if not self._tasks.lease_holds():
                return Nobody(f"the lease on {source}/{partition} has run out")
            return self._local(task, stale=False)
        url = self._owner_url(changelog, partition)
        if url is None:
            return Nobody(f"nobody is known to own {source}/{partition} yet")
        if url == str(self._app.conf.canonical_url).rstrip("/"):
            return Nobody(f"{source}/{partition} is being taken over here")
        return Remote(url)

    def _local(self, task: StreamTask, *, stale: bool) -> Local:
        source, partition = task.stage.source, task.partition
        held = self._tasks.held_back.look(source, partition)
        behind = task.position < held.stable_end
        lag = max(held.stable_end - task.next_offset, 1) if behind else 0
        unstable = held.unstable if held.is_lasting else 0
        halted = "" if task.halt is None else task.halt.code
        return Local(task.store, source, partition, task.next_offset - 1, lag, stale, unstable, halted)

    def kept_place(self, records: str, partition: int) -> Local | None:
        """Return a possibly stale store of a stage, for when the owner does not answer."""
        source = self._stages[records].source
        task = self._tasks.partitions.get((source, partition))
        if task is not None:
            return self._local(task, stale=True) if task.is_restored and task.store.damage is None else None
        standby = self._tasks.standbys.followed.get((source, partition))
        if standby is None or not standby.whole:
            return None
        watermark = standby.store.watermark
        offset = -1 if watermark is None else watermark.offset
        return Local(standby.store, source, partition, offset, max(standby.source_end - offset - 1, 0), True)

    def _owner_url(self, changelog: str, partition: int) -> str | None:
        for url, topics in self._app.assignor.changelog_distribution.items():
            if partition in topics.get(changelog, ()):
                return str(url).rstrip("/")
        return None

    def assignment(self) -> Assignment:
        """Return the last assignment that the group's leader sent: source partitions by worker and topic."""
        sources = {stage.changelog: stage.source for stage in self._stages.values()}
        members = {
            str(url).rstrip("/"): {
                source: sorted(topics.get(changelog, ())) for changelog, source in sources.items()
            }
            for url, topics in self._app.assignor.changelog_distribution.items()
        }
        restoring = [
            Restoring(task.stage.source, task.partition, task.restoring.position, task.restoring.end)
            for task in self._tasks.partitions.values()
            if task.state != RUNNING
        ]
        unstable = [
            Unstable(each.topic, each.partition, each.unstable, each.seconds)
            for each in self._tasks.held_back.look_at_all()
            if each.is_lasting
        ]
        instances = {each.url: each.instance for each in self._app.assignor.members}
        return Assignment(self._app.consumer_generation_id, members, restoring, unstable, instances)

    def halted(self) -> list[Halted]:
        """Return this worker's halted partitions; they are owned and answer."""
        return [
            Halted(
                task.stage.source,
                task.partition,
                task.halt.code,
                task.halt.offset,
                self._local(task, stale=False).lag,
                task.halt.reason,
            )
            for task in self._tasks.halts.halted()
            if task.halt is not None
        ]

    def readiness(self) -> tuple[bool, str]:
        """Return (ready, reason). Ready: joined, and every assigned partition is restored and running."""
        if self._app.url_proof.missing:
            return False, self._app.url_proof.missing
        restoring = [task for task in self._tasks.partitions.values() if task.state != RUNNING]
        if restoring:
            return False, "restoring " + ", ".join(sorted(str(task.restoring) for task in restoring)[:8])
        if not self._tasks.settled:
            return False, "joining the consumer group"
        if not self._tasks.lease_holds():
            return False, "the consumer group has not heard of this worker lately"
        if self._tasks.logs.incomplete:
            return False, ", ".join(self._tasks.logs.incomplete[:8])
        halted = [f"{each.topic}/{each.partition} is halted ({each.code})" for each in self.halted()]
        return True, ", ".join(["ready", *halted])
