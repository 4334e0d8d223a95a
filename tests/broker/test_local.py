"""LocalKafka with the real Apache Kafka."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from rebate_app.broker import BrokerError, LocalKafka, free_port
from rebate_app.broker.probe import ask
from tests.broker.records import read, topics, write
from tests.broker.stand_ins import eventually, is_alive
from tests.kafka_fixture import JARS_HOME, guarded, start_on_a_free_port

VALUES = [b"one", b"two", b"three"]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """One broker for this module; each test leaves it running."""
    data_dir = tmp_path_factory.mktemp("local kafka \\ with a name that has to be quoted")
    with guarded(data_dir):
        broker = start_on_a_free_port(data_dir)
        try:
            yield broker
        finally:
            broker.stop()


@pytest.mark.kafka
class TestStartAndStop:
    """The same folder is the same Kafka, however the last one ended."""

    def test_when_start_returns_a_topic_can_be_made_and_a_transaction_committed(
        self, local: LocalKafka
    ) -> None:
        """It is ready when it answers, not when its process is there."""
        write(local.address, "ready", VALUES)
        assert read(local.address, "ready", 3) == VALUES

    def test_two_brokers_at_once_share_nothing(self, local: LocalKafka, kafka: str) -> None:
        """Another folder and port is another cluster: no record of one is in the other."""
        write(local.address, "mine", VALUES)
        assert "mine" in topics(local.address)
        assert "mine" not in topics(kafka)

    def test_a_broker_in_order_ended_keeps_every_record(self, local: LocalKafka) -> None:
        """Stop, start: the same cluster with the same records; stop returns when it has gone."""
        write(local.address, "stopped", VALUES)
        before, pid = ask(local.port), local.status().pid
        assert local.stop() is True
        assert pid is not None
        assert not is_alive(pid)
        assert ask(local.port) is None
        assert local.stop() is False
        assert local.status().running is False
        assert local.start() is True
        assert read(local.address, "stopped", 3) == VALUES
        assert ask(local.port) == before

    def test_a_broker_that_was_killed_starts_again_with_every_acknowledged_record(
        self, local: LocalKafka
    ) -> None:
        """Kill -9 leaves a pid file and lock files behind, and they are in nobody's way."""
        write(local.address, "killed", VALUES)
        pid = local.status().pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: not is_alive(pid))
        assert local.status().running is False
        assert local.start() is True
        assert read(local.address, "killed", 3) == VALUES

    def test_starting_what_runs_changes_nothing(self, local: LocalKafka) -> None:
        """A second start of the same folder finds the first: False, the same process."""
        before = local.status()
        assert local.start() is False
        assert local.status() == before
        assert before.running
        assert before.answering
        assert before.address == local.address

    def test_a_folder_that_runs_on_one_port_is_not_started_on_another(self, local: LocalKafka) -> None:
        """One sentence says where it runs, and it goes on."""
        other = LocalKafka(local.data_dir, free_port(), jars_home=JARS_HOME)
        with pytest.raises(BrokerError, match=rf"runs already, on 127.0.0.1:{local.port}"):
            other.start()
        assert other.status().address == local.address

    def test_its_port_is_taken_by_another_broker(self, local: LocalKafka, tmp_path: Path) -> None:
        """One sentence names the port and the ways out; nothing was started or made."""
        other = LocalKafka(tmp_path, local.port, jars_home=JARS_HOME)
        with (
            guarded(tmp_path),
            pytest.raises(BrokerError, match=rf"Port {local.port} of 127.0.0.1 is taken .*REBATE_BROKER"),
        ):
            other.start()
        assert not other.status().running
        assert not (tmp_path / "data").exists()

    def test_its_log_can_be_read(self, local: LocalKafka) -> None:
        """The log is one text file that tells of the start."""
        assert "Kafka Server started" in local.status().log.read_text(encoding="utf-8")

    def test_it_listens_on_the_loopback_interface_only(self, local: LocalKafka) -> None:
        """Every listener in its configuration is on 127.0.0.1."""
        text = (local.data_dir / "server.properties").read_text(encoding="utf-8")
        line = next(line for line in text.splitlines() if line.startswith("listeners="))
        hosts = [listener.split("//")[1].split(":")[0] for listener in line.split("=")[1].split(",")]
        assert hosts == ["127.0.0.1", "127.0.0.1"]


@pytest.mark.kafka
def test_a_controller_port_that_was_snatched_is_exchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka that finds its controller's port taken is launched again with another one."""
    with socket.create_server(("127.0.0.1", 0)) as snatcher, guarded(tmp_path):
        ports = [snatcher.getsockname()[1]]
        monkeypatch.setattr(
            "rebate_app.broker.local.free_port", lambda but: ports.pop() if ports else free_port(but=but)
        )
        with LocalKafka(tmp_path, free_port(), jars_home=JARS_HOME) as broker:
            assert ports == []
            assert broker.status().answering
        assert not broker.status().running
