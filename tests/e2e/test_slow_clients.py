"""A real worker among clients that dawdle, name foreign hosts, or compress.

See docs/spec/api-security.md#limits.
"""

from __future__ import annotations

import gzip
import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.e2e.conftest import NewSystem
from tests.e2e.test_workers import order
from tests.rig.system import System, Worker, ask

pytestmark = pytest.mark.kafka

CLIENTS = 200
ORDERS = 2_000
READ_TIMEOUT_S = 3
WITHIN_S = 60.0


def slow_client(worker: Worker, number: int) -> socket.socket:
    """Return a connection with half a head, or with a head and half a body."""
    host = worker.url.removeprefix("http://")
    name, port = host.split(":")
    client = socket.create_connection((name, int(port)), timeout=WITHIN_S)
    head = f"POST /v1/orders HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    client.sendall((head if number % 2 else f"{head}Content-Length: 9000\r\n\r\n {{").encode())
    return client


@contextmanager
def slow_clients(worker: Worker) -> Iterator[list[socket.socket]]:
    """Give many of them; they end with the block."""
    with ExitStack() as stack:
        yield [stack.enter_context(slow_client(worker, number)) for number in range(CLIENTS)]


def status_with(worker: Worker, target: str, **fields: str) -> int:
    """Return the status of a request with these header fields."""
    name, port = worker.url.removeprefix("http://").split(":")
    connection = http.client.HTTPConnection(name, int(port), timeout=WITHIN_S)
    try:
        method = "POST" if "Content_Encoding" in fields else "GET"
        body = gzip.compress(b"{}") if method == "POST" else None
        headers = {name.replace("_", "-"): text for name, text in fields.items()}
        connection.request(method, target, body, headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_orders_go_on_beside_slow_clients(new_system: NewSystem) -> None:
    """All orders reach the balances, the slow ones are 408 in time, and the worker stops in order."""
    system: System = new_system()
    worker = system.start_worker(
        REBATE_WEB_READ_TIMEOUT=str(READ_TIMEOUT_S), REBATE_ALLOWED_HOSTS="rebate.example, other.example:8443"
    )
    worker.wait_ready()
    with slow_clients(worker) as clients:
        system.send_orders(order(f"u{number}") for number in range(ORDERS))
        assert ask(f"{worker.url}/livez", seconds=WITHIN_S).status == 200
        system.wait_idle()
        assert ask(f"{worker.url}/v1/users/u{ORDERS - 1}/balance").body["estimated"] == 650
        for client in clients:
            answer = b"".join(iter(lambda client=client: client.recv(65_536), b""))  # type: ignore[misc]
            assert answer.startswith(b"HTTP/1."), answer
            assert b'"code":"request-timeout"' in answer
    closed = ask(f"{worker.url}/metrics").body.decode()
    assert f'rebate_http_connections_closed_total{{reason="read-timeout"}} {CLIENTS}.0' in closed
    for host, status in (("rebate.example", 200), ("other.example:8443", 200), ("other.example", 421)):
        assert status_with(worker, "/v1/users/u1/balance", Host=host) == status
    assert status_with(worker, "/metrics", Host="other.example") == 200
    assert status_with(worker, "/nowhere", Content_Encoding="gzip") == 415
    with slow_clients(worker):
        assert worker.stop() == 0, worker.log_text()[-3000:]
