"""Three nodes: the leader is killed under load, and too few replicas are in sync.

See docs/spec/exactness.md#crash-points, row 11.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Self

import pytest

from rebate_app.broker import LocalCluster
from rebate_app.settings import EXIT_TRY_AGAIN
from rebate_app.streams.kafka.clients import PatientAdmin, started
from tests.chaos.checking import sent_twice
from tests.chaos.conftest import FULL
from tests.e2e.conftest import RULES
from tests.e2e.test_workers import SHARE, order
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

PARTS, PART = 40, 10
SECONDS_MAX = 120.0
DEADLINE_S = 6
REPLICATED = {
    "REBATE_REPLICATION_FACTOR": "3",
    "REBATE_MIN_INSYNC_REPLICAS": "2",
    "REBATE_PARTITIONS": "2",
    "REBATE_TRANSACTION_TIMEOUT": "4",
}

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(not FULL, reason="three nodes beside the other brokers: with `make chaos`"),
]


def leader_of(cluster: LocalCluster, topic: str) -> int:
    """Return the node that leads partition 0."""

    async def look() -> int:
        async with started(PatientAdmin(bootstrap_servers=cluster.address)) as admin:
            (described,) = await admin.describe_topics([topic])
            return next(int(each["leader"]) for each in described["partitions"] if each["partition"] == 0)

    return asyncio.run(look())


def kill(cluster: LocalCluster, number: int) -> None:
    """Kill -9 of a node."""
    os.kill(cluster.pid(number) or 0, signal.SIGKILL)
    wait_for(lambda: cluster.pid(number) is None, 30, "the node is gone")


def check(system: System, worker: Worker, users: int) -> None:
    """All is there, once, and as an independent reading has it."""
    system.wait_idle()
    worker.wait_ready()
    answers = [ask(f"{worker.url}/v1/users/u{number}/balance").body for number in range(0, users, 13)]
    assert [body["estimated"] for body in answers] == [SHARE] * len(answers)
    audited = system.command("audit", "--json", url=worker.url)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert sent_twice(system) == {}


class Importing:
    """Sends orders in parts until the block ends, each until it is acknowledged; `users` are done."""

    def __init__(self, system: System) -> None:
        self.users = 0
        self._system = system
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._enough.is_set():
            part = [order(f"u{number}") for number in range(self.users, self.users + PART)]
            try:
                self._system.send_orders(part)
            except Exception as error:  # noqa: BLE001 - a repeat does no harm, whatever it was
                print(f"sent again: {error!r}")
                continue
            self.users += PART

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join()


def _waits(worker: Worker) -> bool:
    """Whether it has met the trouble, at a batch or at the end of what the last worker left open."""
    log = worker.log_text()
    return "begins again at the fence" in log or "cannot open yet" in log


def test_a_cluster_loses_nodes(cluster: LocalCluster, topic_prefix: str, tmp_path: Path) -> None:
    """Leaders killed: it goes on. ISR below its minimum: it waits, then goes on; past the deadline 75."""
    all_in_sync = REPLICATED | {"REBATE_MIN_INSYNC_REPLICAS": "3"}
    with (
        System(cluster.address, topic_prefix, tmp_path / "a", [RULES], **REPLICATED) as two,
        System(cluster.address, f"all-{topic_prefix}", tmp_path / "b", [RULES], **all_in_sync) as three,
    ):
        three.send_orders(order(f"u{number}") for number in range(PART))
        worker = two.start_worker()
        worker.wait_ready()
        with Importing(two) as importing:
            wait_for(lambda: importing.users >= PART * PARTS, SECONDS_MAX, "an import that is under way")
            gone = leader_of(cluster, two.topics.accounts.changelog)
            kill(cluster, gone)
            before = importing.users
            wait_for(lambda: importing.users >= before + PART * PARTS, SECONDS_MAX, "it goes on without")
        check(two, worker, importing.users)
        assert worker.process.poll() is None
        print(f"leader {gone} killed at {before} of {importing.users} orders")

        hasty = three.start_worker(REBATE_BROKER_DEADLINE=str(DEADLINE_S))
        assert hasty.wait_exit(SECONDS_MAX) == EXIT_TRY_AGAIN, hasty.log_text()[-3000:]
        assert f"has failed us for {DEADLINE_S} s" in hasty.log_text()
        patient = three.start_worker()
        wait_for(lambda: _waits(patient), SECONDS_MAX, "it waits")
        cluster.start_node(gone)
        check(three, patient, PART)
        assert patient.process.poll() is None
