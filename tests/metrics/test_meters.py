"""What the real stages count, on a stream made of lists: each record once, under the right name."""

from __future__ import annotations

import time

import orjson

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.metrics.known_labels import KnownLabels
from rebate_app.metrics.registry import MetricsRegistry
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.task.meters import StageMeter
from rebate_app.streams.task.stage import Record, Stage
from rebate_app.streams.transaction.collector import RecordCollector
from tests.metrics.test_registry import scraped
from tests.topology_driver import APP, TOPICS, USER_ID_FIELDS, LogRecord
from tests.web.facts import LINE_ID, paid, rules

STAGE = OrderLinesStage(
    source=TOPICS.orders,
    changelog=TOPICS.order_lines.changelog,
    user_log=TOPICS.user_log,
    dead_letter_topic=TOPICS.order_lines.dead_letter,
    app=APP,
    partitions=1,
    user_id_fields=USER_ID_FIELDS,
)


def order(number: int, value: bytes, line: str = f"taobao:{LINE_ID}") -> LogRecord:
    """Return a record of order_topic of a minute ago."""
    return LogRecord(TOPICS.orders, 0, number, int((time.time() - 60) * 1_000), line.encode(), value)


def batch(stage: Stage, metrics: MetricsRegistry, store: MemoryStore, records: list[Record]) -> None:
    """Work on a batch as a partition's lane does, and count it."""
    collector, transaction = RecordCollector(), StateTransaction(store)
    processor = stage.processor(transaction, collector)
    for record in records:
        processor.take(record)
    processor.finish()
    store.apply(transaction.changes, 1)
    began = time.perf_counter() - 2
    StageMeter(metrics, stage).committed(records, collector, began, began + 1)


class TestStageMeter:
    """A batch that is committed counts; nothing else does."""

    def test_a_chunk_counts_records_facts_and_refusals(self) -> None:
        """Applied, ignored and refused facts are apart; the oldest record gives the age."""
        metrics, store = MetricsRegistry(), MemoryStore()
        fact = orjson.dumps(paid())
        batch(STAGE, metrics, store, [order(0, fact), order(1, fact), order(2, b"{"), order(3, b"[]")])
        values = scraped(metrics)
        stage = (("stage", "order-lines"),)
        assert values["rebate_records_processed_total", stage] == 4
        assert values["rebate_chunks_committed_total", stage] == 1
        networks = {
            key[1]: value for key, value in values.items() if key[0] == "rebate_orders_processed_total"
        }
        assert networks == {
            (("network", "taobao"), ("outcome", "applied")): 1,
            (("network", "taobao"), ("outcome", "ignored")): 1,
        }
        dead = (("reason", "undecodable"), ("topic", "order_topic"))
        assert values["rebate_dead_letters_total", dead] == 2
        assert 60 <= values["rebate_event_age_seconds_sum", stage] < 90
        assert 2 <= values["rebate_chunk_seconds_sum", stage] < 30
        assert 0.9 < values["rebate_decision_seconds_sum", stage] < 1.1

    def test_the_user_logs_refusals_are_its_own(self) -> None:
        """Stage 2 counts its dead letters under its own topic."""
        metrics = MetricsRegistry()
        stage = AccountsStage(
            source=TOPICS.user_log,
            changelog=TOPICS.accounts.changelog,
            dead_letter_topic=TOPICS.accounts.dead_letter,
            app=APP,
            partitions=1,
            rules=RuleCatalogue(rules().versions),
            registry=TOPICS.rules,
        )
        record = LogRecord(TOPICS.user_log, 0, 0, 0, b"u1", None)
        batch(stage, metrics, MemoryStore(), [record])
        dead = (("reason", "undecodable"), ("topic", "rebate-user-log"))
        assert scraped(metrics)["rebate_dead_letters_total", dead] == 1

    def test_fences_and_fresh_starts_are_there_before_the_first(self) -> None:
        """A rate needs the zero before the first one."""
        metrics = MetricsRegistry()
        metrics.declare(KnownLabels(stages=(STAGE.name,)))
        meter = StageMeter(metrics, STAGE)
        stage = (("stage", "order-lines"),)
        assert scraped(metrics)["rebate_fenced_total", stage] == 0
        meter.fenced()
        meter.reopened()
        values = scraped(metrics)
        assert (values["rebate_fenced_total", stage], values["rebate_reopened_total", stage]) == (1, 1)

    def test_a_record_of_the_future_is_shown(self) -> None:
        """Its distance from this worker's clock, the greatest of the last minutes."""
        metrics = MetricsRegistry()
        meter = StageMeter(metrics, STAGE)
        assert meter.record_ahead_seconds() == 0
        now_ms = int(time.time() * 1_000)
        rows = [
            LogRecord(TOPICS.orders, 0, number, now_ms + ahead, b"taobao:1", b"{")
            for number, ahead in enumerate((-5_000, 60_000, 20_000))
        ]
        for row in rows:
            meter.committed([row], RecordCollector(), time.perf_counter(), time.perf_counter())
        assert 59 < meter.record_ahead_seconds() <= 60
