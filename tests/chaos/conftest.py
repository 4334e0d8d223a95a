"""A broker of its own: chaos stops it, and short sessions need its permission."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from rebate_app.broker import LocalCluster, LocalKafka
from tests.broker.test_cluster import three_ports
from tests.kafka_fixture import JARS_HOME, guarded, start_on_a_free_port

FULL = os.environ.get("REBATE_CHAOS") == "full"
ROUNDS = int(os.environ.get("ROUNDS", "0"))
SESSION_S = 3
FAST = {
    "REBATE_SESSION_TIMEOUT": str(SESSION_S),
    "REBATE_TRANSACTION_TIMEOUT": "2.5",
    "REBATE_PARTITIONS": "2",
}


@pytest.fixture(scope="session")
def chaos_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """Return a real Apache Kafka that accepts sessions of seconds."""
    data_dir = tmp_path_factory.mktemp("chaos-kafka")
    with guarded(data_dir):
        broker = start_on_a_free_port(data_dir, {"group.min.session.timeout.ms": "1000"})
        try:
            yield broker
        finally:
            broker.stop()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """Give three nodes that end with the test."""
    with ExitStack() as ends:
        for number in (1, 2, 3):
            ends.enter_context(guarded(tmp_path / "nodes" / f"node-{number}"))
        yield ends.enter_context(LocalCluster(tmp_path / "nodes", three_ports(), jars_home=JARS_HOME))
