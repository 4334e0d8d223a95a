"""Who owns which partition: the web room's port, told by the lane and the group's last assignment."""

from __future__ import annotations

from typing import Any

from rebate_app.lane.batches import partition_of
from rebate_app.lane.lane import Lane
from rebate_app.lane.partition import RUNNING, PartitionLane
from rebate_app.settings import Settings
from rebate_app.web.ports import Assignment, Local, Nobody, Place, Remote, Restoring
from rebate_app.wire.topics import Topics


class LanePlacement:
    """Answers from what this worker runs, else from the assignment that the group's leader sent along."""

    def __init__(self, app: Any, lane: Lane, settings: Settings, topics: Topics) -> None:
        self.partitions = settings.partitions
        self._app = app
        self._lane = lane
        self._topics = topics

    def partition_of(self, key: str) -> int:
        """Return the partition of a log key."""
        return partition_of(key.encode(), self.partitions)

    def line_place(self, partition: int) -> Place:
        """Return who has the order lines of that partition of `order_topic`."""
        return self._place(self._topics.orders, self._topics.lines_changelog, partition)

    def account_place(self, partition: int) -> Place:
        """Return who has the accounts of that partition of the user log."""
        return self._place(self._topics.user_log, self._topics.accounts_changelog, partition)

    def _place(self, source: str, changelog: str, partition: int) -> Place:
        lane = self._lane.partitions.get((source, partition))
        if lane is not None:
            if lane.state != RUNNING:
                return Nobody(f"{source}/{partition} is being restored here")
            if not self._lane.lease_holds():
                return Nobody(f"the lease on {source}/{partition} has run out")
            return self._local(lane, stale=False)
        url = self._owner_url(changelog, partition)
        if url is None:
            return Nobody(f"nobody is known to own {source}/{partition} yet")
        if url == str(self._app.conf.canonical_url).rstrip("/"):
            return Nobody(f"{source}/{partition} is being taken over here")
        return Remote(url)

    def _local(self, lane: PartitionLane, *, stale: bool) -> Local:
        source, partition = lane.stage.source, lane.partition
        stable_end = self._lane.stable_end(source, partition)
        behind = lane.position < stable_end
        lag = max(stable_end - lane.next_offset, 1) if behind else 0
        return Local(lane.store, source, partition, lane.next_offset - 1, lag, stale)

    def kept_line_place(self, partition: int) -> Local | None:
        """Return records of order lines that may be old, for when the owner cannot be asked."""
        return self._kept(self._topics.orders, partition)

    def kept_account_place(self, partition: int) -> Local | None:
        """Return records of accounts that may be old, for when the owner cannot be asked."""
        return self._kept(self._topics.user_log, partition)

    def _kept(self, source: str, partition: int) -> Local | None:
        lane = self._lane.partitions.get((source, partition))
        if lane is not None:
            return self._local(lane, stale=True) if lane.whole and lane.store.damage is None else None
        standby = self._lane.standbys.followed.get((source, partition))
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
        """Return what the group's leader sent along last: source partitions by worker and topic."""
        sources = {
            self._topics.lines_changelog: self._topics.orders,
            self._topics.accounts_changelog: self._topics.user_log,
        }
        members = {
            str(url).rstrip("/"): {
                source: sorted(topics.get(changelog, ())) for changelog, source in sources.items()
            }
            for url, topics in self._app.assignor.changelog_distribution.items()
        }
        restoring = [
            Restoring(lane.stage.source, lane.partition, lane.restoring.position, lane.restoring.end)
            for lane in self._lane.partitions.values()
            if lane.state != RUNNING
        ]
        return Assignment(self._app.consumer_generation_id, members, restoring)

    def halted(self) -> tuple[str, str] | None:
        """Return (code, reason) of the limit that ends this worker, None while there is none."""
        error = self._lane.halted
        return None if error is None else (error.code, str(error))

    def readiness(self) -> tuple[bool, str]:
        """Return (ready, reason): joined, and every assigned partition restored and being processed."""
        if self._lane.halted is not None:
            return False, str(self._lane.halted)
        restoring = [lane for lane in self._lane.partitions.values() if lane.state != RUNNING]
        if restoring:
            return False, "restoring " + ", ".join(sorted(str(lane.restoring) for lane in restoring)[:8])
        if not self._lane.settled:
            return False, "joining the consumer group"
        if not self._lane.lease_holds():
            return False, "the consumer group has not heard of this worker lately"
        return True, "ready"
