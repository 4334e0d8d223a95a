"""Which partitions of an app are halted, by the metadata of its offset commits; no worker is asked."""

from __future__ import annotations

from collections.abc import Iterable

from aiokafka import TopicPartition
from msgspec import Struct

from rebate_app.wire.commit_metadata import metadata_or_nothing

from .aiokafka_clients import AIOKafkaAdminClient


class HaltedPartition(Struct, frozen=True):
    """A partition that is halted for the reason `halted`, before the record at `offset`."""

    topic: str
    partition: int
    halted: str
    offset: int


async def read_halts(
    admin: AIOKafkaAdminClient, group: str, partitions: Iterable[TopicPartition]
) -> list[HaltedPartition]:
    """Return those of the partitions that the group's newest commits name as halted, in order."""
    wanted = sorted(partitions)
    if not wanted:
        return []
    commits = await admin.list_consumer_group_offsets(group, partitions=wanted)
    metadata = {spot: metadata_or_nothing(commits[spot].metadata) for spot in wanted if spot in commits}
    return [
        HaltedPartition(spot.topic, spot.partition, found.h, found.o)
        for spot, found in metadata.items()
        if found.h
    ]
