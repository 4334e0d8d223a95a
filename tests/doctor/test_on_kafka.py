"""Doctor, topics that are only verified, metrics and the list of workers, on a real Kafka."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from rebate_app.settings import load_settings
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.wire.topics import Topics
from tests.e2e.conftest import NewSystem, new_system
from tests.e2e.test_workers import order
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

__all__ = ["new_system"]
pytestmark = pytest.mark.kafka


def findings(system: System, url: str | None = None, code: int = 0) -> dict[str, list[dict[str, str]]]:
    """Return what the doctor finds, by check."""
    done = system.command("doctor", "--json", url=url or "http://127.0.0.1:1")
    assert done.returncode == code, done.stdout + done.stderr
    found: dict[str, list[dict[str, str]]] = {}
    for check in json.loads(done.stdout)["checks"]:
        found.setdefault(check["check"], []).append(check)
    return found


def state(found: dict[str, list[dict[str, str]]], name: str) -> str:
    """Return the state of the check's first finding."""
    return found[name][0]["state"]


def scraped(worker: Worker) -> dict[tuple[str, ...], float]:
    """Return a worker's figures by name and label values."""
    families = text_string_to_metric_families(ask(f"{worker.url}/metrics").body.decode())
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def administer(broker: str, *, alter: tuple[str, dict[str, str]] | None = None, cut: str = "") -> None:
    """Change a topic's configuration, or delete the first record of its partition 0."""
    async with started(PatientAdmin(bootstrap_servers=broker)) as admin:
        if alter is not None:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, *alter)])
        if cut:
            await admin.delete_records({TopicPartition(cut, 0): RecordsToDelete(before_offset=1)})


async def produce_at(broker: str, topic: str, timestamp_ms: int) -> None:
    """Send a record of that time."""
    async with started(AIOKafkaProducer(bootstrap_servers=broker)) as producer:
        await producer.send_and_wait(topic, b"{}", key=b"k", timestamp_ms=timestamp_ms, partition=0)


class TestDoctor:
    """Each planted problem is found by its check, and nothing else is."""

    def test_a_healthy_system_has_no_failure(self, new_system: NewSystem) -> None:
        """No failure; one broker for everything is a warning, and with --strict a finding."""
        system = new_system()
        worker = system.start_worker()
        worker.wait_ready()
        found = findings(system, worker.url)
        bad = {name for name, checks in found.items() for check in checks if check["state"] != "ok"}
        assert bad == {"replicas"}
        assert "Kafka 4" in found["broker"][0]["says"]
        assert system.command("doctor", "--strict", url=worker.url).returncode == 1

    def test_logs_that_lost_their_beginning_and_records_from_the_future(self, new_system: NewSystem) -> None:
        """Input that was deleted is a failure; a record dated in the future is a warning."""
        system = new_system()
        found = findings(system)
        assert (state(found, "input"), state(found, "record times")) == ("ok", "ok")
        assert (state(found, "group"), state(found, "workers")) == ("warn", "warn")
        ahead_ms = int((time.time() + 600) * 1_000)
        asyncio.run(produce_at(system.settings.broker, system.topics.orders, ahead_ms))
        assert state(findings(system), "record times") == "warn"
        asyncio.run(administer(system.settings.broker, cut=system.topics.orders))
        found = findings(system, code=1)
        assert state(found, "input") == "fail"
        assert f"{system.topics.orders}/0" in found["input"][0]["says"]

    def test_retention_on_a_log_is_a_warning(self, new_system: NewSystem) -> None:
        """Retention on a log is a warning with the command that mends it; workers start and log it too."""
        system = new_system()
        wrong = system.topics.specs(system.settings)[0].config | {"retention.ms": "604800000"}
        asyncio.run(administer(system.settings.broker, alter=(system.topics.orders, wrong)))
        found = findings(system)
        assert state(found, "topics") == "warn"
        assert "retention.ms=604800000" in found["topics"][0]["says"]
        assert "--add-config retention.ms=-1" in found["topics"][0]["do"]
        worker = system.start_worker()
        worker.wait_ready()
        assert "retention.ms=604800000" in worker.log_text()


class TestVerify:
    """REBATE_TOPICS=verify creates nothing and reports everything."""

    def test_everything_missing_or_wrong_is_listed_and_nothing_is_made(
        self, new_system: NewSystem, kafka: str
    ) -> None:
        """Worker, import and command refuse with 78, and name what they use."""
        system = new_system()
        prefix = f"v{system.settings.topic_prefix}"
        system._environment |= {"REBATE_TOPIC_PREFIX": prefix, "REBATE_TOPICS": "verify"}
        settings = load_settings(system._environment)
        names = Topics.of(settings)

        async def make_one_wrong() -> list[str]:
            async with started(PatientAdmin(bootstrap_servers=kafka)) as admin:
                await admin.create_topics([NewTopic(names.rules, 3, 1)])
                return [name for name in await admin.list_topics() if name.startswith(prefix)]

        asyncio.run(make_one_wrong())
        worker = system.start_worker()
        assert worker.wait_exit(30) == 78
        last = worker.log_text().splitlines()[-1]
        missing = [spec.name for spec in names.specs(settings) if spec.name != names.rules]
        assert all(f"topic {name} is missing" in last for name in missing)
        assert f"topic {names.rules} has 3 partitions, it must have 1" in last
        done = system.command("topics", "verify")
        assert (done.returncode, done.stderr.count("is missing")) == (78, len(missing))
        file = system.folder / "orders.ndjson"
        file.write_text("")
        imported = system.command("orders", "import", str(file), "--network", "canonical")
        needed = (names.orders, names.audit_trail)
        assert all(f"topic {name} is missing" in imported.stderr for name in needed)
        assert (imported.returncode, imported.stderr.count("is missing")) == (78, len(needed))
        assert asyncio.run(make_one_wrong()) == [names.rules]


class TestWorkers:
    """Metrics and /v1/workers of two workers."""

    def test_metrics_and_owners_agree_with_the_work(self, new_system: NewSystem) -> None:
        """Each record counts once over both workers; all partitions have one owner, known to both."""
        system = new_system()
        workers = [system.start_worker(), system.start_worker()]
        for worker in workers:
            worker.wait_ready()

        def shared() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = ask(f"{workers[0].url}/v1/workers").body["items"]
            return items if len(items) == 2 and all(item["ready"] for item in items) else []

        items = wait_for(shared, 60, "two workers that are ready")
        for topic in (system.topics.orders, system.topics.user_log):
            assert sorted(n for item in items for n in item["partitions"][topic]) == [0, 1, 2, 3]
        system.send_orders([order(f"u{number}") for number in range(20)] + [order("u1")])
        system.produce(system.topics.orders, [(b"pdd:x", b"{")])
        system.wait_idle()
        totals: dict[tuple[str, ...], float] = {}
        for worker in workers:
            for key, value in scraped(worker).items():
                totals[key] = totals.get(key, 0) + value
        assert totals["rebate_records_processed_total", "order-lines"] == 22
        notes = 4 + 4  # in each partition: the one rule version, and that the app is the active one
        assert totals["rebate_records_processed_total", "accounts"] == 20 + notes
        assert totals["rebate_orders_processed_total", "pdd", "applied"] == 20
        assert totals["rebate_orders_processed_total", "pdd", "ignored"] == 1
        assert totals["rebate_dead_letters_total", "undecodable", system.topics.orders] == 1
        assert totals["rebate_ready",] == 2
        assert totals["rebate_partitions_owned", "running", system.topics.orders] == 4
        assert totals["rebate_chunk_seconds_count", "order-lines"] > 0
        assert totals["faust_rebalances_total",] >= 2
