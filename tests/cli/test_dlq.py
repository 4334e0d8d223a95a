"""`rebate dlq list|discard` on a real Kafka; the dead letters are written as a worker writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from rebate_app.settings import Settings
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.wire import failure_headers as names
from rebate_app.wire.topics import Topics
from tests.cli.cases import run, use_broker

LETTERS = 10
HOSTILE_KEY = "u1\x1b[2J\n\u202eorder_topic/0/1 fine"


async def write_letters(settings: Settings) -> list[str]:
    """Write ten letters of two reasons, failed a minute after the other, out of order; return ids by age."""
    topics = Topics.of(settings)
    source, dead = topics.orders, topics.dead_letters
    (topic,) = (name for name, of in dead.items() if of == source)
    async with started(AIOKafkaProducer(**client_options(settings))) as producer:
        for number in sorted(range(LETTERS), key=lambda each: (each * 7) % LETTERS):
            partition, offset = number % 3, 100 + number
            key = HOSTILE_KEY if number == 0 else f"taobao:{number}"
            texts = {
                names.REASON: "unknown-schema" if number % 2 else "implausible-time",
                names.DETAIL: "made up",
                names.TOPIC: source,
                names.PARTITION: str(partition),
                names.OFFSET: str(offset),
                names.AT: f"2026-01-01T10:{number:02d}:00+08:00",
            }
            headers = [(name, text.encode()) for name, text in texts.items()]
            # The record's own time runs against the time of the failure: the latter sorts.
            await producer.send_and_wait(
                topic, b"{}", key.encode(), partition, 1_700_000_000_000 - number, headers
            )
    return [f"{source}/{number % 3}/{100 + number}" for number in range(LETTERS)]


def listed(*options: str) -> Any:
    """Return `dlq list --json`."""
    outcome = run("dlq", "list", *options, "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.json


def ids_of(page: Any) -> list[str]:
    """Return the ids of a list."""
    return [row["id"] for row in page["items"]]


class TestOnKafka:
    """One scenario: what is listed, what is left off, and closing many at once."""

    def test_list_and_discard(self, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Open letters, newest failure first; filters close what they select, and nothing else."""
        settings = use_broker(monkeypatch, kafka)
        assert run("topics", "create").code == 0
        ids = asyncio.run(write_letters(settings))
        self._list_is_newest_first_and_pages(ids[::-1])
        self._text_says_what_is_left_off()
        self._discard_needs_a_choice(ids)
        odd = [each for number, each in enumerate(ids) if number % 2]
        self._discard_by_filter(odd, ids)

    def _list_is_newest_first_and_pages(self, newest: Sequence[str]) -> None:
        whole = listed()
        assert ids_of(whole) == newest
        assert whole["next_cursor"] is None
        assert whole["left_off"] == {"before": 0, "beyond": 0, "decided": 0}
        first = listed("--limit", "4")
        second = listed("--limit", "4", "--cursor", first["next_cursor"])
        third = listed("--limit", "4", "--cursor", second["next_cursor"])
        assert ids_of(first) + ids_of(second) + ids_of(third) == newest
        assert (first["left_off"]["beyond"], second["left_off"]) == (
            6,
            {"before": 4, "beyond": 2, "decided": 0},
        )
        assert third["next_cursor"] is None
        assert run("dlq", "list", "--cursor", "x/1").code == 2

    def _text_says_what_is_left_off(self) -> None:
        text = run("dlq", "list", "--limit", "4").stdout
        assert "Left off: 6 older ones (--limit, or --cursor " in text
        whole = run("dlq", "list").stdout
        assert len(whole.splitlines()) == 1 + LETTERS
        assert "\x1b" not in whole
        assert "\u202e" not in whole
        assert "Left off" not in whole

    def _discard_needs_a_choice(self, ids: Sequence[str]) -> None:
        for options in ((), ("--topic", "orders"), (ids[0], "--reason", "unknown-schema")):
            outcome = run("dlq", "discard", *options, "--why", "test", "--yes")
            assert (outcome.code, outcome.stdout) == (2, ""), options
        assert run("dlq", "discard", "--all", "--why", "test").code == 2  # nobody can be asked
        assert len(listed()["items"]) == LETTERS

    def _discard_by_filter(self, chosen: Sequence[str], ids: Sequence[str]) -> None:
        options = ("--reason", "unknown-schema", "--topic", "orders", "--why", "test", "--yes", "--json")
        outcome = run("dlq", "discard", *options)
        assert outcome.code == 0, outcome.stderr
        assert sorted(ids_of(outcome.json)) == sorted(chosen)
        assert {row["outcome"] for row in outcome.json["items"]} == {"discarded"}
        assert outcome.json["next_cursor"] is None
        rest = listed()
        assert sorted(ids_of(rest)) == sorted(set(ids) - set(chosen))
        assert rest["left_off"]["decided"] == len(chosen)
        assert "5 decided ones (--all)" in run("dlq", "list").stdout
        assert ids_of(listed("--all")) == ids[::-1]
        again = run("dlq", "discard", *options)
        assert (again.code, again.json["items"]) == (0, [])
        closed = run("dlq", "discard", "--key", "taobao:2", "--why", "test", "--yes")
        assert closed.stdout.endswith("1 discarded\n")
        assert len(listed()["items"]) == LETTERS - len(chosen) - 1
