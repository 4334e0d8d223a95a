"""What a log has lost, by comparison with what states and a data folder know of it. Pure: needs no broker.

See docs/spec/running.md#lost and docs/adr/0021-lost-logs.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct

from .log_identity import LogIds
from .log_memory import ENDS_BEFORE, NOBODY_REMEMBERS, RememberedLogs, RememberedTopic

#: Topic and partition.
Spot = tuple[str, int]


class SeenLogs(Struct, frozen=True):
    """The logs as a look at the cluster found them; ends are high watermarks.

    A partition without a leader has no end here. A topic that is not among `ids.leaders` was not there.
    """

    ids: LogIds
    ends: Mapping[Spot, int]
    begins: Mapping[Spot, int] = {}


class Need(Struct, frozen=True):
    """A log has to end at `end` or later, since `holder` (in words) has everything before it."""

    topic: str
    partition: int
    end: int
    holder: str


class Loss(Struct, frozen=True):
    """What is missing: `subject` stays the same from look to look, `sentence` has the numbers of this one."""

    subject: str
    sentence: str


def losses(
    seen: SeenLogs, remembered: RememberedLogs | None, needs: Sequence[Need], partitions: int | None
) -> list[Loss]:
    """Return what is lost. A topic that is not there, or not whole yet, is no loss: see `incomplete`.

    `partitions` None: numbers of partitions are not compared.
    """
    if remembered is not None and remembered.cluster and remembered.cluster != seen.ids.cluster:
        sentence = f"the cluster is {seen.ids.cluster}, the state was made on cluster {remembered.cluster}"
        return [Loss("cluster", sentence)]
    found = list(_partition_losses(seen, partitions))
    for name, topic in {} if remembered is None else remembered.topics.items():
        found += _topic_losses(name, topic, seen)
    anew = {loss.subject for loss in found}
    needs = [need for need in needs if need.topic not in anew]
    return found + [loss for need in needs if (loss := _end_loss(need, seen)) is not None]


def _partition_losses(seen: SeenLogs, partitions: int | None) -> Iterator[Loss]:
    for name, leaders in seen.ids.leaders.items():
        if partitions is not None and len(leaders) > partitions:
            sentence = f"{name} has {len(leaders)} partitions, the state was made from {partitions}"
            yield Loss(f"{name} partitions", f"{sentence}: keys are in other partitions than before")


def _topic_losses(name: str, topic: RememberedTopic, seen: SeenLogs) -> Iterator[Loss]:
    topic_id = seen.ids.topics.get(name, "")
    if topic.id and topic_id and topic.id != topic_id:
        yield Loss(name, f"{name} was made anew: its topic id is {topic_id}, not {topic.id}")
        return
    for number, end in sorted(topic.ends.items()):
        loss = _end_loss(Need(name, number, end, "this worker's data folder remembers"), seen)
        if loss is not None:
            yield loss


def _end_loss(need: Need, seen: SeenLogs) -> Loss | None:
    end = seen.ends.get((need.topic, need.partition))
    if end is None or end >= need.end:
        return None
    where = f"{need.topic}/{need.partition}"
    return Loss(f"{where} end", f"{where} ends at {end}, {need.holder} its end at {need.end} or later")


def doubt_about(topic: str, seen: SeenLogs, others: Sequence[RememberedLogs]) -> str:
    """Return why a memory of a log that begins now is unsettled, "" if nothing is in doubt.

    `others`: what other apps remember in the same data folder. Only what is about this very log counts.
    """
    ends = {number: end for (name, number), end in seen.ends.items() if name == topic}
    known = [
        each
        for each in others
        if each.cluster == seen.ids.cluster
        and topic in each.topics
        and each.topics[topic].id == seen.ids.topics.get(topic, "")
    ]
    if any(ends.get(n, end) < end for each in known for n, end in each.topics[topic].ends.items()):
        return ENDS_BEFORE
    if not any(ends.values()) or any(not each.unsettled for each in known):
        return ""
    return NOBODY_REMEMBERS


def missing_topics(seen: SeenLogs, remembered: RememberedLogs) -> list[Loss]:
    """Return the remembered topics that are not there: whoever starts now would make them anew."""
    return [
        Loss(name, f"{name} is gone, which this worker has read before")
        for name in remembered.topics
        if name not in seen.ids.leaders
    ]


def incomplete(seen: SeenLogs, topics: Sequence[str], partitions: int) -> list[str]:
    """Return in words which topics are not there, or lack partitions."""
    counts = {name: len(seen.ids.leaders.get(name, ())) for name in topics}
    return [
        f"{name} has {count} of {partitions} partitions" if count else f"{name} is not there"
        for name, count in counts.items()
        if count < partitions
    ]
