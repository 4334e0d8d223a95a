"""Checks for logs that were lost or made anew, and for halted partitions (docs/spec/running.md#lost).

The ids and ends of now are compared with the newest watermark of each changelog partition, and with what the
data folder of this machine remembers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition

from rebate_app.streams.errors import WAY_ON, StateLostError
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.group_halts import HaltedPartition, read_halts
from rebate_app.streams.state.log_look import look_once
from rebate_app.streams.state.log_losses import SeenLogs, losses, missing_topics
from rebate_app.streams.state.log_memory import LogMemory, RememberedLogs
from rebate_app.streams.state.store import Watermark, decode_watermark
from rebate_app.streams.task.source_check import LogIdentity, check_identity
from rebate_app.wire.unreadable import UnreadableValueError

from .check_spec import CheckSpec, Context, failure, warning
from .record_checks import newest_watermarks
from .result import CheckResult, fail, ok, shortened_list, warn

NAME = "lost logs"
HALTED = "halted partitions"
RESUME = "see `rebate dlq list`, mend the cause, then `rebate dlq resume`"


async def check_logs(context: Context) -> list[CheckResult]:
    """Compare the logs with watermarks and data folder.

    Ends are high watermarks, so a connection of its own reads them. They are read last: while workers go on,
    ends that were read before a state may be behind it.
    """
    settings, topics = context.settings, context.topics
    memory = LogMemory(settings.datadir, settings.scope)
    spots = [
        TopicPartition(stage.changelog, number)
        for stage in topics.stages
        if stage.changelog in context.found
        for number in context.found[stage.changelog].partitions
    ]
    records: Mapping[TopicPartition, Any] = {}
    if spots:
        async with context.consumer("read_committed") as consumer:
            records = await newest_watermarks(consumer, spots)
    seen = await look_once(client_options(settings), [*topics.sources, *topics.changelogs])
    sources = {stage.changelog: stage.source for stage in topics.stages}
    states = {
        (sources[spot.topic], spot.partition): watermark
        for spot, record in records.items()
        if (watermark := _watermark(record)) is not None
    }
    return log_results(seen, memory.remembered, states, settings.partitions)


def _watermark(record: Any) -> Watermark | None:
    """Return the watermark, None for one that cannot be read: the check of watermarks names it."""
    try:
        return decode_watermark(record.value)
    except UnreadableValueError:
        return None


def log_results(
    seen: SeenLogs,
    remembered: RememberedLogs | None,
    states: Mapping[tuple[str, int], Watermark],
    partitions: int,
) -> list[CheckResult]:
    """Return the results; `states`: the newest watermark by source and partition."""
    found = [] if remembered is None else missing_topics(seen, remembered)
    sentences = [loss.sentence for loss in (*losses(seen, remembered, (), partitions), *found)]
    for (source, number), watermark in sorted(states.items()):
        sentences += _state_losses(seen, source, number, watermark)
    if sentences:
        return [fail(NAME, shortened_list(list(dict.fromkeys(sentences))), WAY_ON)]
    bare = [f"{source}/{number}" for (source, number), mark in sorted(states.items()) if not mark.cluster]
    if bare:
        text = (
            f"written by an earlier version, without the ids of its log: the state of {shortened_list(bare)}"
        )
        return [warn(NAME, text, "start the workers: they adopt the ids of now when they take over")]
    return [ok(NAME, f"cluster, topics and ends are those of {len(states)} states")]


def _state_losses(seen: SeenLogs, source: str, number: int, watermark: Watermark) -> list[str]:
    where = f"{source}/{number}"
    identity = LogIdentity(seen.ids.cluster, seen.ids.topics.get(source, ""))
    try:
        check_identity(where, watermark, identity)
    except StateLostError as error:
        return [error.missing]
    end = seen.ends.get((source, number))
    if end is not None and end <= watermark.offset:
        return [f"{where} ends at {end}, its state holds up to {watermark.offset}"]
    return []


async def check_halted(context: Context) -> list[CheckResult]:
    """Name the partitions that the group's commits show as halted."""
    spots = [
        TopicPartition(name, number)
        for name in context.topics.sources
        if name in context.found
        for number in context.found[name].partitions
    ]
    return [halted_result(await read_halts(context.client, context.settings.scope, spots))]


def halted_result(halted: Sequence[HaltedPartition]) -> CheckResult:
    """Return the result for the halted partitions."""
    if not halted:
        return ok(HALTED, "every partition is read")
    names = [f"{each.topic}/{each.partition} ({each.halted} at {each.offset})" for each in halted]
    return fail(HALTED, f"not read any further: {shortened_list(names)}; their balances stand still", RESUME)


CHECKS = (
    CheckSpec(
        NAME,
        "ids and ends of sources and changelogs against their states and the data folder of this machine",
        "topic list",
        (
            failure(
                "a topic was made anew, has other partitions or lost its end, or the cluster is another one",
                "build everything anew under a new `REBATE_APP_ID` "
                "([Kafka was restored](operations/kafka-restored.md))",
            ),
            warning(
                "a state of an earlier version has no ids of its log yet",
                "start the workers: they adopt the ids of now",
            ),
        ),
        check_logs,
    ),
    CheckSpec(
        HALTED,
        "whether a limit has halted the reading of a partition, by the group's commits",
        "topics",
        (failure("a partition is halted", "mend the cause, then `rebate dlq resume`"),),
        check_halted,
    ),
)
