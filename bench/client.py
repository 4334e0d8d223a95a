"""A small HTTP client for measuring: raw sockets on asyncio, a closed loop per connection.

A latency is from the moment the request is written to the moment the whole answer is there; with a
rate, from the moment the request was due, so that a stalled worker does not get fewer requests
(no coordinated omission). It costs about 30 µs an answer. It runs in a process of its own:

    python -m bench.client --port P --paths FILE [--connections 8] [--rate 0] [--token T] --seconds 5
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import cast

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length: "


class Connection(asyncio.Protocol):
    """One keep-alive connection that asks one path after the other."""

    def __init__(self, requests: Iterator[bytes], every_s: float, phase_s: float) -> None:
        self.latencies: list[float] = []
        self.refused = 0
        self._requests = requests
        self._every_s = every_s
        self._due = time.perf_counter() + phase_s
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self.open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to ask."""
        self._transport = cast("asyncio.Transport", transport)
        asyncio.get_running_loop().call_later(max(0.0, self._due - time.perf_counter()), self._ask)

    def _ask(self) -> None:
        if self._transport is not None and self.open:
            if not self._every_s:
                self._due = time.perf_counter()
            self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer; with the last part, go on."""
        self._buffer += data
        head, found, body = self._buffer.partition(END_OF_HEAD)
        if not found or len(body) < _length(head):
            return
        now = time.perf_counter()
        self.latencies.append(now - self._due)
        self.refused += not head.startswith(b"HTTP/1.1 200")
        self._buffer = b""
        self._due += self._every_s
        if self._every_s and self._due > now:
            asyncio.get_running_loop().call_later(self._due - now, self._ask)
        else:
            self._ask()


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.index(LENGTH) + len(LENGTH)
    return int(lower[start:].partition(b"\r\n")[0])


def request(path: str, token: str = "") -> bytes:
    """Return a GET as it goes over the wire, with a token if one is given."""
    credentials = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{credentials}\r\n".encode()


async def ask_for(
    port: int, requests_once: list[bytes], *, connections: int, rate: float, seconds: float
) -> dict[str, float]:
    """Ask for so many seconds; return rate, percentiles in ms, and how many answers were not 200."""
    loop, requests = asyncio.get_running_loop(), cycle(requests_once)
    every_s = connections / rate if rate else 0.0
    began = time.perf_counter()
    all_of_them = []
    for number in range(connections):
        connection = Connection(requests, every_s, number * every_s / connections)
        await loop.create_connection(lambda made=connection: made, "127.0.0.1", port)  # type: ignore[misc]
        all_of_them.append(connection)
    await asyncio.sleep(seconds)
    took = time.perf_counter() - began
    for connection in all_of_them:
        connection.open = False
    latencies = sorted(latency for connection in all_of_them for latency in connection.latencies)
    return {
        "answers": len(latencies),
        "per_second": len(latencies) / took,
        "p50_ms": percentile(latencies, 0.5) * 1e3,
        "p99_ms": percentile(latencies, 0.99) * 1e3,
        "not_200": sum(connection.refused for connection in all_of_them),
        "client_cpu_us": time.process_time() / max(1, len(latencies)) * 1e6,
    }


def percentile(ordered: list[float], share: float) -> float:
    """Return the value below which that share of the ordered values lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description="GETs on one worker")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--paths", type=Path, required=True)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--token", default="")
    given = parser.parse_args()
    requests = [request(path, given.token) for path in given.paths.read_text(encoding="utf-8").split()]
    found = asyncio.run(
        ask_for(given.port, requests, connections=given.connections, rate=given.rate, seconds=given.seconds)
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main()
