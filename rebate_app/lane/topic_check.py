"""How a topic differs from what it has to be, in sentences: pure, so that worker and doctor say the same.

Law: what would lose money or could never be written is grave and nothing starts; what only protects less
than was asked for is a warning. It is separate from the admin so that every difference is tested without a
broker.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rebate_app.settings import Settings
from rebate_app.wire.topics import TopicSpec

UNLIMITED = -1
CREATE_TIME = "CreateTime"
#: Compared as they are: a log that is compacted, or a state that is deleted, would lose money.
_EXACT = ("cleanup.policy", "retention.ms", "retention.bytes")
#: At least as large as asked for: a smaller one refuses our records, or forgets deletions too early.
_AT_LEAST = ("max.message.bytes", "delete.retention.ms")


class PartitionFound(Struct, frozen=True):
    """One partition as the broker tells it; `leader` -1 while it has none."""

    leader: int
    replicas: int
    in_sync: int


class TopicFound(Struct, frozen=True):
    """One topic as the broker tells it; `config` None when it may not be read."""

    partitions: dict[int, PartitionFound]
    config: Mapping[str, str | None] | None


class Difference(Struct, frozen=True):
    """One difference: `grave` ones keep a worker from starting; `cure` says what to do."""

    topic: str
    grave: bool
    says: str
    cure: str


def differences(
    specs: Sequence[TopicSpec], found: Mapping[str, TopicFound], settings: Settings
) -> list[Difference]:
    """Return every difference of every topic, in the order of the table of topics."""
    told: list[Difference] = []
    for spec in specs:
        topic = found.get(spec.name)
        if topic is None:
            told.append(
                Difference(spec.name, True, f"topic {spec.name} is missing", "run `rebate topics create`")
            )
            continue
        told += _partitions(spec, topic)
        told += _replicas(spec, topic, settings)
        told += _config(spec, topic)
    return told


def _partitions(spec: TopicSpec, topic: TopicFound) -> list[Difference]:
    count = len(topic.partitions)
    if count == spec.partitions:
        return []
    says = f"topic {spec.name} has {count} partitions, REBATE_PARTITIONS asks for {spec.partitions}"
    if spec.partitions == 1:
        says = f"topic {spec.name} has {count} partitions, it must have 1"
    cure = f"set REBATE_PARTITIONS to {count}, or use a new REBATE_TOPIC_PREFIX and import again"
    return [Difference(spec.name, True, says, cure)]


def _replicas(spec: TopicSpec, topic: TopicFound, settings: Settings) -> list[Difference]:
    told = []
    fewest = min((part.replicas for part in topic.partitions.values()), default=0)
    wanted = settings.replication_factor
    if topic.partitions and fewest < wanted:
        says = f"topic {spec.name} has {fewest} replicas, REBATE_REPLICATION_FACTOR asks for {wanted}"
        told.append(Difference(spec.name, False, says, "add replicas with kafka-reassign-partitions"))
    needed = _number(topic, "min.insync.replicas")
    if needed is not None and topic.partitions and needed > fewest:
        says = f"topic {spec.name} has {fewest} replicas and min.insync.replicas={needed}: it takes no writes"
        told.append(Difference(spec.name, True, says, "lower min.insync.replicas, or add replicas"))
    asked = settings.min_insync_replicas
    if needed is not None and needed < asked:
        says = f"topic {spec.name} has min.insync.replicas={needed}, {asked} is asked for"
        told.append(Difference(spec.name, False, says, _alter(spec.name, "min.insync.replicas", str(asked))))
    return told


def _config(spec: TopicSpec, topic: TopicFound) -> list[Difference]:
    if topic.config is None:
        says = f"the configuration of topic {spec.name} may not be read"
        return [Difference(spec.name, False, says, "allow DescribeConfigs (`rebate topics acl`)")]
    told = []
    for key in (*_EXACT, *_AT_LEAST):
        wanted = spec.config.get(key)
        if wanted is None or _suffices(key, topic.config.get(key), wanted):
            continue
        says = f"topic {spec.name} has {key}={topic.config.get(key)}, it must be {wanted}"
        says += " or more" if key in _AT_LEAST else ""
        told.append(Difference(spec.name, _is_grave(spec, key), says, _alter(spec.name, key, wanted)))
    kind = topic.config.get("message.timestamp.type", CREATE_TIME)
    if kind != CREATE_TIME:
        says = f"topic {spec.name} has message.timestamp.type={kind}: a fact's own time is lost"
        told.append(
            Difference(spec.name, True, says, _alter(spec.name, "message.timestamp.type", CREATE_TIME))
        )
    return told


def _is_grave(spec: TopicSpec, key: str) -> bool:
    """Whether going on could make a state wrong: what somebody else keeps for a while only, cannot yet.

    A log that is cut loses nothing before it is cut, and then a lane refuses to go on without the input
    (source_check); but operators want to hear of it today.
    """
    return key == "cleanup.policy" or spec.config["cleanup.policy"] == "compact"


def _suffices(key: str, has: str | None, wanted: str) -> bool:
    if key in _EXACT:
        return has == wanted
    return has is not None and int(has) >= int(wanted)


def _number(topic: TopicFound, key: str) -> int | None:
    value = None if topic.config is None else topic.config.get(key)
    return None if value is None else int(value)


def _alter(topic: str, key: str, value: str) -> str:
    return f"kafka-configs --alter --entity-type topics --entity-name {topic} --add-config {key}={value}"
