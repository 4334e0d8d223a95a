"""The doctor on a broker whose disk is nearly full, and on three nodes with topics of one replica."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka.admin import NewTopic

from rebate_app.broker import LocalCluster
from rebate_app.settings import EXIT_CONFIGURATION
from rebate_app.streams.kafka.admin import describe_topics
from rebate_app.streams.kafka.clients import PatientAdmin, started
from tests.chaos.conftest import cluster
from tests.doctor.test_on_kafka import findings, state
from tests.e2e.conftest import RULES
from tests.kafka_fixture import guarded, start_on_a_free_port
from tests.rig.system import System

__all__ = ["cluster"]
pytestmark = pytest.mark.kafka
MIB = 1 << 20
DISK_MIB = 700


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a disk of DISK_MIB in memory on a folder."""
    folder.mkdir()
    size = f"size={DISK_MIB}m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip(f"a disk in memory cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_nearly_full(tmp_path: Path, topic_prefix: str) -> None:
    """Less than 1 GiB is a warning, less than 128 MiB a failure, each with broker and folder."""
    folder = tmp_path / "disk"
    with small_disk(folder), guarded(folder / "broker"):
        broker = start_on_a_free_port(folder / "broker")
        try:
            with System(broker.address, topic_prefix, tmp_path / "system", [RULES]) as system:
                found = findings(system)
                assert state(found, "broker disks") == "warn"
                assert f"broker 1, {folder}" in found["broker disks"][0]["says"]
                usage = os.statvfs(folder)
                with (folder / "filler").open("wb") as filler:
                    os.posix_fallocate(filler.fileno(), 0, usage.f_bavail * usage.f_frsize - 50 * MIB)
                found = findings(system, code=1)
                assert state(found, "broker disks") == "fail"
                assert "is full: " in found["broker disks"][0]["says"]
                (folder / "filler").unlink()
        finally:
            broker.stop()


async def make_with_one_replica(broker: str, topic: str) -> None:
    """Create a topic as the version before did by default."""
    async with started(PatientAdmin(bootstrap_servers=broker)) as admin:
        await admin.create_topics([NewTopic(topic, 4, 1, topic_configs={"min.insync.replicas": "1"})])


async def replication(system: System) -> dict[str, tuple[int, str | None]]:
    """Return the replicas and min.insync.replicas of every topic of a system."""
    async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
        found = await describe_topics(admin, system.topics.specs(system.settings))
    return {
        name: (topic.partitions[0].replicas, (topic.config or {}).get("min.insync.replicas"))
        for name, topic in found.items()
    }


def test_replicas_on_three_nodes(cluster: LocalCluster, topic_prefix: str, tmp_path: Path) -> None:
    """Three replicas and two in sync by default; one warns where it exists, and has to be asked for else."""
    old = f"old-{topic_prefix}order_topic"
    asyncio.run(make_with_one_replica(cluster.address, old))
    with System(cluster.address, f"old-{topic_prefix}", tmp_path / "old", [RULES]) as system:
        found = asyncio.run(replication(system))
        assert found.pop(old) == (1, "1")
        assert set(found.values()) == {(3, "2")}
        result = findings(system)
        assert f"{old} are on one of 3 brokers only" in result["replicas"][0]["says"]
        assert "has 1 replica, it should have 3" in result["topics"][0]["says"]
        assert not any("insync" in each["do"] for each in result["topics"])  # of one replica: no writes
        verified = system.command("topics", "verify")
        assert (verified.returncode, "has 1 replica" in verified.stderr) == (0, True), verified.stderr
    explicit = {"REBATE_REPLICATION_FACTOR": "1"}
    with System(cluster.address, f"one-{topic_prefix}", tmp_path / "one", [RULES], **explicit) as system:
        assert set(asyncio.run(replication(system)).values()) == {(1, "1")}
        assert state(findings(system), "replicas") == "warn"
        cluster.stop_node(3)
        system._environment["REBATE_TOPIC_PREFIX"] = f"new-{topic_prefix}"
        del system._environment["REBATE_REPLICATION_FACTOR"]
        refused = system.command("topics", "create")
        assert refused.returncode == EXIT_CONFIGURATION
        assert "only 2 of 3 brokers are there for 3 replicas" in refused.stderr
        system._environment["REBATE_REPLICATION_FACTOR"] = "2"
        assert system.command("topics", "create").returncode == 0
