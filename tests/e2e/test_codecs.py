"""Whatever compression producers and topics have: facts are read, tables restored, the audit is clean."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import orjson

from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import SHARE, order
from tests.rig.codecs import CODECS, compress_topics, produce_compressed, stored_codecs
from tests.rig.system import CHECKOUT, System, Worker, ask

USERS = [f"user-{number}" for number in range(40)]


def profile(user: str) -> dict[str, Any]:
    """Return a fact about a user."""
    return {"schema": "user-fact/1", "kind": "user.profile", "user_id": user, "level": "basic"}


def send(system: System, codec: str, number: int) -> None:
    """Send a profile and a line of every user, and a record that cannot be used, through librdkafka."""
    broker, topics = system.settings.broker, system.topics
    profiles = [(user.encode(), orjson.dumps(profile(user))) for user in USERS]
    produce_compressed(broker, topics.user_log, codec, profiles)
    lines = [(f"pdd:{user}-{number}".encode(), orjson.dumps(order(user, number))) for user in USERS]
    produce_compressed(broker, topics.orders, codec, [*lines, (b"pdd:bad", b"{" + b" " * 2_000)])


def estimated(worker: Worker, users: Iterable[str]) -> set[int]:
    """Return what these users have, estimated."""
    return {ask(f"{worker.url}/v1/users/{user}/balance").body["estimated"] for user in users}


def restart(system: System, worker: Worker) -> Worker:
    """Stop the worker, and start one that has to restore its tables from the changelogs."""
    assert worker.stop() == 0
    again = system.start_worker()
    again.wait_ready()
    return again


def check_stored(system: System, topics: Iterable[str], codecs: set[int]) -> None:
    """Check the codecs of a topic's batches; 0 is none."""
    for topic in topics:
        stored = asyncio.run(stored_codecs(system.settings.broker, topic, system.settings.partitions))
        assert stored == codecs, topic


def test_a_life_in_every_codec(new_system: NewSystem) -> None:
    """Compressed by the producer, then by every topic; after the restart all of it is there, once.

    One system lives through all codecs, so that its tables are restored from a changelog that has them all.
    """
    system = new_system()
    worker = system.start_worker()
    worker.wait_ready()
    for number, codec in enumerate(CODECS):
        send(system, codec, number)
        system.wait_idle()
        assert estimated(worker, USERS) == {(number + 1) * SHARE}, codec
    topics = system.topics
    check_stored(system, [topics.orders], set(CODECS.values()))
    for number, codec in enumerate(CODECS, len(CODECS)):
        asyncio.run(compress_topics(system, codec))
        send(system, codec, number)
        system.wait_idle()
        assert estimated(worker, USERS) == {(number + 1) * SHARE}, codec
    sent = 2 * len(CODECS)
    worker = restart(system, worker)
    assert estimated(worker, USERS) == {sent * SHARE}
    send(system, "none", sent)
    system.wait_idle()
    assert estimated(worker, USERS) == {(sent + 1) * SHARE}
    audited = system.command("audit", url=worker.url)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    listed = system.command("dlq", "list", "--json")
    assert listed.stdout.count('"undecodable"') == sent + 1, listed.stdout + listed.stderr
    ours = [topics.user_log, topics.accounts.changelog, topics.order_lines.dead_letter, topics.events]
    check_stored(system, ours, {0, *CODECS.values()})


class TestWithoutTheLibrary:
    """Where the codec's library is missing: one sentence with the place, and exit code 78."""

    def test_a_source_record(self, new_system: NewSystem) -> None:
        """The worker ends with topic, partition, offset and codec, and the record is not lost."""
        codec = "snappy"
        system = new_system()
        system.send_orders([order("u1")])
        sent = [(b"pdd:u2-0", orjson.dumps(order("u2") | {"note": "x" * 1_000}))]
        produce_compressed(system.settings.broker, system.topics.orders, codec, sent)
        worker = system.start_worker(REBATE_TEST_APP="tests.rig.without_codecs")
        assert worker.wait_exit(60) == 78
        last = worker.log_text()
        assert f"the record at {system.topics.orders}/" in last
        assert f"Libraries for {codec} compression codec not found" in last
        assert "requirements-runtime.lock" in last
        again = system.start_worker()
        again.wait_ready()
        system.wait_idle()
        assert estimated(again, ["u1", "u2"]) == {SHARE}

    def test_a_changelog_and_the_doctor(self, new_system: NewSystem) -> None:
        """A restore ends with 78, and the doctor and other commands name what they cannot read."""
        system = new_system()
        asyncio.run(compress_topics(system, "zstd"))
        worker = system.start_worker()
        worker.wait_ready()
        send(system, "none", 0)
        system.wait_idle()
        assert worker.stop() == 0
        without = system.start_worker(REBATE_TEST_APP="tests.rig.without_codecs")
        assert without.wait_exit(60) == 78
        assert "Libraries for zstd compression codec not found" in without.log_text()
        found = self.command(system, "doctor")
        assert found.returncode == 1
        assert "records compressed with snappy, lz4, zstd cannot be read" in found.stdout
        assert self.command(system, "audit", "--no-http").returncode == 78

    @staticmethod
    def command(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `rebate` without the library."""
        return subprocess.run(
            [sys.executable, "-m", "tests.rig.without_codecs", *arguments],
            cwd=CHECKOUT,
            env=system._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
