"""Every crash point on purpose: kill -9 there, and frozen there until another took over.

See docs/spec/exactness.md#crash-points.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from rebate_app.broker import LocalKafka
from tests.chaos.checking import check_everything
from tests.chaos.conftest import FAST, FULL
from tests.conftest import SEED
from tests.oracle import make_feed, shuffle_with_repeats
from tests.rig.faults import POINTS
from tests.rig.freezing import is_frozen
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

LINES, USERS = 20, 8
AT_START = ("initialised-one", "fenced", "restoring", "noted")
#: Notes of rule versions are written once for each of the two partitions of accounts.
TIMES_MAX = {"noted": 2}
SHORT = (("sent", "kill"), ("computed", "freeze"), ("commit-sent", "kill"), ("commit-sent", "freeze"))
ALL = tuple((point, action) for point in POINTS for action in ("kill", "freeze"))
REPEATS = 3 if FULL else 1  # with each of two stores
HIT_SECONDS_MAX = 60.0

pytestmark = pytest.mark.chaos


class TestCrashPoints:
    """After a crash at any instruction, state = fold of the source up to the watermark."""

    @pytest.mark.parametrize("repeat", range(REPEATS))
    @pytest.mark.parametrize(("point", "action"), ALL if FULL else SHORT)
    @pytest.mark.parametrize("store", ["memory", "rocksdb"] if FULL else ["memory"])
    def test_a_fault_at_this_point_changes_nothing(
        self,
        chaos_kafka: LocalKafka,
        topic_prefix: str,
        tmp_path: Path,
        point: str,
        action: str,
        store: str,
        repeat: int,
    ) -> None:
        """Killed or frozen at the point, taken over and woken up: right balances, nothing lost or twice."""
        rng = random.Random(f"{SEED}:{point}:{action}:{repeat}")
        feed = make_feed(rng, LINES, USERS)
        with System(
            chaos_kafka.address, topic_prefix, tmp_path, feed.rules, **FAST, REBATE_STORE=store
        ) as system:
            system.send_users([document for document, _ in feed.users])
            orders = shuffle_with_repeats(rng, feed.orders)
            faulty = self._start_faulty(system, point, action, rng)
            self._import_until_hit(system, faulty, orders, action)
            helper = system.start_worker(1)
            helper.wait_ready()
            workers = [helper]
            if action == "freeze":
                wait_for(lambda: "worker ready: 4" in helper.log_text(), 60, "everything taken over")
                system.wait_idle()
                faulty.signal(18)  # SIGCONT: it wakes up with a send or a commit pending
                if faulty.process.poll() is None:
                    faulty.wait_ready()
                    workers.append(faulty)
                if point not in AT_START:
                    assert "fenced" not in helper.log_text(), "who wakes up takes nothing from its new owner"
            system.wait_idle()
            check_everything(system, workers, feed, orders, rng)

    def _start_faulty(self, system: System, point: str, action: str, rng: random.Random) -> Worker:
        gate = system.folder / "gate"
        count = rng.randint(1, TIMES_MAX.get(point, 4))
        fault = {"REBATE_TEST_FAULT": f"{point}:{count}:{action}"}
        print(f"fault {fault}")
        if point == "restoring":
            self._fill_changelog(system)
        if point in AT_START:
            return system.start_worker(0, **fault)
        worker = system.start_worker(0, **fault, REBATE_TEST_FAULT_GATE=str(gate))
        worker.wait_ready()
        system.wait_idle()  # profiles and bindings were there before the lines
        gate.touch()
        return worker

    def _fill_changelog(self, system: System) -> None:
        first = system.start_worker(2)
        first.wait_ready()
        system.wait_idle()
        assert first.stop() == 0

    def _import_until_hit(
        self, system: System, faulty: Worker, orders: list[dict[str, Any]], action: str
    ) -> None:
        def hit() -> bool:
            return faulty.process.poll() is not None if action == "kill" else is_frozen(faulty.process.pid)

        size = max(1, len(orders) // 12)
        for start in range(0, len(orders), size):
            system.send_orders(orders[start : start + size])
        wait_for(hit, HIT_SECONDS_MAX, f"the fault point is passed, see {faulty.log}")
