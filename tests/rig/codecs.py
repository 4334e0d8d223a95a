"""Records in every compression of Kafka: sent through librdkafka, and how a topic stores its batches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from rebate_app.streams.kafka.admin import topic_configs
from rebate_app.streams.kafka.clients import PatientAdmin, started
from tests.rig.librdkafka import send_with_confluent
from tests.rig.system import System
from tests.rig.waiting import until

#: Codec and its number in a batch's attributes.
CODECS = {"gzip": 1, "snappy": 2, "lz4": 3, "zstd": 4}
SECONDS_MAX = 120.0


def produce_compressed(
    broker: str, topic: str, codec: str, records: Iterable[tuple[bytes | None, bytes | None]]
) -> None:
    """Send records as a librdkafka client does, in batches of that codec; return once acknowledged."""
    send_with_confluent(
        broker, topic, records, compression_codec=codec, partitioner="murmur2_random", linger_ms=100
    )


async def compress_topics(system: System, codec: str) -> None:
    """Have the broker compress every topic of the system itself."""
    async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
        for spec in system.topics.specs(system.settings):
            config = spec.config | {"compression.type": codec}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name, config)])

        async def all_compress() -> bool:
            found = await topic_configs(admin, [spec.name for spec in system.topics.specs(system.settings)])
            return {config["compression.type"] for config in found.values()} == {codec}

        await until(all_compress, SECONDS_MAX, f"all topics compress with {codec}")


async def stored_codecs(broker: str, topic: str, partitions: int) -> set[int]:
    """Return the codecs of the batches that a topic has at its beginning, control batches aside."""
    spots = [TopicPartition(topic, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=broker, auto_offset_reset="earliest")
    async with started(consumer):
        consumer.assign(spots)
        ends = await consumer.end_offsets(spots)
        filled = {spot for spot, end in ends.items() if end}
        fetched: dict[Any, Any] = consumer._fetcher._records

        async def all_have_come() -> bool:
            return filled <= fetched.keys()

        await until(all_have_come, SECONDS_MAX, f"the first batches of {topic}")
        codecs = set()
        for spot in filled:
            batches = fetched[spot]._partition_records._records
            while batches.has_next():
                batch = batches.next_batch()
                if not batch.is_control_batch:
                    codecs.add(batch.compression_type)
        return codecs
