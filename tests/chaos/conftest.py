"""A broker of its own: chaos stops it, and short sessions need its permission."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rebate_app.broker import LocalKafka
from tests.kafka_fixture import guarded, start_on_a_free_port

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
