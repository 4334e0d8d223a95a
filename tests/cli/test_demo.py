"""`make run`: one command shows balances, a second run imports nothing, and the end leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from rebate_app.broker import BrokerStatus, LocalKafka, free_port
from rebate_app.cli.terminal import money
from tests.cli.walkthrough import BUCKETS, CHECKOUT, USERS, oracle
from tests.rig.waiting import wait_for

READY_SECONDS_MAX = 120.0
END_SECONDS_MAX = 45.0
DEMO = (sys.executable, "-m", "rebate_app.cli.demo")
READY_TEXT = "Ctrl-C ends it"
STATES = ("review", "approved", "sending", "paid")


class Demo:
    """`make run` as a process, with a data folder and ports of its own."""

    def __init__(self, datadir: Path, *, broker: str | None = None, arguments: tuple[str, ...] = ()) -> None:
        self.datadir = datadir
        self.arguments = arguments
        self.web_port = free_port()
        self.broker_port = free_port()
        self.lines: list[str] = []
        self._environment = os.environ | {
            "REBATE_DATADIR": str(datadir),
            "REBATE_WEB_PORT": str(self.web_port),
            "REBATE_PARTITIONS": "2",
        }
        self._environment.pop("REBATE_BROKER", None)
        if broker is not None:
            self._environment["REBATE_BROKER"] = broker

    def start(self) -> Self:
        """Start it; what it says is kept."""
        self.process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "rebate_app.cli.demo",
                "--broker-port",
                str(self.broker_port),
                *self.arguments,
            ],
            cwd=CHECKOUT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        return self

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        """Return all that it has said."""
        return "\n".join(self.lines)

    def wait_ready(self) -> None:
        """Return when the balances are printed."""
        self.wait_for(lambda: READY_TEXT in self.output, "the balances are printed")

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        """Return when that is so; a demo that ends before it fails the test, with all that it said."""

        def is_shown() -> bool:
            assert self.process.poll() is None, "it has ended"
            return condition()

        try:
            wait_for(is_shown, READY_SECONDS_MAX, what)
        except AssertionError as error:
            error.add_note(self.output)
            raise

    def end(self, number: signal.Signals) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(END_SECONDS_MAX)
        self._reader.join(END_SECONDS_MAX)
        return code

    def balances(self) -> dict[str, dict[str, str]]:
        """Return what the printed table says, in yuan."""
        header = next(line.split() for line in self.lines if line.startswith("user "))
        rows = [line.split() for line in self.lines if line.split() and line.split()[0] in USERS]
        return {row[0]: {name: row[header.index(name)] for name in BUCKETS} for row in rows}

    def ask(self, path: str) -> Any:
        """Ask its worker."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.web_port}{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def worker_pid(self) -> int:
        """Return the process id of its worker."""
        command = ["pgrep", "-P", str(self.process.pid), "-f", "faust -A rebate_app worker"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    def simulator_pids(self) -> list[int]:
        """Return the process ids of its simulators."""
        command = ["pgrep", "-P", str(self.process.pid), "-f", "examples.simulators"]
        return list(
            map(int, subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
        )

    def kafka(self) -> BrokerStatus:
        """Look at its broker."""
        return LocalKafka(self.datadir / "broker", self.broker_port).status()

    def nothing_is_left(self) -> bool:
        """Return whether neither worker nor broker answers at its port, and no broker runs in its folder."""
        return not self.kafka().running and not any(map(_answers, (self.web_port, self.broker_port)))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def expected_balances() -> dict[str, dict[str, str]]:
    """Return what the oracle has for everybody now."""
    judge, now = oracle(), datetime.now(UTC)
    balances = {user: judge.balance(user, now) for user in USERS}
    return {user: {name: money(balance[name]) for name in BUCKETS} for user, balance in balances.items()}


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[list[Demo]]:
    """Give a list of demos that are ended with the test, however it ends."""
    started: list[Demo] = []
    yield started
    for demo in started:
        if demo.process.poll() is None:
            demo.end(signal.SIGTERM)


@pytest.mark.kafka
class TestWithItsOwnBroker:
    """Everything from one command."""

    def test_balances_the_same_again_and_nothing_left(self, demos: list[Demo], tmp_path: Path) -> None:
        """Table and HTTP have what the oracle has; the second run imports nothing; both leave no process."""
        demo = Demo(tmp_path)
        for number, expected in ((signal.SIGINT, "Imported"), (signal.SIGTERM, "nothing is imported")):
            demo.lines.clear()
            demos.append(demo.start())
            demo.wait_ready()
            assert expected in demo.output
            assert demo.balances() == expected_balances()
            assert len(demo.ask("/v1/attributions?unbound=true")["items"]) == 1
            assert demo.end(number) == 0
            assert demo.nothing_is_left(), demo.output

    def test_killed_it_leaves_no_process_and_loses_nothing(self, demos: list[Demo], tmp_path: Path) -> None:
        """Killed while it works: worker and broker are ended for it, and the next run is right."""
        demo = Demo(tmp_path)
        demos.append(demo.start())
        demo.wait_for(lambda: _answers(demo.web_port), "its worker answers")
        demo.end(signal.SIGKILL)
        wait_for(demo.nothing_is_left, END_SECONDS_MAX, "worker and broker are ended")
        demo.lines.clear()
        demo.start().wait_ready()
        assert demo.balances() == expected_balances()
        assert demo.end(signal.SIGINT) == 0
        assert demo.nothing_is_left()

    def test_ended_before_it_has_begun_it_leaves_nothing_too(self, demos: list[Demo], tmp_path: Path) -> None:
        """A signal that comes while the broker is starting ends the broker, and it is no error."""
        demo = Demo(tmp_path)
        demos.append(demo.start())
        demo.wait_for(lambda: demo.kafka().running, "its broker has a process")
        assert demo.end(signal.SIGTERM) == 0
        assert demo.nothing_is_left(), demo.output
        assert "Traceback" not in demo.output


@pytest.mark.kafka
class TestWithAGivenBroker:
    """REBATE_BROKER is somebody else's."""

    def test_it_is_used_and_left_running(
        self, demos: list[Demo], tmp_path: Path, kafka: str, topic_prefix: str
    ) -> None:
        """No broker is started, and the given one answers afterwards."""
        demo = Demo(tmp_path, broker=kafka)
        demos.append(demo.start())
        demo.wait_ready()
        assert "Apache Kafka" not in demo.output
        assert demo.balances() == expected_balances()
        assert demo.end(signal.SIGINT) == 0
        assert _answers(int(kafka.rpartition(":")[2]))
        assert not _answers(demo.web_port)

    def test_a_worker_that_dies_is_told_with_its_last_words(
        self, demos: list[Demo], tmp_path: Path, kafka: str, topic_prefix: str
    ) -> None:
        """The demonstration does not sit there without a worker: it says how it ended, and ends."""
        demo = Demo(tmp_path, broker=kafka)
        demos.append(demo.start())
        demo.wait_ready()
        os.kill(demo.worker_pid(), signal.SIGKILL)
        assert demo.process.wait(END_SECONDS_MAX) == 70
        demo._reader.join(END_SECONDS_MAX)
        assert "The worker was killed by signal 9." in demo.output
        assert str(tmp_path / "worker.log") in demo.output
        assert "Traceback" not in demo.output


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.kafka
class TestTour:
    """the tour of `make run`: a simulated network and payment service."""

    def test_from_a_fetched_order_to_a_paid_withdrawal(
        self, demos: list[Demo], tmp_path: Path, kafka: str, topic_prefix: str
    ) -> None:
        """Everything that `make run` shows, then orders and a payment; again; and no process is left."""
        demo = Demo(tmp_path, broker=kafka, arguments=("--tour",))
        for number in (signal.SIGINT, signal.SIGKILL):
            demo.lines.clear()
            demos.append(demo.start())
            demo.wait_ready()
            assert demo.balances() == expected_balances()
            assert "nothing was tried against real ones" in demo.output
            states = [words[1] for words in map(str.split, demo.lines) if words and words[0].startswith("20")]
            assert [state for state in states if state != "requested"] == list(STATES)
            newest = demo.ask("/v1/users/visitor/withdrawals?limit=1")["items"][0]
            assert (newest["state"], newest["amount"], newest["net"]) == ("paid", 2_000, 1_980)
            assert demo.ask("/v1/users/visitor/balance")["available"] == 0
            assert "Some of the users whose orders were fetched:" in demo.output
            pids = demo.simulator_pids()
            assert len(pids) == 2
            code = demo.end(number)
            assert code in (0, -signal.SIGKILL)
            wait_for(lambda: not any(map(_runs, pids)), END_SECONDS_MAX, "the simulators are ended")  # noqa: B023
            wait_for(lambda: not _answers(demo.web_port), END_SECONDS_MAX, "the worker is ended")


class TestRefusal:
    """What it does not even begin."""

    def test_a_taken_web_port_is_one_sentence(self, demos: list[Demo], tmp_path: Path) -> None:
        """It names the port and what to do; nothing was started."""
        demo = Demo(tmp_path)
        with socket.create_server(("127.0.0.1", demo.web_port)):
            demos.append(demo.start())
            assert demo.process.wait(END_SECONDS_MAX) == 78
            demo._reader.join(END_SECONDS_MAX)
        assert demo.lines == [
            f"Error: Port {demo.web_port} of 127.0.0.1 is taken: end what uses it, or set REBATE_WEB_PORT."
        ]

    def test_a_taken_broker_port_is_one_sentence(self, demos: list[Demo], tmp_path: Path) -> None:
        """Somebody else's program on the broker's port is said as such, and not waited for."""
        demo = Demo(tmp_path)
        with socket.create_server(("127.0.0.1", demo.broker_port)):
            demos.append(demo.start())
            assert demo.process.wait(END_SECONDS_MAX) == 69
            demo._reader.join(END_SECONDS_MAX)
        (sentence,) = [line for line in demo.lines if line.startswith("Error: ")]
        assert str(demo.broker_port) in sentence
        assert "Traceback" not in demo.output

    def test_a_worker_that_cannot_start_is_told_with_its_exit_code(
        self, demos: list[Demo], tmp_path: Path
    ) -> None:
        """No broker at REBATE_BROKER: the worker's own code and words come through."""
        demo = Demo(tmp_path, broker=f"127.0.0.1:{free_port()}")
        demos.append(demo.start())
        assert demo.process.wait(READY_SECONDS_MAX) == 69
        demo._reader.join(END_SECONDS_MAX)
        assert "The worker ended with exit code 69." in demo.output
