"""Faust's assignor, with every worker's announcement in its joins and assignments."""

from __future__ import annotations

import time
import zlib
from typing import Any

import msgspec
import orjson
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata
from faust.assignor import PartitionAssignor

from ..kafka.announcements import (
    GENERATION,
    MEMBER,
    Announcement,
    announced_in,
    announcement_of,
    conflict,
    loopback_id,
)

STARTED_MS = time.time_ns() // 1_000_000


class AnnouncingAssignor(PartitionAssignor):
    """Assigns as Faust does. `members`: what the members of the last assignment announced.

    `refusal`: why this worker has to end because of one of them, "" if it may take its partitions.
    """

    def __init__(self, app: Any, replicas: int = 0) -> None:
        super().__init__(app, replicas)
        self.members: tuple[Announcement, ...] = ()
        self.refusal = ""
        self._joined = False

    def own(self) -> Announcement:
        """Return what this worker announces."""
        url = str(self._url).rstrip("/")
        return Announcement(url, self.app.instance, STARTED_MS, self._joined, loopback_id(), GENERATION)

    def metadata(self, topics: set[str]) -> ConsumerProtocolMemberMetadata:
        """Return what this worker joins with."""
        document = orjson.loads(self._metadata.dumps()) | {MEMBER: msgspec.to_builtins(self.own())}
        return ConsumerProtocolMemberMetadata(self.version, list(topics), orjson.dumps(document))

    def _perform_assignment(self, cluster: Any, member_metadata: Any) -> Any:
        announced = [announced_in(metadata.user_data) for metadata in member_metadata.values()]
        members = [msgspec.to_builtins(each) for each in announced if each is not None]
        assignments = super()._perform_assignment(cluster, member_metadata)
        return {member: self._with(members, assignment) for member, assignment in assignments.items()}

    def _with(self, members: list[Any], assignment: Any) -> ConsumerProtocolMemberAssignment:
        document = orjson.loads(self._decompress(assignment.user_data)) | {MEMBER: members}
        user_data = self._compress(orjson.dumps(document))
        return ConsumerProtocolMemberAssignment(assignment.version, assignment.assignment, user_data)

    def on_assignment(self, assignment: Any) -> None:
        """Take an assignment over, and decide whether this worker may stay in the group."""
        super().on_assignment(assignment)
        announced = orjson.loads(zlib.decompress(assignment.user_data)).get(MEMBER) or []
        self.members = tuple(map(announcement_of, announced))
        self.refusal = conflict(self.own(), self.members)
        self._joined = not self.refusal
