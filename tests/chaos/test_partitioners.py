"""Clients with librdkafka's partitioner beside one with Kafka's, on both topics, through kill -9.

By default 2,000 facts and three workers; `make chaos`: 20,000 facts, one worker and three.
"""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rebate_app.broker import LocalKafka
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.failure_headers import REROUTED_FROM
from tests.chaos.checking import check_everything
from tests.chaos.conftest import FAST, FULL
from tests.conftest import SEED
from tests.domain.feed_runs import is_profile
from tests.oracle import Feed, make_feed, shuffle_with_repeats
from tests.rig.librdkafka import Pair, send_with_confluent, send_with_kcat
from tests.rig.system import Document, System, Worker, ask
from tests.rig.tools import tool_or_none

FACTS = 20_000 if FULL else 2_000
WORKERS = (1, 3) if FULL else (3,)
KILLS = 6 if FULL else 2
FACTS_A_LINE = 6
USERS = 40
KILL_WITHIN_SECONDS = (0.05, 1.0)
SETTING = "partitioner=murmur2_random"

pytestmark = pytest.mark.chaos
Send = Callable[[str, str, Sequence[Pair]], None]


def order_pairs(documents: Sequence[Document]) -> list[Pair]:
    """Return order facts as records."""
    return [(f"{d['platform']}:{d['order_line_id']}".encode(), orjson.dumps(d)) for d in documents]


def user_pairs(documents: Sequence[Document]) -> list[Pair]:
    """Return user facts as records."""
    keys = {"user.profile": "user_id", "attribution.bind": "attribution_id"}
    return [(d[keys[d["kind"]]].encode(), orjson.dumps(d)) for d in documents]


def make_facts(rng: random.Random) -> tuple[Feed, list[Document]]:
    """Return a feed, and so many order facts of it."""
    feed = make_feed(rng, FACTS // FACTS_A_LINE, USERS)
    orders = shuffle_with_repeats(rng, feed.orders)
    return feed, (orders * (FACTS // len(orders) + 1))[:FACTS]


@contextmanager
def meanwhile(work: Callable[[], None]) -> Iterator[None]:
    """Let work go on within the block, and wait for its end; what it raises is raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join()
    if errors:
        raise errors[0]


class MixedClients:
    """Every kind of client that is installed, each with its own defaults."""

    def __init__(self, system: System, rng: random.Random) -> None:
        self._system = system
        self._rng = rng
        murmur2: Send = lambda _broker, topic, pairs: system.produce(topic, pairs)  # noqa: E731
        self._clients: list[Send] = [murmur2, send_with_confluent]
        if tool_or_none("kcat") is not None:
            self._clients.append(send_with_kcat)

    def send_orders(self, documents: Sequence[Document]) -> None:
        """Send each fact through any client."""
        self._send(self._system.topics.orders, order_pairs(documents), lambda _key: self._rng.random())

    def send_users(self, documents: Sequence[Document]) -> None:
        """Send all facts of a key through one client: the order of a user's facts decides."""
        choices: dict[bytes | None, float] = {}
        pairs = user_pairs(documents)
        self._send(
            self._system.topics.user_log, pairs, lambda key: choices.setdefault(key, self._rng.random())
        )

    def _send(self, topic: str, pairs: Sequence[Pair], choose: Callable[[bytes | None], float]) -> None:
        parts: list[list[Pair]] = [[] for _ in self._clients]
        for pair in pairs:
            parts[int(choose(pair[0]) * len(parts))].append(pair)
        for send, part in zip(self._clients, parts, strict=True):
            send(self._system.settings.broker, topic, part)


@pytest.mark.parametrize("count", WORKERS)
def test_any_partitioner_and_the_oracles_balances(
    chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path, count: int
) -> None:
    """Killed in the middle of it all: balances, audit, doctor and metrics are right."""
    rng = random.Random(SEED)
    feed, orders = make_facts(rng)
    with System(chaos_kafka.address, topic_prefix, tmp_path, feed.rules, **FAST) as system:
        clients = MixedClients(system, rng)
        workers = [system.start_worker(number, REBATE_STORE="rocksdb") for number in range(count)]
        for worker in workers:
            worker.wait_ready()
        clients.send_users([document for document, _ in filter(is_profile, feed.users)])
        system.wait_idle()
        clients.send_users([document for document, _ in feed.users if document["kind"] != "user.profile"])
        part = -(-len(orders) // KILLS)
        for number in range(KILLS):
            now = orders[number * part : (number + 1) * part]
            with meanwhile(partial(clients.send_orders, now)):
                _kill_one(system, workers, rng)
        for worker in workers:
            worker.wait_ready()
        system.wait_idle()
        check_everything(system, workers, feed, orders, rng)
        for topic in system.topics.sources:
            _check_copies(system, topic)
        _check_findings(system, workers)


def _kill_one(system: System, workers: list[Worker], rng: random.Random) -> None:
    """Kill any worker after a moment, and start it again on its folder."""
    number = rng.randrange(len(workers))
    moment = rng.uniform(*KILL_WITHIN_SECONDS)
    print(f"worker {number} of {len(workers)} is killed after {moment:.3f} s")
    threading.Event().wait(moment)
    workers[number].kill()
    workers[number] = system.start_worker(number, REBATE_STORE="rocksdb")


def _check_copies(system: System, topic: str) -> None:
    """Expect one copy of each misplaced record, in the partition of its key, equal to it but for its mark."""
    records = {(record.partition, record.offset): record for record in system.read(topic)}
    misplaced = {
        place
        for place, record in records.items()
        if partition_of(record.key, system.settings.partitions) != record.partition
    }
    assert misplaced, topic
    marked = [(dict(record.headers).get(REROUTED_FROM), record) for record in records.values()]
    copies = [(_place(mark), record) for mark, record in marked if mark is not None]
    assert sorted(place for place, _ in copies) == sorted(misplaced)
    for place, copy in copies:
        record = records[place]
        assert (copy.key, copy.value, copy.timestamp) == (record.key, record.value, record.timestamp)
        assert copy.headers == (*record.headers, (REROUTED_FROM, b"%d/%d" % place))


def _place(mark: bytes) -> tuple[int, int]:
    """Return partition and offset as the mark of a copy names them."""
    partition, offset = mark.split(b"/")
    return int(partition), int(offset)


def _check_findings(system: System, workers: list[Worker]) -> None:
    """Expect the doctor to name the setting for both topics, and metrics to count what was sent on."""
    done = system.command("doctor", "--deep", "--json", url=workers[0].url)
    results = json.loads(done.stdout)["checks"]
    named = [each for each in results if each["check"] == "partitioner"]
    assert [(each["state"], SETTING in each["do"]) for each in named] == [("warn", True)] * 2, results
    deep = [each for each in results if each["check"] == "misplaced records"]
    assert [each["state"] for each in deep] == ["ok", "ok"], deep
    counted = {topic: sum(_rerouted(worker, topic) for worker in workers) for topic in system.topics.sources}
    assert counted[system.topics.orders] > 0, counted


def _rerouted(worker: Worker, topic: str) -> float:
    """Return how many records a worker has sent on since it started."""
    families = text_string_to_metric_families(ask(f"{worker.url}/metrics").body.decode())
    samples: Any = (sample for family in families for sample in family.samples)
    return sum(
        float(sample.value)
        for sample in samples
        if sample.name == "rebate_rerouted_records_total"
        and sample.labels == {"topic": topic, "outcome": "rerouted"}
    )


@pytest.mark.parametrize(("options", "misplaced"), [((), True), (("-X", SETTING), False)])
def test_kcat_and_the_setting(
    chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path, options: tuple[str, ...], *, misplaced: bool
) -> None:
    """By default kcat chooses other partitions; with the setting that the doctor names it does not."""
    feed, _ = make_facts(random.Random(SEED))
    with System(chaos_kafka.address, topic_prefix, tmp_path, feed.rules, **FAST) as system:
        send_with_kcat(system.settings.broker, system.topics.orders, order_pairs(feed.orders[:200]), *options)
        done = system.command("doctor", "--json")
        (found,) = (each for each in json.loads(done.stdout)["checks"] if each["check"] == "partitioner")
        assert found["state"] == ("warn" if misplaced else "ok")


def test_the_setting_of_confluent_kafka(chaos_kafka: LocalKafka, topic_prefix: str, tmp_path: Path) -> None:
    """With the setting that the doctor names, librdkafka chooses Kafka's partitions."""
    feed, _ = make_facts(random.Random(SEED))
    with System(chaos_kafka.address, topic_prefix, tmp_path, feed.rules, **FAST) as system:
        pairs = order_pairs(feed.orders[:200])
        broker, topic = system.settings.broker, system.topics.orders
        for config, state in (({"partitioner": "murmur2_random"}, "ok"), ({}, "warn")):
            send_with_confluent(broker, topic, pairs, **config)
            done = system.command("doctor", "--json")
            (found,) = (each for each in json.loads(done.stdout)["checks"] if each["check"] == "partitioner")
            assert found["state"] == state
