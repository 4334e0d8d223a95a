"""Drives both real stages without Kafka: topics are lists, stores are in memory, nothing runs by itself.

The counterpart of Kafka Streams' TopologyTestDriver: a test chooses every interleaving of batches and
partitions that a broker could produce, and a run takes milliseconds.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from msgspec import Struct

from agents.accounts import AccountsStage
from agents.active_app import begin_turn
from agents.money_out import DecisionPolicy
from agents.order_lines import OrderLinesStage
from agents.rule_activation import note_activations
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.domain.pricing.rules import RuleBook
from rebate_app.streams.kafka.records import KafkaRecord
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import BuildStep, next_build
from rebate_app.streams.state.store import WATERMARK_KEY, MemoryStore, Watermark, encode_watermark
from rebate_app.streams.transaction.collector import OutgoingRecord, RecordCollector
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.topics import Topics

Document = dict[str, Any]

APP = "rebate"
USER_ID_FIELDS = "jd:sub_union_id,pdd:custom_uid"
NOTED_AT_MS = 1_785_000_000_000
TOPICS = Topics.named(prefix="", scope=APP)
LINES, ACCOUNTS = "order-lines", "accounts"  # the names of the stages
BATCH_RECORDS_MAX = 7  # small, so that batches end anywhere


#: A record as Kafka keeps it.
LogRecord = KafkaRecord


class PendingWork(Struct, frozen=True):
    """A partition of a stage with `waiting` records that it has not processed."""

    stage: str
    partition: int
    waiting: int


#: Chooses, of all partitions that have work, which goes on and with how many records (at least 1).
Choose = Callable[[list[PendingWork]], tuple[PendingWork, int]]


def one_by_one(works: list[PendingWork]) -> tuple[PendingWork, int]:
    """Go on with the first partition, one record at a time: the plainest interleaving."""
    return works[0], 1


def at_random(rng: random.Random, batch_records_max: int = BATCH_RECORDS_MAX) -> Choose:
    """Return a choice of any partition with work and any batch size."""

    def choose(works: list[PendingWork]) -> tuple[PendingWork, int]:
        work = rng.choice(works)
        return work, rng.randint(1, min(batch_records_max, work.waiting))

    return choose


class TopologyDriver:
    """Both stages over so many partitions; records wait in the logs until `run` or `step` processes them."""

    def __init__(
        self,
        partitions: int,
        rules: RuleBook,
        user_id_fields: str = USER_ID_FIELDS,
        app: str = APP,
        deciding: DecisionPolicy | None = None,
    ) -> None:
        self.partitions = partitions
        self.topics = TOPICS
        catalogue = RuleCatalogue(rules.versions)
        self.stages: dict[str, OrderLinesStage | AccountsStage] = {
            LINES: OrderLinesStage(
                source=TOPICS.orders,
                changelog=TOPICS.order_lines.changelog,
                user_log=TOPICS.user_log,
                dead_letter_topic=TOPICS.order_lines.dead_letter,
                app=app,
                partitions=partitions,
                user_id_fields=user_id_fields,
            ),
            ACCOUNTS: AccountsStage(
                source=TOPICS.user_log,
                changelog=TOPICS.accounts.changelog,
                dead_letter_topic=TOPICS.accounts.dead_letter,
                app=app,
                partitions=partitions,
                rules=catalogue,
                deciding=DecisionPolicy() if deciding is None else deciding,
            ),
        }
        self.catalogue = catalogue
        self.stores = {(name, number): MemoryStore() for name in self.stages for number in range(partitions)}
        self.done = dict.fromkeys(self.stores, 0)  # offset to process next
        self.logs: dict[tuple[str, int], list[LogRecord]] = {}
        self.dead_letters: list[OutgoingRecord] = []
        self.failure_records: list[OutgoingRecord] = []  # parked copies, and decisions
        self.events: dict[int, list[LogRecord]] = {}  # events by partition
        self.counted: Counter[str] = Counter()  # by name of the metric

    def partition_of(self, key: bytes | str) -> int:
        """Return the partition of a key, as Kafka's default partitioner does."""
        raw = key.encode() if isinstance(key, str) else key
        return partition_of(raw, self.partitions)

    def log(self, topic: str, partition: int) -> list[LogRecord]:
        """Return a partition's records so far."""
        return self.logs.setdefault((topic, partition), [])

    def send(
        self,
        topic: str,
        key: bytes,
        value: bytes | None,
        at_us: int,
        *,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
    ) -> LogRecord:
        """Append a record to the partition of its key, or to the one that is given."""
        if partition is None:
            partition = self.partition_of(key)
        log = self.log(topic, partition)
        record = LogRecord(topic, partition, len(log), at_us // 1_000, key, value, headers)
        log.append(record)
        return record

    def send_order(self, document: Document, at_us: int) -> LogRecord:
        """Send one order fact, keyed by its line."""
        key = f"{document['platform']}:{document['order_line_id']}".encode()
        return self.send(self.topics.orders, key, orjson.dumps(document), at_us)

    def send_user(self, document: Document, at_us: int) -> LogRecord:
        """Send one user fact, keyed by the user id or the attribution id."""
        owner = document["attribution_id" if document["kind"] == "attribution.bind" else "user_id"]
        return self.send(self.topics.user_log, owner.encode(), orjson.dumps(document), at_us)

    def waiting(self) -> list[PendingWork]:
        """Return every partition that has records to process, in a fixed order."""
        works = []
        for (name, partition), done in self.done.items():
            waiting = len(self.log(self.stages[name].source, partition)) - done
            if waiting:
                works.append(PendingWork(name, partition, waiting))
        return works

    def run(self, choose: Choose | random.Random | None = None) -> None:
        """Process until nothing waits; `choose` decides the interleaving, at random if it is a Random."""
        if isinstance(choose, random.Random):
            choose = at_random(choose)
        choose = choose or one_by_one
        while works := self.waiting():
            work, count = choose(works)
            self.step(work.stage, work.partition, count)

    def run_all(self, choices: Iterable[tuple[str, int, int]]) -> None:
        """Process each (stage, partition, count) in turn; a greater count than records waiting means all."""
        for name, partition, count in choices:
            self.step(name, partition, count)

    def step(self, name: str, partition: int, count: int) -> None:
        """Process one batch: fold it on a state transaction, apply the changes, send what was collected."""
        stage, where = self.stages[name], (name, partition)
        start = self.done[where]
        batch = self.log(stage.source, partition)[start : start + count]
        if not batch:
            return
        store = self.stores[where]
        self.note(name, partition)
        transaction, collector = StateTransaction(store), RecordCollector()
        processor = stage.processor(transaction, collector)
        for record in batch:
            processor.take(record)
        processor.finish()
        watermark = Watermark(batch[-1].offset, stage.source, self.partitions)
        changes = transaction.changes | {WATERMARK_KEY: encode_watermark(watermark)}
        store.apply(changes, store.position + len(changes))
        self.done[where] = start + len(batch)
        for (metric, _), number in collector.counted.items():
            self.counted[metric.name] += number
        for outgoing in collector.records:
            self._deliver(outgoing)

    def build_step(self, name: str, partition: int) -> bool:
        """Take one step of building a kind of record that a store lacks; return False if it lacks none."""
        store = self.stores[name, partition]
        build = next_build(self.stages[name].builds, store)
        if build is None or store.watermark is None:
            return False
        step = BuildStep(build, store)
        while not step.run(1.0):
            pass
        step.finish()
        watermark = {WATERMARK_KEY: encode_watermark(store.watermark)}
        store.apply(step.transaction.changes | watermark, store.position + len(step.transaction.changes) + 1)
        return True

    def note(self, name: str, partition: int) -> None:
        """Note the rule versions that the partition does not know, in a transaction of their own."""
        stage, store = self.stages[name], self.stores[name, partition]
        if not isinstance(stage, AccountsStage):
            return
        transaction, collector = StateTransaction(store), RecordCollector()
        place, after = (partition, self.partitions), self.done[name, partition] - 1
        note_activations(stage, store, place, after, transaction, collector, lambda: NOTED_AT_MS)
        begin_turn(stage, store, place, transaction, collector)
        if transaction.changes:
            store.apply(transaction.changes, store.position + len(transaction.changes))
        for outgoing in collector.records:
            self._deliver(outgoing)

    def _deliver(self, outgoing: OutgoingRecord) -> None:
        topics = self.topics
        if outgoing.topic in (topics.order_lines.dead_letter, topics.accounts.dead_letter):
            self.dead_letters.append(outgoing)
            return
        if outgoing.topic in (topics.order_lines.parked, topics.accounts.parked, topics.decisions):
            self.failure_records.append(outgoing)
            return
        if outgoing.topic == topics.events:
            self._append_event(outgoing)
            return
        assert outgoing.key is not None
        self.send(
            outgoing.topic,
            outgoing.key,
            outgoing.value,
            outgoing.timestamp_ms * 1_000,
            partition=outgoing.partition,
            headers=outgoing.headers,
        )

    def _append_event(self, event: OutgoingRecord) -> None:
        partition = event.partition
        if partition is None:
            partition = self.partition_of(event.key or b"")
        log = self.events.setdefault(partition, [])
        log.append(
            LogRecord(
                event.topic,
                partition,
                len(log),
                event.timestamp_ms,
                event.key,
                event.value,
                event.headers,
            )
        )
