"""How often topics are kept: from the settings, else from the number of brokers.

Without REBATE_REPLICATION_FACTOR topics have a replica on each of three brokers, or on each of fewer;
without REBATE_MIN_INSYNC_REPLICAS a write counts on two of three or more replicas. So a single replica on a
larger cluster is nobody's accident (docs/spec/running.md#replication).
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import Struct

from rebate_app.settings import ConfigurationError, Settings

from .aiokafka_clients import AIOKafkaAdminClient

REPLICAS_WANTED, IN_SYNC_WANTED = 3, 2
#: Topics of Kafka's own; their replicas show brokers that are away.
INTERNAL_TOPICS = ("__consumer_offsets", "__transaction_state")


class Brokers(Struct, frozen=True):
    """The number of brokers that answer now, and of all that have a replica of a topic or answer."""

    live: int
    known: int


class Replication(Struct, frozen=True):
    """The number of replicas of each partition, and how many have to have a write (min.insync.replicas)."""

    factor: int
    in_sync: int

    @classmethod
    def of(cls, settings: Settings, brokers: Brokers) -> Replication:
        """Return what the settings ask for on such a cluster."""
        factor = settings.replication_factor or min(REPLICAS_WANTED, brokers.known)
        by_default = IN_SYNC_WANTED if factor >= REPLICAS_WANTED else 1
        return cls(factor, settings.min_insync_replicas or by_default)

    @property
    def config(self) -> dict[str, str]:
        """Return the topic configuration of it."""
        return {"min.insync.replicas": str(self.in_sync)}


async def count_brokers(admin: AIOKafkaAdminClient, topics: Collection[str]) -> Brokers:
    """Return the brokers of the cluster; those that are away are known by the replicas of these topics."""
    live = await admin.live_brokers()
    described = await admin.describe_existing([*topics, *INTERNAL_TOPICS])
    replicas = {node for topic in described for part in topic["partitions"] for node in part["replicas"]}
    return Brokers(len(live), len(live | replicas))


def refuse_fewer(settings: Settings, replication: Replication, brokers: Brokers, topic: str) -> None:
    """ConfigurationError where too few brokers are there for the replicas that nobody asked to do without."""
    if settings.replication_factor is None and brokers.live < replication.factor:
        raise ConfigurationError(
            f"topic {topic} and others are missing, and only {brokers.live} of {brokers.known} brokers are "
            f"there for {replication.factor} replicas: start the others, or set REBATE_REPLICATION_FACTOR"
        )
