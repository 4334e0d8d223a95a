"""Checks for records in another partition than their key's, as clients with another partitioner send them.

See docs/spec/facts.md#wrong-partition. Workers send such records on, so new ones cost only the way; but a
version without that rule folded them where they stand, so that a line or an account is in two places.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from msgspec import Struct

from rebate_app.streams.errors import UnreadableStateError
from rebate_app.streams.failures.record_kinds import REROUTING, REROUTING_KEY
from rebate_app.streams.failures.rerouting import Origin, origin_of
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.log_reader import SpanReader, whole_spans
from rebate_app.streams.state.store import WATERMARK_KEY, decode_watermark
from rebate_app.streams.task.stage import Record, place_of
from rebate_app.streams.transaction.partitioner import is_in_place
from rebate_app.wire.stages import StageTopics
from rebate_app.wire.unreadable import UnreadableValueError

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, skip, warn

#: Offsets read at the end of each source partition, the newest block first, until something is found.
TAIL_BLOCKS = (1_000, 10_000, 100_000)
TAIL_SECONDS_MAX = 3.0  # of one source, for all blocks
PLACES_SHOWN = 3
PARTITIONER_REMEDY = (
    "set partitioner=murmur2_random in producers that are built on librdkafka: kcat -X "
    "partitioner=murmur2_random, the same property in confluent-kafka's configuration, in Go "
    "kafka-go's Murmur2Balancer"
)
REBUILD_REMEDY = (
    "set the producers right, build everything anew under a new REBATE_APP_ID, and import profiles and "
    "bindings again"
)
FORGED_REMEDY = (
    "let nobody write this header or copy topics with it; what was skipped as a repeat counts once "
    "it is sent again by a client with the right partitioner"
)


class Misplaced(Struct):
    """The records of one source that are not in the partition of their key.

    `records`: how many were read from `source`, which has so many `partitions`; `offsets`: of the misplaced
    ones, by partition; `places`: of the first few; `copies`: the origin of each copy that was sent on.
    """

    source: str
    partitions: int
    records: int = 0
    offsets: dict[int, set[int]] = {}
    places: list[str] = []
    copies: list[Origin] = []

    @property
    def count(self) -> int:
        """Return how many are misplaced."""
        return sum(map(len, self.offsets.values()))

    def take(self, record: Record) -> None:
        """Take account of one record."""
        self.records += 1
        if record.headers and (origin := origin_of(record, self.partitions)) is not None:
            self.copies.append(origin)
        if is_in_place(record.key, record.partition, self.partitions):
            return
        self.offsets.setdefault(record.partition, set()).add(record.offset)
        if len(self.places) < PLACES_SHOWN:
            self.places.append(str(place_of(record)))

    def evidence(self) -> list[str]:
        """Return the first places of misplaced records that were read, or of which copies were."""
        named = {f"{self.source}/{origin.partition}/{origin.offset}" for origin in self.copies}
        return [*self.places, *sorted(named - set(self.places))][:PLACES_SHOWN]

    def forged(self) -> int:
        """Return how many copies name a record that was not misplaced, or is not there."""
        return sum(origin.offset not in self.offsets.get(origin.partition, ()) for origin in self.copies)


async def check_partitioner(context: Context) -> list[CheckResult]:
    """Check the newest records of the sources."""
    stages = _stages(context)
    if not stages:
        return [skip("partitioner", "the topics are not there")]
    results = []
    async with context.consumer("read_committed") as consumer:
        for stage in stages:
            found = await _newest(consumer, stage.source, context)
            if found.evidence():
                results.append(warn("partitioner", tail_sentence(found), PARTITIONER_REMEDY))
    return results or [ok("partitioner", "the newest records are in the partitions of their keys")]


def tail_sentence(found: Misplaced) -> str:
    """Return what was found among the newest records."""
    places = ", ".join(found.evidence())
    return (
        f"of the newest {found.records:,} records of {found.source}, {found.count:,} are in another "
        f"partition than their key's, and {len(found.copies):,} were sent on from there: {places}"
    )


async def check_misplaced(context: Context) -> list[CheckResult]:
    """Check all records of the sources, with `--deep` only."""
    if not context.deep:
        return []
    stages = _stages(context)
    if not stages:
        return [skip("misplaced records", "the topics are not there")]
    results = []
    async with context.consumer("read_committed") as consumer:
        for stage in stages:
            found = Misplaced(stage.source, len(context.found[stage.source].partitions))
            await _read(consumer, await _spans(consumer, stage.source, context), found.take)
            folded = await _folded(consumer, stage, found)
            results += deep_results(found, folded)
    return results


def deep_results(found: Misplaced, folded: Sequence[str]) -> list[CheckResult]:
    """Return what all records of a source come to; `folded`: places that an older version has folded."""
    name, source = "misplaced records", found.source
    results = []
    if folded:
        text = (
            f"{len(folded):,} records of {source} are in another partition than their key's and were folded "
            f"there by an older version: {shortened_list(folded, PLACES_SHOWN)}"
        )
        results.append(fail(name, text, REBUILD_REMEDY))
    if forged := found.forged():
        text = f"{forged:,} copies in {source} name a record that was not sent on; later ones may be skipped"
        results.append(warn(name, text, FORGED_REMEDY))
    text = f"{found.count - len(folded):,} of {found.records:,} records of {source} were or are to be sent on"
    return results or [ok(name, text)]


async def _folded(consumer: AIOKafkaConsumer, stage: StageTopics, found: Misplaced) -> list[str]:
    """Return the places of misplaced records that the table has folded where they stand."""
    places = []
    for partition, offsets in sorted(found.offsets.items()):
        bound = await _first_rerouted(consumer, TopicPartition(stage.changelog, partition))
        places += [f"{stage.source}/{partition}/{offset}" for offset in sorted(offsets) if offset < bound]
    return places


async def _first_rerouted(consumer: AIOKafkaConsumer, changelog: TopicPartition) -> int:
    """Return the offset before which a version without the rule has folded all; 0 for a new table."""
    newest: dict[bytes, bytes | None] = {}

    def take(record: Any) -> None:
        if record.key in (REROUTING_KEY, WATERMARK_KEY):
            newest[record.key] = record.value

    await _read(consumer, await whole_spans(consumer, [changelog]), take)
    try:
        stored = newest.get(REROUTING_KEY)
        if stored is not None:
            return REROUTING.decode(stored, REROUTING_KEY).since
        return decode_watermark(newest[WATERMARK_KEY]).offset + 1 if WATERMARK_KEY in newest else 0
    except (UnreadableStateError, UnreadableValueError):
        return 0  # the check `watermarks` and the audit name it


async def _newest(consumer: AIOKafkaConsumer, source: str, context: Context) -> Misplaced:
    """Read a source from its end on, block after block, until a misplaced record or the time is up."""
    deadline = time.monotonic() + TAIL_SECONDS_MAX
    found = Misplaced(source, len(context.found[source].partitions))
    spans = await _spans(consumer, source, context)
    for size in TAIL_BLOCKS:
        block = {spot: (max(begin, end - size), end) for spot, (begin, end) in spans.items()}
        await _read(consumer, block, found.take, deadline)
        if found.evidence() or time.monotonic() > deadline:
            break
        spans = {spot: (begin, block[spot][0]) for spot, (begin, _) in spans.items()}
    return found


async def _spans(
    consumer: AIOKafkaConsumer, source: str, context: Context
) -> dict[TopicPartition, tuple[int, int]]:
    spots = [TopicPartition(source, number) for number in sorted(context.found[source].partitions)]
    return await whole_spans(consumer, spots)


async def _read(
    consumer: AIOKafkaConsumer,
    spans: Mapping[TopicPartition, tuple[int, int]],
    take: Callable[[Any], None],
    deadline: float | None = None,
) -> None:
    reader = SpanReader(consumer, spans)
    while reader.waiting and (deadline is None or time.monotonic() < deadline):
        for records in (await reader.poll()).values():
            for record in records:
                take(record)


def _stages(context: Context) -> list[StageTopics]:
    return [stage for stage in context.topics.stages if stage.source in context.found]


CHECKS = (
    CheckSpec(
        "partitioner",
        "whether the newest records of the sources are in the partitions of their keys",
        "topics",
        (
            warning(
                "records are in another partition: workers send them on, which costs a second way",
                "set `partitioner=murmur2_random` in producers that are built on librdkafka",
            ),
        ),
        check_partitioner,
    ),
    CheckSpec(
        "misplaced records",
        "with `--deep`: the partition of every record of the sources, and what tables made of it",
        "topics",
        (
            failure(
                "an older version has folded records in the wrong partition",
                "set the producers right, build everything anew under a new `REBATE_APP_ID`, import profiles "
                "and bindings again",
            ),
            warning(
                "a copy names a record that was not sent on: the header was forged, or mirrored",
                "let nobody write `rebate-rerouted-from`; send again what was skipped as a repeat",
            ),
        ),
        check_misplaced,
    ),
)
