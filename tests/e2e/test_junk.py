"""Records that cannot be read, in the topics that a worker reads: passed over, or exit code 78, never 70."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiokafka import AIOKafkaProducer

from rebate_app.streams.kafka.clients import started
from rebate_app.streams.state.store import WATERMARK_KEY
from tests.doctor.test_on_kafka import scraped
from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import SHARE, estimated, order
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for
from tests.webhooks.test_on_kafka import SECRET

Junk = list[tuple[bytes | None, bytes | None]]

REGISTRY_JUNK: Junk = [
    (b"\xff\xfe", b"1"),
    (b"somebody", b"junk"),
    (b"version 2026-01", b"\xff"),
    (b"version 2026-01", b"{}"),
    (b"user_id_fields", b"\x00"),
    (b"", b""),
    (b"version 2020-01", None),
]
DECISIONS_JUNK: Junk = [
    (b"somebody", b"[" * 100_000),
    (b"t/0/1", b"{"),
    (b"t/0/2", b"[" * 100_000),
    (b"t/0/3", None),
]


def write(system: System, topic: str, junk: Junk, partition: int = 0) -> list[int]:
    """Write records into one partition; return their offsets."""

    async def send() -> list[int]:
        async with started(AIOKafkaProducer(bootstrap_servers=system.settings.broker)) as producer:
            return [
                (await producer.send_and_wait(topic, value, key, partition)).offset for key, value in junk
            ]

    return asyncio.run(send())


def used(new_system: NewSystem, **environment: str) -> tuple[System, Worker]:
    """Return a system whose rules have priced a line of every partition, and its worker."""
    system = new_system(**environment)
    worker = system.start_worker()
    worker.wait_ready()
    system.send_orders(order(f"u{number}") for number in range(20))
    system.wait_idle()
    return system, worker


def doctor(system: System) -> dict[str, dict[str, str]]:
    """Return what the doctor finds, by check."""
    done = system.command("doctor", "--json")
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


class TestControlTopics:
    """Junk from outside decides nothing: it is passed over, counted, logged with its place, and shown."""

    def test_registry_and_decisions(self, new_system: NewSystem) -> None:
        """The worker starts, what was decided before still holds, and each record counts once."""
        system, worker = used(new_system)
        assert worker.stop() == 0
        registry = write(system, system.topics.rules, REGISTRY_JUNK)
        write(system, system.topics.decisions, DECISIONS_JUNK)
        again = system.start_worker()
        again.wait_ready()
        name = "rebate_unreadable_records_total"
        assert scraped(again)[name, system.topics.rules] == 6
        wait_for(lambda: scraped(again)[name, system.topics.decisions] == 3, 30, "decisions are read")
        assert scraped(again)[name, system.topics.events_dlt] == 0
        place = f"{system.topics.rules}/0/{registry[0]}"
        assert again.log_text().count(f"the record at {place} cannot be read: its key is not UTF-8") == 1
        assert estimated(again, "u1") == (200, SHARE)
        found = doctor(system)["control records"]
        assert found["state"] == "warn"
        assert found["says"].startswith("9 records cannot be read")
        assert place in found["says"]
        listed = system.command("dlq", "list", "--json")
        assert listed.returncode == 0, listed.stderr

    def test_a_first_start_that_cannot_be_read(self, new_system: NewSystem) -> None:
        """It is the decision itself: 78 with its place and remedy, and the remedy works."""
        system = new_system()
        key = b"first-start somebody"
        offset = write(system, system.topics.rules, [(key, b'{"since_ms":1,"from":[],"format":2}')])[0]
        worker = system.start_worker()
        assert worker.wait_exit(60) == 78
        last = worker.log_text().splitlines()[-1]
        assert (
            f"the record at {system.topics.rules}/0/{offset} cannot be read: its format 2 is not known"
            in last
        )
        assert "write a record with its key and without a value" in last
        assert doctor(system)["control records"]["state"] == "fail"
        write(system, system.topics.rules, [(key, None)])
        again = system.start_worker()
        again.wait_ready()

    def test_an_unreadable_switch_pauses(self, new_system: NewSystem) -> None:
        """Rather wait than send what should not be: `resume` goes on."""
        system = new_system(
            REBATE_WEBHOOK_URL="http://127.0.0.1:9/",
            REBATE_WEBHOOK_SECRET=SECRET,
            REBATE_WEBHOOK_ALLOW_PRIVATE="1",
        )
        key = f"webhooks {system.settings.scope}".encode()
        write(system, system.topics.decisions, [(key, b"[" * 100_000)])
        worker = system.start_worker()
        worker.wait_ready()
        wait_for(lambda: "webhooks are paused until somebody runs" in worker.log_text(), 30, "it is read")
        assert scraped(worker)["rebate_webhook_paused",] == 1
        assert system.command("webhooks", "resume", "--by", "me", "--why", "tried").returncode == 0
        wait_for(lambda: scraped(worker)["rebate_webhook_paused",] == 0, 30, "they go on")


class TestState:
    """State that cannot be read is lost: 78, with its place and what to do."""

    @pytest.mark.parametrize(("store", "value"), [("memory", b"{"), ("rocksdb", None)])
    def test_a_watermark(self, new_system: NewSystem, store: str, value: bytes | None) -> None:
        """Every start ends alike; a newer watermark of the worker that still ran replaces it."""
        system, worker = used(new_system, REBATE_STORE=store)
        topic = system.topics.accounts.changelog
        for partition in range(4):
            write(system, topic, [(WATERMARK_KEY, b"junk")], partition)
        system.send_orders(order(f"u{number}", 1) for number in range(20))
        system.wait_idle()
        assert worker.stop() == 0
        again = system.start_worker(0)
        again.wait_ready()
        assert estimated(again, "u1") == (200, 2 * SHARE)
        assert again.stop() == 0
        offset = write(system, topic, [(WATERMARK_KEY, value)], 2)[0]
        for _ in range(2):
            last = system.start_worker(0)
            assert last.wait_exit(60) == 78
            assert (
                f"the record at {topic}/2/{offset} cannot be read: this watermark is lost" in last.log_text()
            )
            assert "build everything anew under a new REBATE_APP_ID" in last.log_text()
        found = doctor(system)["watermarks"]
        assert (found["state"], f"{topic}/2/{offset}" in found["says"]) == ("fail", True)
        assert system.command("audit", "--no-http").returncode == 1

    def test_a_record_of_a_table(self, new_system: NewSystem) -> None:
        """It is found when it is needed, and is nobody's bug: no dead letter, no parked key."""
        system, worker = used(new_system)
        assert worker.stop() == 0
        records = [r for r in system.read(system.topics.accounts.changelog) if r.key == b"h u1"]
        partition = records[-1].partition
        topic = system.topics.accounts.changelog
        offset = write(system, topic, [(b"h u1", b"[1,")], partition)[0]
        again = system.start_worker()
        again.wait_ready()
        assert ask(f"{again.url}/v1/users/u1/balance").status == 500
        system.send_orders([order("u1", 1)])
        assert again.wait_exit(60) == 78
        assert f"the record at {topic}/{partition}/{offset} cannot be read: " in again.log_text()
        assert system.read(system.topics.accounts.dead_letter) == []

    def test_a_standby_goes_on_without_it(self, new_system: NewSystem) -> None:
        """A watermark that cannot be read does not end who only follows the log."""
        system = new_system(REBATE_STANDBYS="1")
        workers = [system.start_worker(), system.start_worker()]
        for worker in workers:
            worker.wait_ready()
        system.send_orders(order(f"u{number}") for number in range(20))
        system.wait_idle()
        for partition in range(4):
            write(system, system.topics.accounts.changelog, [(WATERMARK_KEY, b"junk")], partition)
        text = "only a newer watermark replaces it"
        wait_for(lambda: any(text in worker.log_text() for worker in workers), 30, "a standby reads it")
        system.send_orders(order(f"u{number}", 1) for number in range(20))
        system.wait_idle()
        assert [worker.process.poll() for worker in workers] == [None, None]
        assert {estimated(worker, "u1") for worker in workers} == {(200, 2 * SHARE)}
