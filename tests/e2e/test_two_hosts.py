"""Workers on two hosts, which are two network namespaces: URLs that mean different machines."""

from __future__ import annotations

import subprocess

import pytest

from rebate_app.settings import EXIT_CONFIGURATION
from tests.doctor.test_on_kafka import findings, state
from tests.e2e.conftest import NewSystem
from tests.e2e.test_urls import END_SECONDS_MAX, USERS, everybody_is_answered
from tests.e2e.test_workers import order
from tests.rig.namespaces import Hosts, why_not
from tests.rig.system import System, Worker
from tests.rig.waiting import wait_for

pytestmark = pytest.mark.kafka
PORT = 6066


def start(system: System, hosts: Hosts, number: int, port: int = PORT) -> Worker:
    """Start a worker on a host, with a URL that means the host itself, as by default."""
    return system.start_worker(prefix=hosts.prefix(number), REBATE_WEB_PORT=str(port))


def start_reachable(system: System, hosts: Hosts, number: int, port: int = PORT) -> Worker:
    """Start a worker on a host that others reach under its address."""
    worker = system.start_worker(
        prefix=hosts.prefix(number),
        REBATE_WEB_PORT=str(port),
        REBATE_WEB_HOST="0.0.0.0",  # noqa: S104 - of a namespace
        REBATE_INSECURE="1",
        REBATE_ADVERTISED_URL=f"http://{hosts.address(number)}:{port}",
    )
    worker.url = f"http://{hosts.address(number)}:{port}"
    return worker


def wait_joined(worker: Worker) -> None:
    """Wait until a worker that cannot be asked from here owns its partitions."""
    wait_for(lambda: "worker ready" in worker.log_text(), 60, f"partitions, see {worker.log}")


def assert_refused(worker: Worker, part: str) -> None:
    """Assert that it ended with 78 for that reason, and took no partition after it."""
    assert worker.wait_exit(END_SECONDS_MAX) == EXIT_CONFIGURATION, worker.log_text()[-2000:]
    assert part in worker.log_text(), worker.log_text()[-2000:]
    assert "worker ready" not in worker.log_text().partition(part)[2]


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_loopback_urls_in_a_group_over_hosts(new_system: NewSystem, kafka: str) -> None:
    """The later of two with loopback URLs ends, and any with one beside a URL of another host."""
    with Hosts(kafka) as hosts:
        system = new_system()
        both = start(system, hosts, 1), start(system, hosts, 2)  # neither finds the other in the group
        gone = wait_for(
            lambda: next((each for each in both if each.process.poll() is not None), None), 60, "the later"
        )
        assert_refused(gone, "another worker of the group announces")
        first = next(each for each in both if each is not gone)
        other = 2 if first is both[0] else 1  # the other host
        wait_joined(first)
        system.send_orders(order(f"u{number}") for number in range(USERS))
        same, other_port = start(system, hosts, other), start(system, hosts, other, PORT + 1)
        assert_refused(same, "another worker of the group announces")
        assert_refused(other_port, "on another machine")
        assert first.process.poll() is None
        reachable = start_reachable(system, hosts, other)
        assert_refused(first, "which no other machine reaches")
        reachable.wait_ready()
        system.wait_idle()
        again = start_reachable(system, hosts, 3 - other)
        again.wait_ready()
        wait_for(lambda: everybody_is_answered(reachable, again), 60, "all users from both hosts")
        found = findings(system, reachable.url)
        assert [state(found, name) for name in ("urls", "workers", "reach")] == ["ok"] * 3, found
        subprocess.run(
            [*hosts.prefix(3 - other), "ip", "route", "add", "unreachable", hosts.address(other)],
            check=True,
            timeout=10,
        )
        found = findings(system, reachable.url, code=1)  # which this machine reaches, and the other host not
        assert f"{reachable.url} → {again.url}" in found["reach"][0]["says"], found["reach"]
        for worker in (reachable, again):
            worker.stop()
