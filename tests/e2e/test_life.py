"""How a worker starts, refuses to start, and ends: one sentence and the right exit code each time."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from tests.e2e.conftest import RULES, NewSystem
from tests.e2e.test_workers import order
from tests.rig.faults import POINTS
from tests.rig.system import System, ask
from tests.rig.waiting import wait_for

OTHER_CONTENT = RULES.replace("default = 6500", "default = 6000")
FULL = os.environ.get("REBATE_CHAOS") == "full"
STOPPED_WITHIN_S = 10.0
EARLIER = RULES.replace("2026-01", "2025-01")


class TestLife:
    """Exit codes are a promise: 0, 70 for our bugs, 75 try again, 78 configuration."""

    def test_sigterm_drains_and_ends_within_ten_seconds(self, new_system: NewSystem) -> None:
        """SIGTERM in the middle of work ends the worker with 0 within 10 s, and nothing is lost."""
        system: System = new_system()
        worker = system.start_worker()
        worker.wait_ready()
        system.send_orders(order(f"u{number}") for number in range(3_000))
        started = time.monotonic()
        assert worker.stop() == 0
        assert time.monotonic() - started < 10
        again = system.start_worker()
        again.wait_ready()
        system.wait_idle()
        assert ask(f"{again.url}/v1/users/u2999/balance").body["estimated"] == 650

    @pytest.mark.longer
    @pytest.mark.parametrize("point", POINTS if FULL else ("restoring", "commit-sent"))
    def test_sigterm_in_the_midst_of_anything(self, new_system: NewSystem, point: str) -> None:
        """SIGTERM while fencing, restoring or committing: 0 within 10 s, and the next worker goes on."""
        system: System = new_system()
        system.send_orders(order(f"u{number}") for number in range(500))
        if point == "restoring":
            first = system.start_worker()
            first.wait_ready()
            system.wait_idle()
            assert first.stop() == 0
        worker = system.start_worker(REBATE_TEST_FAULT=f"{point}:1:term")
        wait_for(lambda: "Stopping..." in worker.log_text(), 60, f"{point} is passed")
        assert worker.wait_exit(STOPPED_WITHIN_S) == 0, worker.log_text()[-3000:]
        again = system.start_worker()
        again.wait_ready()
        system.wait_idle()
        assert ask(f"{again.url}/v1/users/u499/balance").body["estimated"] == 650
        assert system.command("audit", url=again.url).returncode == 0

    def test_a_part_of_faust_that_fails_ends_the_worker(self, new_system: NewSystem) -> None:
        """A web server whose port is bound by somebody who does not answer there: 75, no hang, no 1."""
        system: System = new_system()
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            worker = system.start_worker(REBATE_WEB_PORT=str(taken.getsockname()[1]))
            assert worker.wait_exit(40) == 75, worker.log_text()[-3000:]

    def test_a_second_signal_ends_at_once_and_sigusr2_is_harmless(self, new_system: NewSystem) -> None:
        """SIGUSR2 opens no debugger; after the first SIGTERM a second one does not wait for anything."""
        system: System = new_system()
        worker = system.start_worker()
        worker.wait_ready()
        worker.signal(signal.SIGUSR2)
        wait_for(lambda: "SIGUSR2 is ignored" in worker.log_text(), 5, "a line about SIGUSR2")
        assert ask(f"{worker.url}/livez").status == 200
        worker.signal(signal.SIGTERM)
        worker.signal(signal.SIGTERM)
        assert worker.wait_exit(10) in (0, 75)

    def test_published_rules_may_not_change_and_may_vanish(self, new_system: NewSystem) -> None:
        """A file that differs from the published one ends a worker with 78; without files it goes on."""
        system: System = new_system([RULES, EARLIER])
        worker = system.start_worker()
        worker.wait_ready()
        system.send_orders([order("u1")])
        system.wait_idle()
        assert worker.stop() == 0
        rules = system.folder / "rules" / "rules-0.toml"
        rules.write_text(OTHER_CONTENT, encoding="utf-8")
        changed = system.start_worker()
        assert changed.wait_exit(30) == 78
        assert "2026-01" in changed.log_text().splitlines()[-1]
        rules.unlink()
        (system.folder / "rules" / "rules-1.toml").unlink()
        without_files = system.start_worker()
        without_files.wait_ready()
        assert ask(f"{without_files.url}/v1/users/u1/balance").status == 200

    def test_two_workers_with_one_url(self, new_system: NewSystem) -> None:
        """The second live worker at an address ends with 78."""
        system: System = new_system()
        first = system.start_worker()
        first.wait_ready()
        port = first.url.rpartition(":")[2]
        second = system.start_worker(REBATE_WEB_PORT=port)
        assert second.wait_exit(30) == 78

    def test_another_number_of_partitions(self, new_system: NewSystem) -> None:
        """A topic that has another number of partitions than the setting ends the worker with 78."""
        system: System = new_system()
        worker = system.start_worker(REBATE_PARTITIONS="3")
        assert worker.wait_exit(30) == 78
        assert "has 4 partitions" in worker.log_text()

    def test_a_broker_that_is_not_there(self, new_system: NewSystem) -> None:
        """Without a broker the worker ends with 69 and one sentence."""
        system: System = new_system()
        worker = system.start_worker(REBATE_BROKER="127.0.0.1:9")
        assert worker.wait_exit(60) == 69

    def test_no_web_server_beyond_loopback_without_saying_so(self, new_system: NewSystem) -> None:
        """Binding beyond loopback without authentication ends with 78."""
        system: System = new_system()
        assert system.start_worker(REBATE_WEB_HOST="0.0.0.0").wait_exit(30) == 78  # noqa: S104

    def test_a_session_that_the_broker_refuses(self, new_system: NewSystem) -> None:
        """A session time-out below the broker's least one ends the worker with 78 instead of a hang."""
        system: System = new_system()
        worker = system.start_worker(REBATE_SESSION_TIMEOUT="3", REBATE_TRANSACTION_TIMEOUT="2")
        assert worker.wait_exit(40) == 78
        assert "InvalidSessionTimeout" in worker.log_text()
