"""How existing topics differ from what they have to be, in sentences for worker and doctor.

A difference that would lose money, or make records impossible to write, is grave: no worker starts with it.
One that only protects less than the settings ask for is a warning. Pure: no broker is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rebate_app.wire.topics import TopicSpec

from .replication import Replication

UNLIMITED = -1
CREATE_TIME = "CreateTime"
#: Compared as they are: a log that is compacted, or a state that is deleted, would lose money.
_EXACT = ("cleanup.policy", "retention.ms", "retention.bytes")
#: At least as large as specified: a smaller one refuses our records, or forgets deletions too early.
_AT_LEAST = ("max.message.bytes", "delete.retention.ms")


class PartitionFound(Struct, frozen=True):
    """One partition as the broker describes it; `leader` -1 while it has none."""

    leader: int
    replicas: int
    in_sync: int


class TopicFound(Struct, frozen=True):
    """One topic as the broker describes it; `config` None when it may not be read."""

    partitions: dict[int, PartitionFound]
    config: Mapping[str, str | None] | None


class Difference(Struct, frozen=True):
    """One difference: a grave one keeps workers from starting; `remedy` is what an operator does about it."""

    topic: str
    grave: bool
    problem: str
    remedy: str


def differences(
    specs: Sequence[TopicSpec], found: Mapping[str, TopicFound], wanted: Replication
) -> list[Difference]:
    """Return every difference of every topic, in the order of the table of topics."""
    found_so_far: list[Difference] = []
    for spec in specs:
        topic = found.get(spec.name)
        if topic is None:
            found_so_far.append(
                Difference(spec.name, True, f"topic {spec.name} is missing", "run `rebate topics create`")
            )
            continue
        found_so_far += _partitions(spec, topic)
        found_so_far += _replicas(spec, topic, wanted)
        found_so_far += _config(spec, topic)
    return found_so_far


def _partitions(spec: TopicSpec, topic: TopicFound) -> list[Difference]:
    count = len(topic.partitions)
    if count == spec.partitions:
        return []
    problem = f"topic {spec.name} has {count} partitions, REBATE_PARTITIONS asks for {spec.partitions}"
    if spec.partitions == 1:
        problem = f"topic {spec.name} has {count} partitions, it must have 1"
    remedy = f"set REBATE_PARTITIONS to {count}, or use a new REBATE_TOPIC_PREFIX and import again"
    return [Difference(spec.name, True, problem, remedy)]


def _replicas(spec: TopicSpec, topic: TopicFound, wanted: Replication) -> list[Difference]:
    found_so_far = []
    fewest = min((part.replicas for part in topic.partitions.values()), default=0)
    if topic.partitions and fewest < wanted.factor:
        problem = f"topic {spec.name} has {_replicas_of(fewest)}, it should have {wanted.factor}"
        found_so_far.append(
            Difference(spec.name, False, problem, "add replicas with kafka-reassign-partitions")
        )
    needed = _number(topic, "min.insync.replicas")
    if needed is not None and topic.partitions and needed > fewest:
        problem = (
            f"topic {spec.name} has {fewest} replicas and min.insync.replicas={needed}: it takes no writes"
        )
        found_so_far.append(
            Difference(spec.name, True, problem, "lower min.insync.replicas, or add replicas")
        )
    if needed is not None and needed < wanted.in_sync <= fewest:
        problem = f"topic {spec.name} has min.insync.replicas={needed}, it should be {wanted.in_sync}"
        remedy = _alter(spec.name, "min.insync.replicas", str(wanted.in_sync))
        found_so_far.append(Difference(spec.name, False, problem, remedy))
    return found_so_far


def _replicas_of(count: int) -> str:
    return "1 replica" if count == 1 else f"{count} replicas"


def _config(spec: TopicSpec, topic: TopicFound) -> list[Difference]:
    if topic.config is None:
        problem = f"the configuration of topic {spec.name} may not be read"
        return [Difference(spec.name, False, problem, "allow DescribeConfigs (`rebate topics acl`)")]
    found_so_far = []
    for key in (*_EXACT, *_AT_LEAST):
        wanted = spec.config.get(key)
        if wanted is None or _suffices(key, topic.config.get(key), wanted):
            continue
        problem = f"topic {spec.name} has {key}={topic.config.get(key)}, it must be {wanted}"
        problem += " or more" if key in _AT_LEAST else ""
        found_so_far.append(
            Difference(spec.name, _is_grave(spec, key), problem, _alter(spec.name, key, wanted))
        )
    kind = topic.config.get("message.timestamp.type", CREATE_TIME)
    if kind != CREATE_TIME:
        problem = f"topic {spec.name} has message.timestamp.type={kind}: a fact's own time is lost"
        found_so_far.append(
            Difference(spec.name, True, problem, _alter(spec.name, "message.timestamp.type", CREATE_TIME))
        )
    return found_so_far


def _is_grave(spec: TopicSpec, key: str) -> bool:
    """Return whether the difference can corrupt state now.

    A log with limited retention loses nothing before it is cut, and then a task refuses to go on without the
    input (source_check); but operators want to know of it before.
    """
    return key == "cleanup.policy" or spec.config["cleanup.policy"] == "compact"


def _suffices(key: str, actual: str | None, wanted: str) -> bool:
    if key in _EXACT:
        return actual == wanted
    return actual is not None and int(actual) >= int(wanted)


def _number(topic: TopicFound, key: str) -> int | None:
    value = None if topic.config is None else topic.config.get(key)
    return None if value is None else int(value)


def _alter(topic: str, key: str, value: str) -> str:
    return f"kafka-configs --alter --entity-type topics --entity-name {topic} --add-config {key}={value}"
