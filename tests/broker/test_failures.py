"""A broker that does not start says why in one sentence and leaves nothing running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rebate_app.broker import BrokerBusyError, BrokerError, BrokerSetupError, LocalKafka, free_port
from rebate_app.broker.locks import held
from rebate_app.broker.member import pid_file
from rebate_app.broker.process import birth
from tests.broker.stand_ins import DEAF, DIES, DIES_SILENTLY, eventually, is_alive, java
from tests.kafka_fixture import CHECKOUT, JARS_HOME

FEW_SECONDS = 1.0


@pytest.fixture
def broker(tmp_path: Path) -> LocalKafka:
    """Return a broker that does not wait long."""
    return LocalKafka(
        tmp_path / "data",
        free_port(),
        jars_home=JARS_HOME,
        start_seconds_max=FEW_SECONDS,
        stop_seconds_max=FEW_SECONDS,
    )


def use_java(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Make the stand-in the Java that is found first."""
    monkeypatch.setenv("JAVA_HOME", str(home))


class TestNotStarting:
    """Every way not to start ends in a BrokerError and with no process."""

    def test_one_that_dies_is_quoted(
        self, broker: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The last error of its log, without what came before, and where the log is."""
        use_java(monkeypatch, java(tmp_path / "java", kafka=DIES))
        with pytest.raises(BrokerError, match=r"ended while it started: Disk is full .*See .*server.log"):
            broker.start()
        assert not pid_file(broker.data_dir).exists()

    def test_an_old_error_in_the_log_is_not_quoted_again(
        self, broker: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What the log said before this start is not why this start failed."""
        use_java(monkeypatch, java(tmp_path / "java", kafka=DIES_SILENTLY))
        (broker.data_dir / "logs").mkdir(parents=True)
        (broker.data_dir / "logs" / "server.log").write_text("x ERROR of yesterday\n", encoding="utf-8")
        with pytest.raises(BrokerError, match="it logged no error"):
            broker.start()

    def test_one_that_never_answers_is_ended(
        self, broker: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The wait is bounded, and even a process that is deaf to SIGTERM does not stay."""
        use_java(monkeypatch, java(tmp_path / "java", kafka=DEAF))
        with pytest.raises(BrokerError, match=r"did not answer on 127.0.0.1:\d+ within 1 s"):
            broker.start()
        assert broker.status().running is False

    def test_a_folder_that_cannot_be_formatted_is_named(
        self, broker: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A format that fails leaves no half-made storage: the next start formats anew."""
        use_java(monkeypatch, java(tmp_path / "java", format="print('no space left'); sys.exit(1)"))
        with pytest.raises(BrokerSetupError, match=r"cannot use the folder .*: no space left"):
            broker.start()
        assert not (broker.data_dir / "data").exists()

    def test_a_folder_that_is_a_file_is_named(self, broker: LocalKafka) -> None:
        """A path that cannot be a folder is one sentence, not a traceback."""
        broker.data_dir.write_text("I am a file", encoding="utf-8")
        with pytest.raises(BrokerSetupError, match="cannot be written"):
            broker.start()
        assert broker.stop() is False

    def test_a_configuration_that_cannot_be_written_is_named(
        self, broker: LocalKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The same inside the folder."""
        use_java(monkeypatch, java(tmp_path / "java"))
        broker.data_dir.mkdir()
        (broker.data_dir / "logs").write_text("I am a file", encoding="utf-8")
        with pytest.raises(BrokerSetupError, match="cannot be written"):
            broker.start()

    def test_without_java_it_says_what_to_install(
        self, broker: LocalKafka, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An empty PATH: Java, its version, how to get it, and REBATE_BROKER are in the sentence."""
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv("JAVA_HOME", raising=False)
        with pytest.raises(BrokerSetupError, match=r"Java 17 or newer.*install it.*REBATE_BROKER"):
            broker.start()


class TestTakingTurns:
    """Processes that want the same folder wait for each other, but not for ever."""

    def test_a_folder_that_is_busy_for_too_long(self, tmp_path: Path) -> None:
        """Try again: a sentence with exit code 75, after the bound."""
        with held(tmp_path / "lock", wait_seconds_max=0), pytest.raises(BrokerBusyError, match="try again"):  # noqa: SIM117
            with held(tmp_path / "lock", wait_seconds_max=0.1):
                pytest.fail("two hold the same lock")

    def test_who_waits_gets_it_when_the_other_is_done(self, tmp_path: Path) -> None:
        """Given back at the end of the block, and then it is the other's."""
        order: list[str] = []

        def other() -> None:
            with held(tmp_path / "lock", wait_seconds_max=30):
                order.append("second")

        thread = threading.Thread(target=other)
        with held(tmp_path / "lock", wait_seconds_max=0):
            thread.start()
            order.append("first")
        thread.join(timeout=30)
        assert order == ["first", "second"]

    def test_ctrl_c_while_it_starts_ends_what_was_started(self, tmp_path: Path) -> None:
        """An interrupted `broker start` leaves no broker and no pid file behind."""
        home = java(tmp_path / "java")
        data = tmp_path / "data"
        command = [sys.executable, "-m", "rebate_app.cli", "broker", "start", "--port", str(free_port())]
        starting = subprocess.Popen(
            [*command, "--data", str(data), "--jars", str(JARS_HOME)],
            cwd=CHECKOUT,
            env={**os.environ, "JAVA_HOME": str(home)},
            stderr=subprocess.PIPE,
        )
        eventually(pid_file(data).exists)
        pid = int(pid_file(data).read_text(encoding="utf-8").split(":")[1].split(",")[0])
        assert is_alive(pid)
        starting.send_signal(signal.SIGINT)
        starting.communicate(timeout=60)
        assert starting.returncode != 0
        assert not is_alive(pid)
        assert not pid_file(data).exists()

    def test_a_pid_that_is_somebody_elses_now_is_left_alone(self, broker: LocalKafka) -> None:
        """A pid file of another age that names a live process: not ours, so not running and not ended."""
        broker.data_dir.mkdir()
        mine = os.getpid()
        assert birth(mine) is not None
        pid_file(broker.data_dir).write_text(
            f'{{"pid": {mine}, "birth": "another boot/1", "port": 1}}', encoding="utf-8"
        )
        assert broker.status().running is False
        assert broker.stop() is False
        assert not pid_file(broker.data_dir).exists()
