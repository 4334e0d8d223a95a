"""LocalCluster: three real nodes, of which one may die."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from pathlib import Path

import pytest

from rebate_app.broker import BrokerError, LocalCluster, free_port
from tests.broker.records import read, topics, write
from tests.broker.stand_ins import DIES, eventually, java
from tests.kafka_fixture import JARS_HOME, guarded

VALUES = [b"one", b"two"]


def three_ports() -> list[int]:
    """Return three different free ports."""
    ports: set[int] = set()
    while len(ports) < 3:
        ports.add(free_port(but=frozenset(ports)))
    return sorted(ports)


@pytest.mark.kafka
def test_a_cluster_goes_on_without_one_of_its_nodes(tmp_path: Path) -> None:
    """With one of three killed, what was acknowledged is read and more is acknowledged; it may come back."""
    with ExitStack() as ends:
        for number in (1, 2, 3):
            ends.enter_context(guarded(tmp_path / f"node-{number}"))
        cluster = ends.enter_context(LocalCluster(tmp_path, three_ports(), jars_home=JARS_HOME))
        write(cluster.address, "before", VALUES)
        pid = cluster.pid(3)
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: cluster.pid(3) is None)
        for _ in range(4):  # its name is still told for seconds, so some of them meet it
            assert "before" in topics(cluster.address)
        write(cluster.address, "after", VALUES)
        assert read(cluster.address, "before", 2) == VALUES
        assert read(cluster.address, "after", 2) == VALUES
        cluster.start_node(3)
        assert cluster.pid(3) not in (None, pid)
        assert cluster.stop_node(3) is True
        assert cluster.stop_node(3) is False
    assert [cluster.pid(number) for number in (1, 2, 3)] == [None, None, None]


def test_a_cluster_that_does_not_start_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One node that dies at once ends the others too."""
    monkeypatch.setenv("JAVA_HOME", str(java(tmp_path / "java", kafka=DIES)))
    cluster = LocalCluster(tmp_path / "data", three_ports(), jars_home=JARS_HOME)
    with pytest.raises(BrokerError, match="Disk is full"):
        cluster.start()
    assert [cluster.pid(number) for number in (1, 2, 3)] == [None, None, None]
