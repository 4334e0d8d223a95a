"""What the real stages count, on a lane made of lists: each record once, under the right name."""

from __future__ import annotations

import time

import orjson

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from rebate_app.lane.meters import StageMeter
from rebate_app.lane.outbox import Outbox
from rebate_app.lane.stage import Record, Stage
from rebate_app.lane.store import MemoryStore, Overlay
from rebate_app.metrics.figures import Figures
from tests.list_lane import APP, TOPICS, USER_ID_FIELDS, LogRecord
from tests.web.facts import LINE_ID, paid, rules

from .test_figures import scraped

STAGE = OrderLinesStage(
    TOPICS.orders, TOPICS.lines_changelog, TOPICS.user_log, TOPICS.orders_dlt, APP, USER_ID_FIELDS
)


def order(number: int, value: bytes, line: str = f"taobao:{LINE_ID}") -> LogRecord:
    """Return a record of order_topic of a minute ago."""
    return LogRecord(TOPICS.orders, 0, number, int((time.time() - 60) * 1_000), line.encode(), value)


def chunk(stage: Stage, figures: Figures, store: MemoryStore, records: list[Record]) -> None:
    """Work on a chunk as a partition's lane does, and count it."""
    outbox, overlay = Outbox(), Overlay(store)
    session = stage.session(overlay, outbox)
    for record in records:
        session.take(record)
    session.finish()
    store.apply(overlay.changes, 1)
    began = time.perf_counter() - 2
    StageMeter(figures, stage).committed(records, outbox, began, began + 1)


class TestStageMeter:
    """A chunk that is committed counts; nothing else does."""

    def test_a_chunk_counts_records_facts_and_refusals(self) -> None:
        """Applied, ignored and refused facts are apart; the oldest record gives the age."""
        figures, store = Figures(), MemoryStore()
        fact = orjson.dumps(paid())
        chunk(STAGE, figures, store, [order(0, fact), order(1, fact), order(2, b"{"), order(3, b"[]")])
        told = scraped(figures)
        stage = (("stage", "order-lines"),)
        assert told["rebate_records_processed_total", stage] == 4
        assert told["rebate_chunks_committed_total", stage] == 1
        networks = {key[1]: value for key, value in told.items() if key[0] == "rebate_orders_processed_total"}
        assert networks == {
            (("network", "taobao"), ("outcome", "applied")): 1,
            (("network", "taobao"), ("outcome", "ignored")): 1,
        }
        dead = (("reason", "undecodable"), ("topic", "order_topic"))
        assert told["rebate_dead_letters_total", dead] == 2
        assert 60 <= told["rebate_event_age_seconds_sum", stage] < 90
        assert 2 <= told["rebate_chunk_seconds_sum", stage] < 30
        assert 0.9 < told["rebate_decision_seconds_sum", stage] < 1.1

    def test_the_user_logs_refusals_are_its_own(self) -> None:
        """Stage 2 counts its dead letters under its own topic."""
        figures = Figures()
        stage = AccountsStage(
            TOPICS.user_log, TOPICS.accounts_changelog, TOPICS.user_log_dlt, APP, rules(), TOPICS.rules
        )
        record = LogRecord(TOPICS.user_log, 0, 0, 0, b"u1", None)
        chunk(stage, figures, MemoryStore(), [record])
        dead = (("reason", "undecodable"), ("topic", "rebate-user-log"))
        assert scraped(figures)["rebate_dead_letters_total", dead] == 1

    def test_fences_and_fresh_starts_are_there_before_the_first(self) -> None:
        """A rate needs the zero before the first one."""
        figures = Figures()
        meter = StageMeter(figures, STAGE)
        stage = (("stage", "order-lines"),)
        assert scraped(figures)["rebate_fenced_total", stage] == 0
        meter.fenced()
        meter.reopened()
        told = scraped(figures)
        assert (told["rebate_fenced_total", stage], told["rebate_reopened_total", stage]) == (1, 1)
