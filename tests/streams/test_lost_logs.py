"""Logs that were made anew, lost their end or have other partitions, on a real Kafka: 78 within 30 s.

See docs/spec/running.md#lost. What is legitimate (a broker's restart, deleted heads, compaction) ends nobody.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiokafka.admin import NewPartitions, NewTopic
from aiokafka.admin.records_to_delete import RecordsToDelete
from aiokafka.structs import TopicPartition

from rebate_app.broker import LocalKafka
from rebate_app.settings import EXIT_CONFIGURATION
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.wire.topics import Topics
from tests.e2e.conftest import RULES, NewSystem, new_system
from tests.kafka_fixture import SHORT_SESSION, guarded, start_on_a_free_port
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import until, wait_for
from tests.streams.failures.poison import order
from tests.streams.failures.sending import audited

__all__ = ["new_system"]
pytestmark = pytest.mark.kafka

NOTICED_SECONDS_MAX = 30.0
GONE_SECONDS_MAX = 15.0
SUSPECTED = "it seems that a log is lost"


def send_and_wait(system: System, first: int, count: int = 8) -> None:
    """Process one line of each of these users."""
    system.send_orders(order(f"taobao:{number}", f"u{number}") for number in range(first, first + count))
    system.wait_idle()


def estimated(worker: Worker, user: str) -> int:
    """Return a user's balance."""
    return int(ask(f"{worker.url}/v1/users/{user}/balance").body["estimated"])


def refused(worker: Worker, *sentences: str) -> None:
    """Wait for its end with 78; its last line names what is missing, and the way on."""
    assert worker.wait_exit(NOTICED_SECONDS_MAX) == EXIT_CONFIGURATION, worker.log_text()[-3_000:]
    critical = [
        line for line in worker.log_text().splitlines() if "CRITICAL" in line or "new REBATE_APP_ID" in line
    ]
    for sentence in (*sentences, "under a new REBATE_APP_ID"):
        assert sentence in critical[-1], worker.log_text()[-3_000:]


def doctor(system: System, number: int, *, code: int) -> dict[str, dict[str, str]]:
    """Return the doctor's findings by check, on the machine of worker number so-and-so."""
    before = system._environment
    system._environment = before | {"REBATE_DATADIR": str(system.folder / f"worker-{number}")}
    try:
        done = system.command("doctor", "--json", url="http://127.0.0.1:1")
    finally:
        system._environment = before
    assert done.returncode == code, done.stdout + done.stderr
    return {check["check"]: check for check in json.loads(done.stdout)["checks"]}


async def make_anew(system: System, name: str) -> None:
    """Delete a topic and create it again, as it has to be."""
    (spec,) = [spec for spec in Topics.of(system.settings).specs(system.settings) if spec.name == name]
    async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
        await admin.delete_topics([name])

        async def gone() -> bool:
            return name not in await admin.list_topics()

        await until(gone, GONE_SECONDS_MAX, "the topic is gone")
        await admin.create_topics([NewTopic(name, spec.partitions, 1, topic_configs=spec.config)])


async def add_partitions(system: System, name: str) -> None:
    """Give a topic one partition more."""
    async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
        await admin.create_partitions({name: NewPartitions(system.settings.partitions + 1)})


async def cut_processed(system: System) -> None:
    """Delete everything that is in the sources, as retention would."""
    spots = [
        TopicPartition(topic, n) for topic in system.topics.sources for n in range(system.settings.partitions)
    ]
    async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
        await admin.delete_records({spot: RecordsToDelete(before_offset=-1) for spot in spots})


class TestRunning:
    """A worker that runs while it happens."""

    @pytest.mark.parametrize(
        ("store", "stage", "what", "harm", "sentence"),
        [
            ("memory", "order_lines", "source", make_anew, "order_topic was made anew: its topic id is"),
            (
                "rocksdb",
                "accounts",
                "changelog",
                make_anew,
                "accounts-changelog was made anew: its topic id is",
            ),
            (
                "memory",
                "accounts",
                "source",
                add_partitions,
                "rebate-user-log has 3 partitions, the state was made from 2",
            ),
        ],
        ids=["source", "changelog", "partitions"],
    )
    def test_it_ends_with_78_and_so_does_the_next_one(
        self,
        new_system: NewSystem,
        store: str,
        stage: str,
        what: str,
        harm: Callable[..., object],
        sentence: str,
    ) -> None:
        """With the data folder and without; a rebuild under a new app id has what is there."""
        system: System = new_system(REBATE_PARTITIONS="2", REBATE_STORE=store)
        worker = system.start_worker(0)
        worker.wait_ready()
        send_and_wait(system, 0)
        assert doctor(system, 0, code=0)["lost logs"]["state"] == "ok"
        asyncio.run(harm(system, getattr(getattr(system.topics, stage), what)))  # type: ignore[arg-type]
        began = time.monotonic()
        # A task that opens again may notice it before the watch does, in other words.
        refused(worker, sentence.split(maxsplit=1)[0])
        print(f"noticed after {time.monotonic() - began:.1f} s")
        found = doctor(system, 0, code=1)["lost logs"]
        assert (found["state"], sentence in found["says"]) == ("fail", True)
        again = system.start_worker(0)
        if harm is add_partitions:
            assert again.wait_exit(NOTICED_SECONDS_MAX) == EXIT_CONFIGURATION
            return
        if what == "source":
            refused(
                system.start_worker(1), "was made anew: its topic id is"
            )  # it has no folder that remembers
        refused(again, sentence)
        if what == "source":
            self._rebuilt(system)

    def _rebuilt(self, system: System) -> None:
        system.send_orders([order("taobao:100", "u100")])
        system._environment |= {"REBATE_APP_ID": "again"}
        worker = system.start_worker(0)
        worker.wait_ready()
        system.wait_idle()
        assert (estimated(worker, "u100"), estimated(worker, "u0")) == (650, 0)
        audited(system, worker.url)

    def test_a_standby_does_not_take_over_an_empty_log(self, new_system: NewSystem) -> None:
        """Owner and standby end alike; nobody answers from what the standby reads anew."""
        system: System = new_system(REBATE_PARTITIONS="2", REBATE_STANDBYS="1", **SHORT_SESSION)
        workers = [system.start_worker(number) for number in range(2)]
        for worker in workers:
            worker.wait_ready()
        send_and_wait(system, 0)
        topic = system.topics.accounts.changelog
        asyncio.run(make_anew(system, topic))
        for worker in workers:
            refused(worker, topic)
        for number in range(2):
            refused(system.start_worker(number), f"{topic} was made anew: its topic id is")

    def test_a_topic_that_is_missing_makes_it_not_ready(self, new_system: NewSystem) -> None:
        """It does not end: metadata may lack a topic for a moment; a dead-letter topic can be made again."""
        system: System = new_system(REBATE_PARTITIONS="2")
        worker = system.start_worker(0)
        worker.wait_ready()
        name = system.topics.order_lines.dead_letter

        async def delete() -> None:
            async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
                await admin.delete_topics([name])

        asyncio.run(delete())

        def reason() -> bool:
            answer = ask(f"{worker.url}/readyz")
            return answer.status == 503 and f"{name} is not there" in answer.body["reason"]

        wait_for(reason, NOTICED_SECONDS_MAX, "not ready")
        assert system.command("topics", "create").returncode == 0
        worker.wait_ready()
        assert SUSPECTED not in worker.log_text()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[LocalKafka]:
    """Return a broker that only this test has."""
    with guarded(tmp_path / "broker"):
        broker = start_on_a_free_port(tmp_path / "broker")
        try:
            yield broker
        finally:
            broker.stop()
    shutil.rmtree(tmp_path / "broker" / "data", ignore_errors=True)


class TestCluster:
    """The cluster itself goes, or goes back."""

    def test_an_older_backup_and_an_empty_cluster_at_the_same_address(
        self, own_broker: LocalKafka, topic_prefix: str, tmp_path: Path
    ) -> None:
        """A restart, deleted heads and compaction are no loss; the other two are, with no store on disk."""
        system = System(
            own_broker.address,
            topic_prefix,
            tmp_path,
            [RULES],
            REBATE_PARTITIONS="2",
            REBATE_TRANSACTION_TIMEOUT="8",
        )
        with system:
            worker = system.start_worker(0)
            worker.wait_ready()
            send_and_wait(system, 0)
            assert worker.stop() == 0
            own_broker.stop()
            data = own_broker.data_dir / "data"
            shutil.copytree(data, tmp_path / "backup")
            own_broker.start()
            worker = system.start_worker(0)
            worker.wait_ready()
            send_and_wait(system, 8)
            self._legitimate(system, own_broker, worker)
            worker.kill()
            own_broker.stop()
            shutil.rmtree(data)
            shutil.move(tmp_path / "backup", data)
            own_broker.start()
            refused(system.start_worker(0), "this worker's data folder remembers its end at")
            assert doctor(system, 0, code=1)["lost logs"]["state"] == "fail"
            own_broker.stop()
            shutil.rmtree(data)
            own_broker.start()
            refused(system.start_worker(0), "the state was made on cluster")
            found = doctor(system, 0, code=1)["lost logs"]
            assert "the state was made on cluster" in found["says"]

    def _legitimate(self, system: System, broker: LocalKafka, worker: Worker) -> None:
        asyncio.run(cut_processed(system))
        broker.stop()
        broker.start()
        wait_for(lambda: ask(f"{worker.url}/readyz").status == 200, 60, "ready after the broker's restart")
        send_and_wait(system, 16)
        memory = next((system.folder / "worker-0" / "logs").iterdir())
        before = memory.read_bytes()
        send_and_wait(system, 24)
        wait_for(lambda: memory.read_bytes() != before, NOTICED_SECONDS_MAX, "the ends are remembered")
        assert SUSPECTED not in worker.log_text()
        assert [estimated(worker, f"u{number}") for number in (0, 8, 16, 24)] == [650] * 4
