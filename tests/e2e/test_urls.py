"""URLs of workers: one URL twice, a URL that leads elsewhere, and what the doctor finds, on a real Kafka."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from rebate_app.broker import free_port
from rebate_app.settings import EXIT_CONFIGURATION
from tests.doctor.test_on_kafka import findings, state
from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import SHARE, order
from tests.rig.forwarder import Forwarder
from tests.rig.system import System, Worker, ask, frozen
from tests.rig.waiting import wait_for

pytestmark = pytest.mark.kafka
USERS = 20
END_SECONDS_MAX = 45


def not_ready(worker: Worker, part: str) -> str:
    """Return the reason of /readyz once it has that part, "" before."""
    answer = ask(f"{worker.url}/readyz", seconds=1)
    reason = answer.body["reason"] if answer.status == 503 else ""
    return reason if part in reason else ""


def everybody_is_answered(*workers: Worker) -> bool:
    """Return whether every worker has every user's balance now."""
    answers = [
        ask(f"{worker.url}/v1/users/u{number}/balance") for worker in workers for number in range(USERS)
    ]
    return all(answer.status == 200 and answer.body["estimated"] == SHARE for answer in answers)


def last_line(worker: Worker) -> str:
    """Return the last line that a worker logged, which names the cause of its end."""
    return worker.log_text().strip().splitlines()[-1]


@contextmanager
def stranger() -> Iterator[str]:
    """Give the URL of another program's web server."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def first_worker(system: System) -> Worker:
    """Return a worker that owns everything and has an order of every user."""
    worker = system.start_worker()
    worker.wait_ready()
    system.send_orders(order(f"u{number}") for number in range(USERS))
    system.wait_idle()
    assert everybody_is_answered(worker)
    return worker


def test_one_url_twice(new_system: NewSystem) -> None:
    """The later one ends with 78 before it takes a partition, whatever name the machine has in the URL.

    So does a worker of another generation.
    """
    system = new_system()
    first = first_worker(system)
    port = first.url.rpartition(":")[2]
    later = [
        system.start_worker(REBATE_ADVERTISED_URL=f"http://localhost:{port}"),
        system.start_worker(REBATE_WEB_HOST="127.0.0.2", REBATE_INSECURE="1", REBATE_WEB_PORT=port),
    ]
    other_generation = system.start_worker(REBATE_TEST_APP="tests.rig.later_generation")
    for worker in later:
        assert worker.wait_exit(END_SECONDS_MAX) == EXIT_CONFIGURATION, worker.log_text()[-2000:]
        assert "another worker of the group announces" in last_line(worker)
        assert "worker ready" not in worker.log_text()
    assert other_generation.wait_exit(END_SECONDS_MAX) == EXIT_CONFIGURATION
    assert "stop all workers of the group, then start all" in last_line(other_generation)
    assert everybody_is_answered(first)
    first.kill()
    again = system.start_worker(0, REBATE_WEB_PORT=port)  # while the dead one is still in the group
    again.wait_ready()
    assert everybody_is_answered(again)


def test_a_url_that_leads_elsewhere(new_system: NewSystem) -> None:
    """Nothing is assigned to such a worker; it joins once its URL leads to it, or ends with 78."""
    system = new_system(REBATE_SESSION_TIMEOUT="30")  # so that a frozen one is a member for as long
    first = first_worker(system)
    gate = free_port()
    url = f"http://127.0.0.1:{gate}"
    with stranger() as other:
        lost = [
            system.start_worker(REBATE_ADVERTISED_URL=other, REBATE_ADVERTISED_URL_DEADLINE="4"),
            system.start_worker(REBATE_ADVERTISED_URL=url, REBATE_ADVERTISED_URL_DEADLINE="4"),
        ]
        patient = system.start_worker(REBATE_ADVERTISED_URL=url)
        stopped = system.start_worker(REBATE_ADVERTISED_URL=url)
        reason = wait_for(lambda: not_ready(lost[0], "leads elsewhere"), 30, "the reason")
        assert other in reason
        wait_for(lambda: not_ready(patient, "leads elsewhere"), 30, "the reason")
        wait_for(lambda: not_ready(stopped, "leads elsewhere"), 30, "the reason")
        assert stopped.stop() == 0
        for worker in lost:
            assert worker.wait_exit(END_SECONDS_MAX) == EXIT_CONFIGURATION, worker.log_text()[-2000:]
            assert "correct REBATE_ADVERTISED_URL" in last_line(worker)
    assert everybody_is_answered(first)
    target = int(patient.url.rpartition(":")[2])
    with Forwarder(("127.0.0.1", gate), ("127.0.0.1", target)):  # the network comes up
        patient.wait_ready()
        wait_for(lambda: everybody_is_answered(first, patient), 30, "all users from both workers")
        found = findings(system, first.url)
        assert [state(found, name) for name in ("urls", "workers", "reach")] == ["ok"] * 3, found
    found = findings(system, first.url, code=1)  # the network is gone again, or the URL another worker's
    assert (state(found, "reach"), state(found, "workers")) == ("fail", "fail")
    assert f"{first.url} → {url}" in found["reach"][0]["says"]
    with Forwarder(("127.0.0.1", gate), ("127.0.0.1", int(first.url.rpartition(":")[2]))):
        found = findings(system, first.url, code=1)
        assert f"{first.url} → {url}: another worker" in found["reach"][0]["says"]
    with Forwarder(("127.0.0.1", gate), ("127.0.0.1", target)):
        wait_for(lambda: everybody_is_answered(first, patient), 30, "all users from both workers")
        with frozen(patient):
            found = findings(system, first.url, code=1)
        (reach,) = found["reach"]  # the others are asked all the same
        assert f"{url} accepts connections and does not answer: frozen" in reach["says"]
