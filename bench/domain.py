"""What the pure domain and the codecs cost per input event: both stages, without Kafka, on one core.

The figure is processor time over all of decode, merge, account and encode, from the bytes of
`order_topic` to the records of both tables, divided by the number of records of `order_topic`. The
feed is that of docs/spec/performance.md#targets: three facts a line, then half as many repeats, a fifth of
the lines with one inviter, a twentieth with two.

    python bench/domain.py [--lines 7000] [--runs 5] [--profile]
"""

from __future__ import annotations

import argparse
import cProfile
import json
import platform
import pstats
import random
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
from msgspec import Struct

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from agents.rule_activation import note_activations
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.domain.pricing.rules import RuleVersion
from rebate_app.process_memory import tune_garbage_collection
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.cache import RecordCache
from rebate_app.streams.state.store import MemoryStore
from rebate_app.streams.task.stage import Stage
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.wire.rules.parsing import parse_rules

SEED = 20_260_101
#: Records; the engine's batches grow to about that under load (docs/spec/exactness.md#two-producers).
CHUNK = 1_000
USERS = 5_000
TARGET_US = 20
LOG = "log"
START = datetime.fromisoformat("2026-01-01T00:00:00+08:00")
NOW_MS = 1_785_000_000_000
RULES = """
schema = "rebate-rules/1"
version = "bench"
effective_from = 2025-01-01T00:00:00+08:00
[[level]]
id = "basic"
share_bps = { default = 5000, jd = 4400 }
[[level]]
id = "vip"
share_bps = { default = 7000 }
[inviter]
max_levels = 2
[[inviter.level]]
depth = 1
bps = { basic = 600, vip = 800 }
[[inviter.level]]
depth = 2
bps = { basic = 300, vip = 400 }
"""


class BenchRecord(Struct):
    """A record as the consumer hands it over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


def profiles() -> Iterator[tuple[bytes, bytes]]:
    """Yield profiles: of a hundred users twenty have one inviter and five have two."""
    for number in range(USERS):
        kind = number % 100
        inviter = f"boss{number % 50}" if kind < 20 else f"vice{number % 50}" if kind < 25 else None
        level = "vip" if number % 3 == 0 else "basic"
        yield _profile(f"u{number}", level, inviter)
    for number in range(50):
        yield _profile(f"boss{number}", "vip", None)
        yield _profile(f"vice{number}", "basic", f"boss{number}")


def _profile(user_id: str, level: str, inviter: str | None) -> tuple[bytes, bytes]:
    fact = {"schema": "user-fact/1", "kind": "user.profile", "user_id": user_id, "level": level}
    moment = {"inviter_id": inviter, "effective_at": "2025-01-01T00:00:00+08:00"}
    return user_id.encode(), orjson.dumps(fact | moment)


def snapshots(rng: random.Random, number: int) -> list[tuple[bytes, bytes]]:
    """Return the three facts of a line: paid, received, settled for a little less."""
    paid = START + timedelta(seconds=rng.randrange(86_400 * 20))
    commission = rng.randrange(100, 5_000)
    facts = []
    for step, status in enumerate(("paid", "received", "settled")):
        modified = (paid + timedelta(days=4 * step, seconds=rng.randrange(86_400))).isoformat()
        settled = status == "settled"
        fact: dict[str, Any] = {
            "schema": "order-event/1",
            "kind": "order.snapshot",
            "platform": "taobao",
            "order_line_id": f"39010000000{number:08d}",
            "seq": {"modified_at": modified, "fetch_seq": 900_000 + number},
            "status": status,
            "platform_status": {"paid": "12", "received": "14", "settled": "3"}[status],
            "attribution": {"user_id": f"u{number % USERS}"},
            "currency": "CNY",
            "amounts": {
                "est_commission": commission,
                "settled_commission": commission - 90 if settled else 0,
                "service_fee": commission // 10,
            },
            "times": {"paid": paid.isoformat(), "settled": modified if settled else None},
            "item": {"id": "n8XQv0-abc123", "title": "轻量跑鞋 男款"},
        }
        facts.append((b"taobao:" + fact["order_line_id"].encode(), orjson.dumps(fact)))
    return facts


def feed(rng: random.Random, lines: int) -> list[tuple[bytes, bytes]]:
    """Return the records of `order_topic`: the lines' stories interleaved, then half as many repeats."""
    stories = [snapshots(rng, number) for number in range(lines)]
    window = 500  # lines that are reported at a time
    reported = []
    for start in range(0, lines, window):
        part = stories[start : start + window]
        for step in range(3):
            reported += [story[step] for story in part]
    return reported + rng.choices(reported, k=len(reported) // 2)


def drive(stage: Stage, store: MemoryStore, records: list[BenchRecord]) -> list[tuple[bytes, bytes]]:
    """Run the records through a stage in batches; return what it sent."""
    sent = []
    cache = RecordCache()
    for start in range(0, len(records), CHUNK):
        transaction, collector = StateTransaction(store, cache), RecordCollector()
        processor = stage.processor(transaction, collector)
        for record in records[start : start + CHUNK]:
            processor.take(record)
        processor.finish()
        store.apply(transaction.changes, store.position + len(transaction.changes))
        cache.keep(transaction)
        sent += [
            (out.key, out.value) for out in collector.records if out.topic == "log" and out.key and out.value
        ]
    return sent


def run(lines: int) -> dict[str, float]:
    """Run the feed once; return the figures."""
    lines_stage, accounts = _stages()
    states, users = MemoryStore(), MemoryStore()
    log = _Log()
    transaction, noted = StateTransaction(users), RecordCollector()
    note_activations(accounts, users, (0, 1), -1, transaction, noted)
    users.apply(transaction.changes, 1)
    drive(accounts, users, log.append(list(profiles())))
    pairs = feed(random.Random(SEED), lines)
    events = [BenchRecord("orders", 0, n, NOW_MS, *pair) for n, pair in enumerate(pairs)]
    tune_garbage_collection()  # as a worker does
    begin = time.process_time()
    sent = drive(lines_stage, states, events)
    middle = time.process_time()
    messages = len(sent)
    while sent:  # targets, bonuses of the first inviter, of the second
        sent = drive(accounts, users, log.append(sent))
        messages += len(sent)
    end = time.process_time()
    return {
        "us_per_event": (end - begin) * 1e6 / len(events),
        "stage_1_us_per_event": (middle - begin) * 1e6 / len(events),
        "stage_2_us_per_message": (end - middle) * 1e6 / messages,
        "events": len(events),
        "messages": messages,
        "bytes_per_event": sum(len(event.value or b"") for event in events) / len(events),
        "line_bytes": _bytes_per_line(states, lines),
        "account_bytes_per_line": _bytes_per_line(users, lines),
    }


def _stages() -> tuple[OrderLinesStage, AccountsStage]:
    """Return both stages, with the rules of the bench."""
    version = parse_rules(RULES, "bench")
    assert isinstance(version, RuleVersion), version
    accounts = AccountsStage(
        source=LOG,
        changelog="a",
        dead_letter_topic="log-dlt",
        app="rebate",
        partitions=1,
        rules=RuleCatalogue([version]),
    )
    lines_stage = OrderLinesStage(
        source="orders",
        changelog="l",
        user_log=LOG,
        dead_letter_topic="dlt",
        app="rebate",
        partitions=1,
        user_id_fields="",
    )
    return lines_stage, accounts


class _Log:
    """The user log: each record that is appended gets the next offset."""

    def __init__(self) -> None:
        self._end = 0

    def append(self, sent: list[tuple[bytes, bytes]]) -> list[BenchRecord]:
        """Return the records as they stand in the log."""
        first, self._end = self._end, self._end + len(sent)
        return [BenchRecord(LOG, 0, first + n, NOW_MS, key, value) for n, (key, value) in enumerate(sent)]


def _bytes_per_line(store: MemoryStore, lines: int) -> float:
    return sum(len(key) + len(value) for key, value in store.items()) / lines


def main() -> None:
    """Print the figure for people, then everything as JSON."""
    parser = argparse.ArgumentParser(description="pure domain and codecs, both stages, one core")
    parser.add_argument("--lines", type=int, default=7_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--profile", action="store_true", help="print where the time goes instead")
    given = parser.parse_args()
    if given.profile:
        profiler = cProfile.Profile()
        profiler.runcall(run, given.lines)
        pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
        return
    results = [run(given.lines) for _ in range(given.runs)]
    best = min(results, key=lambda result: result["us_per_event"])
    print(
        f"{best['us_per_event']:.1f} µs an input event, best of {given.runs} (to reach: ≤ {TARGET_US}); "
        f"stage 1 {best['stage_1_us_per_event']:.1f} µs an event, "
        f"stage 2 {best['stage_2_us_per_message']:.1f} µs a message"
    )
    machine = {"machine": platform.machine(), "python": platform.python_version(), "seed": SEED}
    every = [round(result["us_per_event"], 2) for result in results]
    print(json.dumps({name: round(value, 2) for name, value in best.items()} | {"runs": every} | machine))


if __name__ == "__main__":
    main()
