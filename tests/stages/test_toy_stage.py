"""A stage follows from its row: topics, rights, dead letters, lag, audit listing, HTTP, and its state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from rebate_app.audit.kafka_logs import KafkaLogs
from rebate_app.cli.acls import IMPORTER, OPERATOR, WORKER, grants
from rebate_app.cli.dlq_actions import source_of
from rebate_app.cli.lag_command import read_lags
from rebate_app.dead_letters.service import DeadLetterService, Filter
from rebate_app.domain.faults import UNDECODABLE
from rebate_app.settings import load_settings
from rebate_app.wire import stages
from rebate_app.wire.topics import Topics
from tests.e2e.conftest import RULES
from tests.kafka_fixture import SHORT_SESSION
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for
from tests.stages.toy_stage import VISIT_COUNT, VISITS, VisitCount

SECONDS_MAX = 120.0
VALUES = [b"visit", b"visit", b"no visit", b"visit"]


@pytest.fixture(autouse=True)
def toy_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the table of stages contain the toy's row."""
    monkeypatch.setattr(stages, "STAGES", (*stages.STAGES, VISITS))


class TestRow:
    """What follows from the row alone."""

    def test_topics_and_their_configuration(self) -> None:
        """The four topics are created and verified, each behind prefix or scope."""
        settings = load_settings({"REBATE_TOPIC_PREFIX": "t-"})
        topics = Topics.of(settings)
        visits = topics.stage(VISITS)
        assert (visits.source, visits.changelog) == ("t-visit_topic", "t-rebate-visits-changelog")
        specs = {spec.name: spec for spec in topics.specs(settings)}
        assert {visits.source, visits.dead_letter, visits.parked, visits.changelog} <= specs.keys()
        assert specs[visits.changelog].config["cleanup.policy"] == "compact"
        assert topics.dead_letters[visits.dead_letter] == visits.source
        assert visits.dead_letter in topics.control

    def test_rights(self) -> None:
        """Workers and operators may write to the source; importers only where the row says so."""
        topics = Topics.of(load_settings({}))

        def writable(role: str) -> set[str]:
            found = [grant for grant in grants(role, topics, "rebate") if "Write" in grant.operations]
            return {name for grant in found if grant.kind == "topic" for name in grant.names}

        assert all("visit_topic" in writable(role) for role in (WORKER, OPERATOR))
        assert writable(IMPORTER) == {"order_topic", "rebate-user-log", "rebate-audit-trail"}

    def test_commands_know_its_name(self) -> None:
        """`rebate dlq --topic` takes the stage's name, its topic, and the topic without prefix."""
        settings = load_settings({"REBATE_TOPIC_PREFIX": "t-"})
        assert {source_of(settings, name) for name in ("visits", "visit_topic", "t-visit_topic")} == {
            "t-visit_topic"
        }


class TestOnKafka:
    """A real worker with three stages."""

    @pytest.fixture
    def system(self, kafka: str, topic_prefix: str, tmp_path: Path) -> Iterator[System]:
        """Give a system whose topics include the toy's."""
        with System(kafka, topic_prefix, tmp_path, [RULES], **SHORT_SESSION) as system:
            yield system

    def test_state_dead_letters_lag_audit_and_http(self, system: System) -> None:
        """Visits are counted exactly once over a restart; the rest of the house finds them by the row."""
        visits = system.topics.stage(VISITS)
        worker = system.start_worker(REBATE_TEST_APP="tests.stages.toy_app")
        worker.wait_ready()
        system.produce(visits.source, [(b"ann", value) for value in VALUES])
        self.settle(system)
        worker.kill()
        worker = system.start_worker(REBATE_TEST_APP="tests.stages.toy_app")
        worker.wait_ready()
        system.produce(visits.source, [(b"ann", b"visit")])
        self.settle(system)
        counts = [each.value for each in system.read(visits.changelog) if each.key == VISIT_COUNT.key("ann")]
        assert VISIT_COUNT.decode(counts[-1], b"ann") == VisitCount(count=4)
        assert asyncio.run(self.dead_letters(system)) == [(UNDECODABLE, b"no visit")]
        assert asyncio.run(self.audited(system)) == [b"visit", b"visit", b"no visit", b"visit", b"visit"]
        self.check_http(worker, visits.source)

    def settle(self, system: System) -> None:
        """Wait until the lag of the toy's source is 0, as `rebate lag` computes it."""
        source = system.topics.stage(VISITS).source

        def is_done() -> bool:
            lags = [each for each in asyncio.run(read_lags(system.settings)) if each.topic == source]
            return len(lags) == system.settings.partitions and not any(each.lag for each in lags)

        wait_for(is_done, SECONDS_MAX, f"no lag on {source}")

    async def dead_letters(self, system: System) -> list[tuple[str, bytes | None]]:
        """Return reason and value of the dead letters of the toy's source."""
        service = DeadLetterService(system.settings)
        try:
            wanted = Filter(topic=system.topics.stage(VISITS).source, open_only=True)
            return [(letter.reason, letter.value) async for letter, _ in service.letters(wanted)]
        finally:
            await service.close()

    async def audited(self, system: System) -> list[bytes | None]:
        """Return the values that the audit's logs give of the toy's source."""
        source = system.topics.stage(VISITS).source
        values: list[bytes | None] = []
        async with KafkaLogs(system.settings) as logs:
            for partition in range(system.settings.partitions):
                end = await logs.stable_end(source, partition)
                async for records in logs.read(source, partition, 0, end):
                    values += [record.value for record in records]
        return values

    def check_http(self, worker: Worker, source: str) -> None:
        """Find in the web room its partitions, dead letters and parked keys."""
        workers = ask(f"{worker.url}/v1/workers").body
        assert len(workers["items"][0]["partitions"][source]) > 0
        letters = ask(f"{worker.url}/v1/dead-letters?topic={source}", seconds=30).body
        assert [each["reason"] for each in letters["items"]] == [UNDECODABLE]
        parked = ask(f"{worker.url}/v1/parked-keys", seconds=30)
        assert (parked.status, parked.body["items"]) == (200, [])
