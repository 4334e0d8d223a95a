"""A whole system for a test: topics of its own on a real Kafka, and any number of worker processes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from contextlib import contextmanager
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson
from aiokafka import TopicPartition

from rebate_app.broker import free_port
from rebate_app.cli.exits import run_with_broker
from rebate_app.cli.lag_command import wait_until_settled
from rebate_app.settings import Settings, load_settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaConsumer, AIOKafkaProducer, translated
from rebate_app.streams.kafka.clients import started
from rebate_app.wire.topics import Topics
from tests.answer_check import check_answer
from tests.rig.freezing import freeze
from tests.rig.waiting import PATIENCE, wait_for

CHECKOUT = Path(__file__).parents[2]
READY_SECONDS_MAX = 60.0
IDLE_SECONDS_MAX = 120.0
ASK_SECONDS_MAX = 30.0
LOG_CHARACTERS_SHOWN = 6_000

Document = dict[str, Any]


class Answer:
    """What an HTTP request was answered: `status` 0 when nobody answered."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str]) -> None:
        self.status = status
        self.body = body
        self.headers = headers


def ask(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    seconds: float = ASK_SECONDS_MAX,
    is_ours: bool = True,
) -> Answer:
    """Ask once; errors of HTTP are answers, and nobody there is 0. `is_ours`: a worker of ours answers."""
    request = urllib.request.Request(url, data=body, method=method)  # noqa: S310 - http to loopback
    if body is not None:
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=seconds) as response:  # noqa: S310
            answer = response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        answer = error.code, error.headers, error.read()
    except (urllib.error.URLError, OSError, TimeoutError):
        return Answer(0, None, {})
    status, headers, raw = answer
    return checked(request, *answer) if is_ours else Answer(status, _json(raw), dict(headers))


def checked(request: urllib.request.Request, status: int, headers: Message[str, str], body: bytes) -> Answer:
    """Return an answer that is one of those that /openapi.json describes."""
    check_answer(request.get_method(), request.selector, status, headers, body)
    return Answer(status, _json(body), dict(headers))


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw


class Worker:
    """One worker process: `faust -A rebate_app worker`, as an operator starts it."""

    def __init__(
        self, environment: Mapping[str, str], port: int, log: Path, prefix: Sequence[str] = ()
    ) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.environment = dict(environment)
        rigged = "REBATE_TEST_FAULT" in environment or "REBATE_TEST_BUG" in environment
        app = environment.get("REBATE_TEST_APP") or ("tests.rig.faults" if rigged else "rebate_app")
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, "-m", "faust", "-A", app, "worker", "-l", "info"],
                cwd=CHECKOUT,
                env=self.environment,
                stdout=out,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def log_text(self) -> str:
        """Return what it has logged."""
        return self.log.read_text(errors="replace")

    def ready(self) -> bool:
        """Whether /readyz says so; AssertionError when the process has ended."""
        code = self.process.poll()
        assert code is None, f"worker ended with {code}:\n{self.log_text()[-3000:]}"
        return ask(f"{self.url}/readyz", seconds=10).status == 200

    def wait_ready(self, seconds_max: float = READY_SECONDS_MAX) -> None:
        """Wait until it is ready."""
        wait_for(self.ready, seconds_max, f"{self.url} ready, see {self.log}")

    def signal(self, number: int) -> None:
        """Send a signal to it, if it still lives."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def freeze(self) -> None:
        """Freeze it, if it still lives, until SIGCONT; when this returns, nothing of it runs."""
        if self.process.poll() is None:
            freeze(self.process.pid)

    def kill(self) -> None:
        """Kill -9, and wait for its end."""
        self.signal(signal.SIGKILL)
        self.process.wait(PATIENCE * 10)

    def stop(self, seconds_max: float = 15.0) -> int:
        """SIGTERM, and return its exit code."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        code = self.process.wait(seconds_max)
        if code:
            print(f"{self.url} ended with {code}:\n{self.log_text()[-6_000:]}")  # shown if the test fails
        return code

    def wait_exit(self, seconds_max: float) -> int:
        """Wait until it ends by itself, and return its exit code."""
        return self.process.wait(seconds_max)


class System:
    """Workers over one set of topics; every process that it started ends with it."""

    def __init__(
        self, kafka: str, prefix: str, folder: Path, rules: Iterable[str], **environment: str
    ) -> None:
        self.folder = folder
        rules_folder = folder / "rules"
        self.use_rules(rules)
        self._environment = {
            key: value for key, value in os.environ.items() if not key.startswith("REBATE_")
        } | {
            "REBATE_BROKER": kafka,
            "REBATE_TOPIC_PREFIX": prefix,
            "REBATE_RULES": str(rules_folder),
            "REBATE_DATADIR": str(folder / "commands"),  # not the checkout's, whose mode is its user's affair
            "REBATE_PARTITIONS": "4",
            **environment,
        }
        self.workers: list[Worker] = []
        self.settings: Settings = load_settings(self._environment)
        self.topics = Topics.of(self.settings)
        asyncio.run(ensure_topics(self.settings))

    def use_rules(self, rules: Iterable[str]) -> None:
        """Write the rule files that workers will load."""
        rules_folder = self.folder / "rules"
        rules_folder.mkdir(parents=True, exist_ok=True)
        for number, text in enumerate(rules):
            (rules_folder / f"rules-{number}.toml").write_text(text, encoding="utf-8")

    def environment(self, port: int, number: int) -> dict[str, str]:
        """Return the environment of worker number so-and-so."""
        return self._environment | {
            "REBATE_WEB_PORT": str(port),
            "REBATE_DATADIR": str(self.folder / f"worker-{number}"),
        }

    def start_worker(
        self, number: int | None = None, *, prefix: Sequence[str] = (), **environment: str
    ) -> Worker:
        """Start a worker; the same number again has the same data folder and another port.

        `prefix`: the words before its command, for one that runs elsewhere.
        """
        number = len(self.workers) if number is None else number
        port = free_port()
        log = self.folder / f"worker-{number}.log"
        port = int(environment.get("REBATE_WEB_PORT", port))
        worker = Worker(self.environment(port, number) | environment, port, log, prefix)
        self.workers.append(worker)
        return worker

    def command(
        self, *arguments: str, url: str | None = None, seconds_max: float = 600.0
    ) -> subprocess.CompletedProcess[str]:
        """Run `rebate` with arguments in the system's environment."""
        environment = self._environment | ({"REBATE_URL": url} if url else {})
        return subprocess.run(
            [sys.executable, "-m", "rebate_app.cli", *arguments],
            cwd=CHECKOUT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )

    def wait_idle(self, seconds_max: float = IDLE_SECONDS_MAX) -> None:
        """Wait until everything acknowledged so far is in the balances.

        What `rebate lag --wait` waits for, in this process: tests wait often, and a process of its own for
        each wait would cost more than all workers.
        """
        settings = load_settings(self._environment)  # as they are now: a test may have changed them
        settled = run_with_broker(settings, self._settled(settings, PATIENCE * seconds_max))
        logs = "\n".join(worker.log_text()[-2000:] for worker in self.workers[-3:])
        assert settled, f"not everything is in the balances after {PATIENCE * seconds_max:g} s\n{logs}"

    async def _settled(self, settings: Settings, seconds_max: float) -> bool:
        async with asyncio.timeout(seconds_max + 30):
            return await wait_until_settled(settings, seconds_max, _unshown)

    def produce(self, topic: str, records: Iterable[tuple[bytes | None, bytes | None]]) -> None:
        """Send records as any producer would, acknowledged."""
        asyncio.run(produce(self.settings.broker, topic, list(records)))

    def read(self, topic: str, within: float = 120.0) -> list[Any]:
        """Return all committed records that a topic has now."""
        return asyncio.run(_read(self.settings.broker, topic, within))

    def send_orders(self, documents: Iterable[Document]) -> None:
        """Send order facts, keyed by their lines."""
        self.produce(
            self.topics.orders,
            ((f"{d['platform']}:{d['order_line_id']}".encode(), orjson.dumps(d)) for d in documents),
        )

    def send_users(self, documents: Iterable[Document]) -> None:
        """Send user facts, keyed by user or attribution id."""
        owners = ((d["attribution_id" if "attribution_id" in d else "user_id"], d) for d in documents)
        self.produce(self.topics.user_log, ((owner.encode(), orjson.dumps(d)) for owner, d in owners))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self.workers:
            worker.signal(signal.SIGCONT)
            worker.signal(signal.SIGTERM)
        for worker in self.workers:
            try:
                worker.process.wait(PATIENCE * 12)
            except subprocess.TimeoutExpired:
                worker.kill()
        if error is not None:
            self._print_logs()

    def _print_logs(self) -> None:
        """Print how each worker ended: where a test failed elsewhere, its output is all that is left."""
        for worker in self.workers:
            last = worker.log_text()[-LOG_CHARACTERS_SHOWN:]
            print(f"{worker.log} ended with {worker.process.poll()}:\n{last}", flush=True)


def _unshown(done: int, note: str) -> None:
    """Show no progress."""


async def produce(broker: str, topic: str, records: list[tuple[bytes | None, bytes | None]]) -> None:
    """Send records as any producer would; return once all are acknowledged."""
    sender = AIOKafkaProducer(bootstrap_servers=broker, acks="all", enable_idempotence=True, linger_ms=5)
    async with started(sender) as producer:
        sent = [await producer.send(topic, value, key=key) for key, value in records]
        with translated():
            await asyncio.gather(*sent)


async def _read(broker: str, topic: str, within: float) -> list[Any]:
    reader = AIOKafkaConsumer(bootstrap_servers=broker, isolation_level="read_committed")
    async with started(reader) as consumer:
        spots = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic) or ()]
        if not spots:
            await consumer._client.set_topics([topic])
            spots = [TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)]
        consumer.assign(spots)
        await consumer.seek_to_beginning(*spots)
        ends = await consumer.end_offsets(spots)
        records: list[Any] = []
        async with asyncio.timeout(within):
            while any([await consumer.position(spot) < end for spot, end in ends.items()]):
                for some in (await consumer.getmany(timeout_ms=50)).values():
                    records += some
        return sorted(records, key=lambda record: (record.partition, record.offset))


@contextmanager
def frozen(worker: Worker) -> Any:
    """Freeze the worker within the block."""
    worker.freeze()
    try:
        yield
    finally:
        worker.signal(signal.SIGCONT)
