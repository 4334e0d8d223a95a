"""A lane made of lists: the real stages on memory stores, without Kafka, transactions or threads.

It is separate from the lane so that laws of the domain and of the web can be tested on the real
agents, with every interleaving of chunks and partitions that a broker could produce, in milliseconds.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from aiokafka.partitioner import murmur2
from msgspec import Struct

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from rebate_app.domain.rules import RuleBook
from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.store import WATERMARK_KEY, MemoryStore, Overlay, Watermark, encode_watermark
from rebate_app.wire.topics import Topics

Document = dict[str, Any]

APP = "rebate"
USER_ID_FIELDS = "jd:sub_union_id,pdd:custom_uid"
TOPICS = Topics(
    orders="order_topic",
    user_log="rebate-user-log",
    orders_dlt="order_topic-dlt",
    user_log_dlt="rebate-user-log-dlt",
    lines_changelog="rebate-order_lines-changelog",
    accounts_changelog="rebate-accounts-changelog",
    rules="rebate-rules",
    orders_parked="order_topic-parked",
    user_log_parked="rebate-user-log-parked",
    decisions="rebate-dlq-decisions",
    events="rebate-events",
    events_retry_10s="rebate-events-retry-10s",
    events_retry_1m="rebate-events-retry-1m",
    events_retry_10m="rebate-events-retry-10m",
    events_dlt="rebate-events-dlt",
)
LINES, ACCOUNTS = "order-lines", "accounts"  # the names of the stages
_hash = lru_cache(maxsize=65_536)(murmur2)  # in plain Python: the same keys again and again
CHUNK_MAX = 7  # small, so that chunks end in the middle of everything


class LogRecord(Struct):
    """A record as Kafka would keep it; `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Work(Struct, frozen=True):
    """A partition of a stage with `waiting` records that it has not processed."""

    stage: str
    partition: int
    waiting: int


#: Chooses, of all partitions that have work, which goes on and with how many records (at least 1).
Choose = Callable[[list[Work]], tuple[Work, int]]


def one_by_one(works: list[Work]) -> tuple[Work, int]:
    """Go on with the first partition, one record at a time: the plainest interleaving."""
    return works[0], 1


def at_random(rng: random.Random, chunk_max: int = CHUNK_MAX) -> Choose:
    """Return a choice of any partition with work and any chunk size."""

    def choose(works: list[Work]) -> tuple[Work, int]:
        work = rng.choice(works)
        return work, rng.randint(1, min(chunk_max, work.waiting))

    return choose


class ListLane:
    """Both stages over so many partitions; what is sent waits until `run` or `step` lets it through."""

    def __init__(
        self, partitions: int, rules: RuleBook, user_id_fields: str = USER_ID_FIELDS, app: str = APP
    ) -> None:
        self.partitions = partitions
        self.topics = TOPICS
        self.stages: dict[str, OrderLinesStage | AccountsStage] = {
            LINES: OrderLinesStage(
                TOPICS.orders, TOPICS.lines_changelog, TOPICS.user_log, TOPICS.orders_dlt, app, user_id_fields
            ),
            ACCOUNTS: AccountsStage(
                TOPICS.user_log, TOPICS.accounts_changelog, TOPICS.user_log_dlt, app, rules
            ),
        }
        self.stores = {(name, number): MemoryStore() for name in self.stages for number in range(partitions)}
        self.done = dict.fromkeys(self.stores, 0)  # offset to process next
        self.logs: dict[tuple[str, int], list[LogRecord]] = {}
        self.dead_letters: list[Outgoing] = []
        self.kept: list[Outgoing] = []  # copies of what is parked, and decisions
        self.told: dict[int, list[LogRecord]] = {}  # events by partition

    def partition_of(self, key: bytes | str) -> int:
        """Return the partition of a key, as Kafka's default partitioner does."""
        raw = key.encode() if isinstance(key, str) else key
        return int((_hash(raw) & 0x7FFFFFFF) % self.partitions)

    def log(self, topic: str, partition: int) -> list[LogRecord]:
        """Return a partition's records so far."""
        return self.logs.setdefault((topic, partition), [])

    def send(self, topic: str, key: bytes, value: bytes | None, at_us: int) -> LogRecord:
        """Append a record to the partition of its key."""
        partition = self.partition_of(key)
        log = self.log(topic, partition)
        record = LogRecord(topic, partition, len(log), at_us // 1_000, key, value)
        log.append(record)
        return record

    def send_order(self, document: Document, at_us: int) -> LogRecord:
        """Send one order fact, keyed by its line."""
        key = f"{document['platform']}:{document['order_line_id']}".encode()
        return self.send(self.topics.orders, key, orjson.dumps(document), at_us)

    def send_user(self, document: Document, at_us: int) -> LogRecord:
        """Send one user fact, keyed by the user id or the attribution id."""
        owner = document["user_id" if document["kind"] == "user.profile" else "attribution_id"]
        return self.send(self.topics.user_log, owner.encode(), orjson.dumps(document), at_us)

    def waiting(self) -> list[Work]:
        """Return every partition that has records to process, in a fixed order."""
        works = []
        for (name, partition), done in self.done.items():
            waiting = len(self.log(self.stages[name].source, partition)) - done
            if waiting:
                works.append(Work(name, partition, waiting))
        return works

    def run(self, choose: Choose | random.Random | None = None) -> None:
        """Process until nothing waits, in the interleaving that is chosen: by hand, at random, or plainly."""
        if isinstance(choose, random.Random):
            choose = at_random(choose)
        choose = choose or one_by_one
        while works := self.waiting():
            work, count = choose(works)
            self.step(work.stage, work.partition, count)

    def run_all(self, choices: Iterable[tuple[str, int, int]]) -> None:
        """Process the given (stage, partition, count) one after another; more than waits is all of it."""
        for name, partition, count in choices:
            self.step(name, partition, count)

    def step(self, name: str, partition: int, count: int) -> None:
        """Process one chunk: compute on an overlay, then apply the changes and send the outbox."""
        stage, where = self.stages[name], (name, partition)
        start = self.done[where]
        chunk = self.log(stage.source, partition)[start : start + count]
        if not chunk:
            return
        store = self.stores[where]
        overlay, outbox = Overlay(store), Outbox()
        session = stage.session(overlay, outbox)
        for record in chunk:
            session.take(record)
        session.finish()
        watermark = Watermark(chunk[-1].offset, stage.source, self.partitions)
        changes = overlay.changes | {WATERMARK_KEY: encode_watermark(watermark)}
        store.apply(changes, store.position + len(changes))
        self.done[where] = start + len(chunk)
        for outgoing in outbox.records:
            self._deliver(outgoing)

    def _deliver(self, outgoing: Outgoing) -> None:
        topics = self.topics
        if outgoing.topic in (topics.orders_dlt, topics.user_log_dlt):
            self.dead_letters.append(outgoing)
            return
        if outgoing.topic in (topics.orders_parked, topics.user_log_parked, topics.decisions):
            self.kept.append(outgoing)
            return
        if outgoing.topic == topics.events:
            self._tell(outgoing)
            return
        assert outgoing.key is not None
        self.send(outgoing.topic, outgoing.key, outgoing.value, outgoing.timestamp_ms * 1_000)

    def _tell(self, event: Outgoing) -> None:
        partition = event.partition
        if partition is None:
            partition = self.partition_of(event.key or b"")
        log = self.told.setdefault(partition, [])
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
