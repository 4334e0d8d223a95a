"""A broker that hangs for longer than a transaction may last, and comes back.

See docs/spec/exactness.md#crash-points, row 11.

It stops (SIGSTOP) between two given steps of a transaction. The commit times out, the partition begins again
at its fence and ends its old client, whose requests are still in flight: then aiokafka raises CancelledError,
which nobody of ours caused. The session outlasts the freeze, so no rebalance comes to the rescue.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from pathlib import Path

import pytest

from rebate_app.broker import LocalKafka
from tests.chaos.checking import check_everything
from tests.conftest import SEED
from tests.oracle import make_feed, shuffle_with_repeats
from tests.rig.freezing import is_frozen
from tests.rig.supervisor import Supervisor
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

PATIENT = {
    "REBATE_SESSION_TIMEOUT": "60",
    "REBATE_TRANSACTION_TIMEOUT": "2.5",
    "REBATE_PARTITIONS": "2",
}
LINES, USERS = 20, 8
THAWED_AFTER_S = 9.0  # of the first partition that begins again at its fence
HIT_SECONDS_MAX = 60.0
GO_ON_SECONDS_MAX = 150.0
SENT_SECONDS_MAX = 60.0

pytestmark = pytest.mark.chaos


def has_failed(worker: Worker) -> bool:
    """Whether a commit of the worker's has failed, and it begins again or has ended."""
    return "begins again at the fence" in worker.log_text() or worker.process.poll() is not None


@pytest.mark.parametrize("point", ["computed", "sent", "acknowledged", "commit-sent"])
def test_every_partition_goes_on(
    chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path, point: str
) -> None:
    """They go on by themselves, or the worker ends with 75 and is started again; nothing is lost or twice."""
    rng = random.Random(f"{SEED}:hung:{point}")
    feed = make_feed(rng, LINES, USERS)
    pid = chaos_kafka.status().pid
    assert pid is not None
    gate = tmp_path / "gate"
    fault = {
        "REBATE_TEST_FAULT": f"{point}:1:freeze-broker",
        "REBATE_TEST_FAULT_PID": str(pid),
        "REBATE_TEST_FAULT_GATE": str(gate),
    }
    with System(chaos_kafka.address, topic_prefix, tmp_path, feed.rules, **PATIENT) as system:
        system.send_users([document for document, _ in feed.users])
        supervisor = Supervisor(system)
        worker = supervisor.start(**fault)
        worker.wait_ready()
        supervisor.wait_idle(GO_ON_SECONDS_MAX)
        orders = shuffle_with_repeats(rng, feed.orders)
        gate.touch()
        sending = threading.Thread(target=system.send_orders, args=[orders])
        sending.start()
        try:
            wait_for(lambda: is_frozen(pid), HIT_SECONDS_MAX, f"the broker is frozen at {point}")
            gate.unlink()
            wait_for(lambda: has_failed(worker), HIT_SECONDS_MAX, f"the commit fails, see {worker.log}")
            threading.Event().wait(THAWED_AFTER_S)
        finally:
            os.kill(pid, signal.SIGCONT)
        sending.join(SENT_SECONDS_MAX)
        system.send_orders(orders)  # what the freeze cut off; the rest is repeated, which does no harm
        supervisor.wait_idle(GO_ON_SECONDS_MAX)
        check_everything(system, supervisor.workers, feed, orders, rng)
