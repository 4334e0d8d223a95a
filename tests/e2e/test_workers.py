"""Two workers: any of them answers for any user, partitions are handed over, and nobody answers wrongly."""

from __future__ import annotations

from typing import Any

from tests.e2e.conftest import NewSystem
from tests.rig.system import System, Worker, ask
from tests.rig.waiting import wait_for

USERS = [f"user-{number}" for number in range(24)]
COMMISSION = 1000
SHARE = 650


def order(user: str, number: int = 0) -> dict[str, Any]:
    """Return a paid line of a user, worth 650 fen to them."""
    return {
        "schema": "order-event/1",
        "kind": "order.snapshot",
        "platform": "pdd",
        "order_line_id": f"{user}-{number}",
        "seq": {"modified_at": "2026-01-05T10:00:00+08:00"},
        "status": "paid",
        "currency": "CNY",
        "amounts": {"est_commission": COMMISSION},
        "times": {"paid": "2026-01-05T09:00:00+08:00"},
        "attribution": {"user_id": user},
    }


def estimated(worker: Worker, user: str) -> tuple[int, int | None]:
    """Return (status, estimated) of a user, asked of this worker."""
    answer = ask(f"{worker.url}/v1/users/{user}/balance")
    return answer.status, answer.body["estimated"] if answer.status == 200 else None


def owned(worker: Worker) -> int:
    """Return how many partitions the worker says it has taken over last."""
    lines = [line for line in worker.log_text().splitlines() if "worker ready:" in line]
    return int(lines[-1].split("worker ready: ")[1].split()[0]) if lines else 0


class TestWorkers:
    """`faust worker` again is all that scaling takes."""

    def test_each_worker_answers_for_every_user(self, new_system: NewSystem) -> None:
        """Two workers share the partitions, and each gives the right balance of all users."""
        system: System = new_system()
        system.send_orders(order(user) for user in USERS)
        first, second = system.start_worker(), system.start_worker()
        for worker in (first, second):
            worker.wait_ready()
        wait_for(lambda: owned(first) == owned(second) == 4, 60, "4 of 8 partitions each")
        system.wait_idle()
        for worker in (first, second):
            assert [estimated(worker, user) for user in USERS] == [(200, SHARE)] * len(USERS)
