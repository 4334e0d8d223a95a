"""The command on a real Kafka with a real worker: at rest, with a planted fault, and while it imports."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest
from msgspec.json import encode

from rebate_app.audit.kafka_logs import KafkaLogs
from rebate_app.domain.account.account import Head
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.streams.transaction.partitioner import partition_of
from tables.accounts import HEAD
from tests.audit.commands import in_background, run, write
from tests.oracle import Feed, make_feed, shuffle_with_repeats
from tests.rig.system import System

LINES, USERS = 300, 40
RUNNING_LINES = 600
AUDITS_MIN = 3


def feed_of(seed: int, lines: int = LINES) -> Feed:
    """Return a feed of the test's own."""
    return make_feed(random.Random(seed), lines, USERS)


def audited(system: System, *arguments: str, url: str | None = None) -> tuple[int, dict[str, Any]]:
    """Run `rebate audit --json`; return its exit code and its report."""
    done = system.command("audit", "--json", *arguments, url=url)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


class TestOnKafka:
    """The audit of a running system."""

    def test_a_planted_record_is_the_only_difference(
        self, kafka: str, topic_prefix: str, tmp_path: Path
    ) -> None:
        """At rest 0 differences; a head that another program wrote into the changelog is named."""
        feed = feed_of(1)
        with System(kafka, topic_prefix, tmp_path, feed.rules) as system:
            worker = system.start_worker()
            worker.wait_ready()
            system.send_users(document for document, _ in feed.users)
            system.send_orders(shuffle_with_repeats(random.Random(1), feed.orders))
            system.send_orders([feed.orders[0] | {"schema": "order-event/9"}])
            system.wait_idle()
            code, report = audited(system, url=worker.url)
            assert (code, report["differences"], report["items"]) == (0, 0, [])
            assert (report["not_comparable"], report["after_cut"]) == (0, 0)
            assert report["users_compared"] >= USERS
            assert report["lines"] == LINES
            self._plant(system, feed)

    @staticmethod
    def _plant(system: System, feed: Feed) -> None:
        user_id = feed.user_ids[0]
        partition = partition_of(user_id.encode(), system.settings.partitions)
        head = encode(Head(estimated=1))
        write(system, system.topics.accounts.changelog, partition, HEAD.key(user_id), head)
        code, report = audited(system, "--no-http")
        assert (code, report["differences"], report["users_compared"]) == (1, 1, 0)
        [item] = report["items"]
        assert (item["kind"], item["key"]) == ("changed-record", f"h {user_id}")
        assert item["table"]["estimated"] == 1
        done = system.command("audit", "--no-http")
        assert done.returncode == 1
        assert f"h {user_id}" in done.stdout
        assert "should be" in done.stdout

    def test_while_an_import_is_running(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Audit after audit finds nothing while orders, bindings and profiles come in."""
        feed = feed_of(2, RUNNING_LINES)
        canonical = tmp_path / "orders.ndjson"
        orders = shuffle_with_repeats(random.Random(2), feed.orders)
        canonical.write_bytes(b"\n".join(encode(document) for document in orders * 2))
        with System(kafka, topic_prefix, tmp_path, feed.rules) as system:
            worker = system.start_worker()
            worker.wait_ready()
            facts: list[int] = []
            with in_background(
                system, "orders", "import", str(canonical), "--network", "canonical"
            ) as importing:
                system.send_users(document for document, _ in feed.users)
                while importing.poll() is None or len(facts) < AUDITS_MIN:
                    code, report = audited(system, url=worker.url)
                    assert (code, report["items"]) == (0, [])
                    facts.append(report["facts"])
            assert facts == sorted(facts)
            system.wait_idle()
            code, report = audited(system, url=worker.url)
            assert (code, report["items"], report["not_comparable"]) == (0, [], 0)
            assert report["lines"] == RUNNING_LINES


class TestLogs:
    """The logs of a real Kafka."""

    def test_a_stalled_read_fails(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """A log that never reaches its end ends the audit with an error after the stall bound."""
        with System(kafka, topic_prefix, tmp_path, feed_of(3, 1).rules) as system:

            async def read() -> None:
                async with KafkaLogs(system.settings) as logs:
                    logs.stall_seconds = 0.1
                    async for _ in logs.read(system.topics.orders, 0, 0, 5):
                        pytest.fail("there is nothing to be read")

            with pytest.raises(BrokerAwayError, match=r"nothing comes for 0 s from .*order_topic/0 at 0"):
                asyncio.run(read())


class TestExits:
    """The exit codes when nothing can be audited."""

    def test_an_unavailable_worker_is_69(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Unless --no-http leaves the worker out."""
        with System(kafka, topic_prefix, tmp_path, feed_of(3, 1).rules) as system:
            done = system.command("audit", url="http://127.0.0.1:9")
            assert (done.returncode, done.stdout) == (69, "")
            assert "--no-http" in done.stderr
            assert system.command("audit", "--no-http").returncode == 0

    @pytest.mark.parametrize(
        ("name", "value", "code"),
        [
            ("REBATE_BROKER", "127.0.0.1:9", 69),
            ("REBATE_RULES", "no-such-folder", 78),
            ("REBATE_PARTITIONS", "3", 78),
            ("REBATE_TOPIC_PREFIX", "nothing-here-", 78),
        ],
    )
    def test_settings_that_do_not_fit(
        self, kafka: str, topic_prefix: str, tmp_path: Path, name: str, value: str, code: int
    ) -> None:
        """Each has one sentence and the exit code of its kind, and no topic is created."""
        with System(kafka, topic_prefix, tmp_path, feed_of(3, 1).rules) as system:
            done = run(system, "audit", "--no-http", **{name: value})
            assert (done.returncode, done.stdout) == (code, "")
            assert done.stderr.count("\n") == 1
