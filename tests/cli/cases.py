"""What the tests of the commands share: running one in this process, and settings for the test's Kafka."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from click.testing import CliRunner

from rebate_app.cli.root import rebate
from rebate_app.settings import Settings, load_settings
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import client_options


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code, and what it said where."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        """Return stdout as one JSON value."""
        return json.loads(self.stdout)


def run(*arguments: str, stdin: str | None = None) -> Outcome:
    """Run `rebate` with arguments in this process; an exception that leaves it fails the test."""
    result = CliRunner(catch_exceptions=False).invoke(rebate, arguments, input=stdin)
    return Outcome(result.exit_code, result.stdout, result.stderr)


def use_broker(monkeypatch: pytest.MonkeyPatch, broker: str) -> Settings:
    """Set REBATE_BROKER and few partitions for commands of this test, and return their settings."""
    monkeypatch.setenv("REBATE_BROKER", broker)
    monkeypatch.setenv("REBATE_PARTITIONS", "3")
    return load_settings()


def read_all(settings: Settings, topic: str) -> list[tuple[bytes, Any]]:
    """Return (key, JSON value) of all records that read_committed finds, partition by partition."""

    async def read() -> list[tuple[bytes, Any]]:
        reader = AIOKafkaConsumer(**client_options(settings), isolation_level="read_committed")
        async with started(reader) as consumer:
            spots = [TopicPartition(topic, number) for number in range(settings.partitions)]
            consumer.assign(spots)
            for spot in spots:
                consumer.seek(spot, 0)
            ends = await consumer.end_offsets(spots)
            found: list[Any] = []
            while any([await consumer.position(spot) < ends[spot] for spot in spots]):
                for batch in (await consumer.getmany(timeout_ms=100)).values():
                    found += batch
        found.sort(key=lambda record: (record.partition, record.offset))
        return [(record.key, json.loads(record.value)) for record in found]

    return asyncio.run(read())


@contextmanager
def answering(documents: Mapping[str, Any]) -> Iterator[str]:
    """Give the URL of a server that has one JSON document per path, for what no single worker can be in."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = documents.get(urlsplit(self.path).path)
            body = json.dumps({} if found is None else found).encode()
            self.send_response(404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def lines(*documents: dict[str, Any] | str) -> str:
    """Return documents as NDJSON; text stays as it is."""
    return "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in documents)


def codes(refused: Sequence[dict[str, Any]]) -> list[tuple[int, str, str]]:
    """Return row, code and member of each refusal."""
    return [(each["row"], each["code"], each["member"]) for each in refused]
