"""Checks of records: beginnings of logs, timestamps, unreadable records in control topics and changelogs.

Records are decoded as workers decode them. Of a changelog only the end is read: the newest watermark is the
last record of the last transaction.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.codec import has_gzip, has_lz4, has_snappy, has_zstd

from rebate_app.dead_letters.reader import DeadLetterReader
from rebate_app.streams.errors import UnreadableRecordError
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer
from rebate_app.streams.kafka.log_reader import CODEC_REMEDY, SpanReader, whole_spans
from rebate_app.streams.kafka.rule_versions import read_published
from rebate_app.streams.kafka.topic_check import TopicFound
from rebate_app.streams.kafka.used_rules import read_used_rules
from rebate_app.streams.state.changelog import watermark_fault
from rebate_app.streams.state.store import WATERMARK_KEY
from rebate_app.wire.unreadable import BadRecord

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, skip, warn

#: Offsets read at the end of a changelog partition, transaction markers among them.
TAIL_OFFSETS = 500
TAIL_SECONDS_MAX = 10.0
CLOCK_AHEAD_SECONDS_MAX = 5.0
SECOND_MS = 1_000
TOMBSTONE_REMEDY = "let nobody else write there; a record with its key and no value removes it"
CODEC_CHECKS = {"gzip": has_gzip, "snappy": has_snappy, "lz4": has_lz4, "zstd": has_zstd}


def check_codecs() -> CheckResult:
    """Check that records of every codec can be unpacked: any producer or topic may choose one."""
    missing = [name for name, is_available in CODEC_CHECKS.items() if not is_available()]
    if missing:
        return fail(
            "codecs", f"records compressed with {shortened_list(missing)} cannot be read", CODEC_REMEDY
        )
    return ok("codecs", f"records compressed with {', '.join(CODEC_CHECKS)} can be read")


async def check_control_records(context: Context) -> list[CheckResult]:
    """Check registry, rule versions and decisions for records that workers skip or refuse."""
    settings, topics, found = context.settings, context.topics, context.found
    bad: list[BadRecord] = []
    if topics.rules in found:
        await read_used_rules(settings, topics, bad.append)
    if topics.rule_versions in found:
        await read_published(settings, bad.append)
    if topics.decisions in found:
        async with DeadLetterReader(settings, bad.append) as reader:
            await reader.decisions()
    if bad:
        places = shortened_list([str(each.place) for each in bad])
        text = f"{len(bad)} records cannot be read and are passed over: {places} ({bad[0].fault})"
        return [warn("control records", text, TOMBSTONE_REMEDY)]
    return [ok("control records", "every record of registry, rule versions and decisions can be read")]


async def check_watermarks(context: Context) -> list[CheckResult]:
    """Check that the newest watermark of every changelog partition can be read."""
    partitions = _partitions_of(context.topics.changelogs, context.found)
    if not partitions:
        return [skip("watermarks", "the changelogs are not there")]
    async with context.consumer("read_committed") as consumer:
        newest = await newest_watermarks(consumer, partitions)
    bad = [
        fault
        for topic_partition, record in newest.items()
        if (fault := watermark_fault(topic_partition, record)) is not None
    ]
    if bad:
        return [unreadable_record("watermarks", UnreadableRecordError(bad[0]))]
    return [ok("watermarks", f"the newest of {len(newest)} changelog partitions can be read")]


async def newest_watermarks(
    consumer: AIOKafkaConsumer, partitions: list[TopicPartition]
) -> dict[TopicPartition, Any]:
    """Return the last watermark among the last records of each partition, as far as there is one."""
    spans = await whole_spans(consumer, partitions)
    tails = {place: (max(begin, end - TAIL_OFFSETS), end) for place, (begin, end) in spans.items()}
    newest: dict[TopicPartition, Any] = {}
    reader = SpanReader(consumer, tails)
    deadline = time.monotonic() + TAIL_SECONDS_MAX
    while reader.waiting and time.monotonic() < deadline:
        for place, records in (await reader.poll()).items():
            marks = [record for record in records if record.key == WATERMARK_KEY]
            if marks:
                newest[place] = marks[-1]
    return newest


def unreadable_record(name: str, error: UnreadableRecordError) -> CheckResult:
    """Return the failure of a check that found a record on which workers end."""
    return fail(name, f"{error.bad.place} cannot be read: {error.bad.fault}", error.bad.remedy)


async def check_input(context: Context) -> list[CheckResult]:
    """Check that the sources still begin at 0: tables are rebuilt and audited from them."""
    partitions = _partitions_of(context.topics.sources, context.found)
    if not partitions:
        return [skip("input", "the topics are not there")]
    async with context.consumer() as consumer:
        begins = await consumer.beginning_offsets(partitions)
    cut = [f"{place.topic}/{place.partition}" for place, begin in begins.items() if begin > 0]
    if cut:
        remedy = "restore them from a backup, or import everything under a new REBATE_TOPIC_PREFIX"
        text = f"the beginning is gone of {shortened_list(cut)}: nothing can be built anew"
        return [fail("input", text, remedy)]
    return [ok("input", "all logs are whole from the first record on")]


async def check_record_times(context: Context) -> list[CheckResult]:
    """Check for records from the future: their senders' clocks, or ours, are wrong."""
    partitions = _partitions_of(context.topics.sources, context.found)
    if not partitions:
        return [skip("record times", "the topics are not there")]
    limit = int((time.time() + CLOCK_AHEAD_SECONDS_MAX) * SECOND_MS)
    async with context.consumer() as consumer:
        offsets = await consumer.offsets_for_times(dict.fromkeys(partitions, limit))
    ahead = [f"{place.topic}/{place.partition}" for place, offset in offsets.items() if offset is not None]
    if ahead:
        bound = f"{CLOCK_AHEAD_SECONDS_MAX:g} s"
        text = f"records are dated more than {bound} ahead of this clock in {shortened_list(ahead)}"
        return [warn("record times", text, "compare this clock and those of the senders (NTP)")]
    return [ok("record times", "no record is dated in the future")]


def _partitions_of(names: Sequence[str], found: Mapping[str, TopicFound]) -> list[TopicPartition]:
    return [
        TopicPartition(name, number) for name in names if name in found for number in found[name].partitions
    ]


async def _codecs(_context: Context) -> list[CheckResult]:
    return [check_codecs()]


CHECKS = (
    CheckSpec(
        "codecs",
        "whether records of every compression codec can be decompressed",
        "nothing",
        (failure("a codec has no library here", "install the libraries that the result names"),),
        _codecs,
    ),
    CheckSpec(
        "control records",
        "the records of registry, rule versions and dead-letter decisions",
        "topics",
        (
            warning(
                "records cannot be read and are skipped",
                "let nobody else write there; a record with its key and no value removes it",
            ),
            failure("a record without which workers cannot start cannot be read", "as the result says"),
        ),
        check_control_records,
    ),
    CheckSpec(
        "input",
        "whether `order_topic` and `rebate-user-log` still begin at offset 0",
        "topics",
        (
            failure(
                "the beginning of a log is gone: tables cannot be rebuilt or audited",
                "restore it from a backup, or import everything under a new `REBATE_TOPIC_PREFIX`",
            ),
        ),
        check_input,
    ),
    CheckSpec(
        "record times",
        "the timestamps of the sources against this clock",
        "topics",
        (
            warning(
                "records are dated more than 5 s in the future",
                "compare this clock and those of the senders (NTP)",
            ),
        ),
        check_record_times,
    ),
    CheckSpec(
        "watermarks",
        "the newest watermark of every changelog partition",
        "topics",
        (failure("a watermark cannot be read: the worker that restores it ends", "as the result says"),),
        check_watermarks,
    ),
)
