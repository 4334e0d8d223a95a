"""Row `slow-clients`: throughput of the product alone, and beside 200 clients that dawdle.

Alone and beside take turns on one broker. The clients are a process of its own; what they cost the
machine is in the figure, so the ratio is worse than what the worker itself loses:

    python -m bench.slow_clients --port P [--connections 200]
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from statistics import median
from typing import Any

from msgspec import to_builtins

from bench.contenders import BY_NAME
from bench.place import Place
from bench.reading import apart
from bench.throughput import Measured, measure, shown

CONNECTIONS = 200
PACE_S = 0.5
CONTENDER = "ours-life"
BODY_BYTES = 100_000


def slow_clients(where: Place, *, orders: int, rounds: int) -> dict[str, Any]:
    """Return the medians of both, and their ratio."""
    runs: dict[str, list[Measured]] = {"alone": [], "beside": []}
    for _ in range(rounds):
        for name, beside in (("alone", nobody), ("beside", dawdlers)):
            measured = measure(where, BY_NAME[CONTENDER], orders, beside)
            print(f"{name:7} {shown(measured)}", flush=True)
            runs[name].append(measured)
    alone, beside_them = (median(run.orders_per_s for run in runs[name]) for name in ("alone", "beside"))
    return {
        "alone": {"orders_per_s": alone},
        "beside": {"orders_per_s": beside_them},
        "ratio": beside_them / alone,
        "runs": to_builtins(runs),
    }


@contextmanager
def nobody(environment: Mapping[str, str]) -> Iterator[None]:
    """Let the worker be alone."""
    del environment
    yield


def dawdlers(environment: Mapping[str, str]) -> AbstractContextManager[object]:
    """Give the slow clients of a worker."""
    return apart("bench.slow_clients", port=environment["REBATE_WEB_PORT"], connections=CONNECTIONS)


async def dawdle(port: int, number: int) -> None:
    """Hold connections to the worker for ever: a slow head, a slow body, a slow reader, by turns."""
    while True:
        with suppress(ConnectionError, OSError):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4_096)
            try:
                await (_slow_head, _slow_body, _slow_reader)[number % 3](reader, writer, f"127.0.0.1:{port}")
            finally:
                writer.transport.abort()
        await asyncio.sleep(PACE_S)


async def _slow_head(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
    writer.write(f"GET /v1/users/u1/balance HTTP/1.1\r\nHost: {host}\r\nX: ".encode())
    await _drip(reader, writer)


async def _slow_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
    head = f"POST /v1/orders HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: {BODY_BYTES}\r\n\r\n".encode())
    await _drip(reader, writer)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while not reader.at_eof():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(PACE_S)


async def _slow_reader(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
    writer.write(f"GET /v1/users/u1/balance HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    async for _ in _bytes(reader):
        await asyncio.sleep(PACE_S)


async def _bytes(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while byte := await reader.read(1):
        yield byte


async def _dawdle(port: int, connections: int) -> None:
    await asyncio.gather(*(dawdle(port, number) for number in range(connections)))


def main() -> None:
    """Dawdle until killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    given = parser.parse_args()
    asyncio.run(_dawdle(given.port, given.connections))


if __name__ == "__main__":
    main()
