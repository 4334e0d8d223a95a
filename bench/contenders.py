"""Who takes part: how each is started, in which topic its accounts stand, and what its guarantee is.

Settings of the peers and the reasons for them: bench/README.md.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct

from bench import peers
from bench.place import Run

Command = tuple[list[str], dict[str, str]]  # what to start, and its environment


class Contender(Struct, frozen=True):
    """One way to do the job. `share`: which part of the orders it is given, since some are slow."""

    name: str
    title: str
    command: Callable[[Run], Command]
    accounts: Callable[[Run], str]
    store: str = "memory"
    exactly_once: bool = True
    feed: str = "toy"
    share: float = 1.0
    reads_committed: bool = True
    prepare: Callable[[Run], None] = lambda _: None


def our_command(run: Run, app: str, store: str, number: int = 0, **more: str) -> Command:
    """Return how a worker of ours is started, as an operator would."""
    command = [sys.executable, "-m", "faust", "-A", app, "worker", "-l", "info"]
    return command, run.environment(number, REBATE_STORE=store, **more)


def _ours(app: str, store: str) -> Callable[[Run], Command]:
    return lambda run: our_command(run, app, store)


def _by_hand(store: str, *, exactly_once: bool, fold: str = "toy") -> Callable[[Run], Command]:
    def command(run: Run) -> Command:
        given = {
            "--broker": run.place.broker,
            "--prefix": run.prefix,
            "--store": store,
            "--fold": fold,
            "--folder": str(run.folder / "hand"),
            "--rules": str(run.place.folder / "rules"),
        }
        flags = ["--exactly-once"] if exactly_once else []
        return [sys.executable, "-m", "bench.by_hand", *_flat(given), *flags], {}

    return command


def _flat(given: Mapping[str, str | Path]) -> list[str]:
    return [str(part) for pair in given.items() for part in pair]


def _own_changelog(run: Run) -> str:
    return run.topics.accounts.changelog


OURS = "bench.ours"
PRODUCT = "rebate_app"
EVERYBODY = [
    Contender(
        "l1",
        "by hand, at least once",
        _by_hand("memory", exactly_once=False),
        _own_changelog,
        exactly_once=False,
    ),
    Contender("l1x", "by hand, exactly once", _by_hand("memory", exactly_once=True), _own_changelog),
    Contender(
        "l1x-rocksdb",
        "by hand, exactly once, RocksDB",
        _by_hand("rocksdb", exactly_once=True),
        _own_changelog,
        store="rocksdb",
    ),
    Contender("ours-toy", "ours", _ours(OURS, "memory"), _own_changelog),
    Contender("ours-toy-rocksdb", "ours, RocksDB", _ours(OURS, "rocksdb"), _own_changelog, store="rocksdb"),
    Contender("streams", "Kafka Streams, memory", peers.streams("memory"), peers.streams_accounts),
    Contender(
        "streams-rocksdb",
        "Kafka Streams, RocksDB",
        peers.streams("rocksdb"),
        peers.streams_accounts,
        store="rocksdb",
    ),
    Contender("quix", "Quix Streams, RocksDB", peers.quix, peers.quix_accounts, store="rocksdb", share=0.25),
    Contender(
        "flink",
        "Flink, RocksDB",
        peers.flink,
        peers.account_states,
        store="rocksdb",
        prepare=peers.account_states_topic,
    ),
    Contender(
        "bytewax",
        "Bytewax, memory and SQLite",
        peers.bytewax,
        peers.account_states,
        exactly_once=False,
        share=0.1,
        prepare=peers.bytewax_prepare,
    ),
    Contender(
        "pathway",
        "Pathway, memory and files",
        peers.pathway,
        peers.account_states,
        exactly_once=False,
        share=0.25,
        prepare=peers.account_states_topic,
    ),
    Contender(
        "faust",
        "Faust as documented",
        peers.faust("at_least_once"),
        peers.faust_accounts,
        exactly_once=False,
        share=0.02,
        reads_committed=False,
        prepare=peers.faust_topics,
    ),
    Contender(
        "faust-eos",
        "Faust as documented, exactly_once",
        peers.faust("exactly_once"),
        peers.faust_accounts,
        share=0.02,
        prepare=peers.faust_topics,
    ),
    *(
        Contender(
            f"{name}-{feed}{disk}", f"{title}, {about}", command, _own_changelog, store=store, feed=feed
        )
        for feed, about in (("life", "real domain"), ("paid", "real domain, new lines only"))
        for store, disk in (("memory", ""), ("rocksdb", "-rocksdb"))
        for name, title, command in (
            ("l1x", "by hand", _by_hand(store, exactly_once=True, fold="real")),
            ("ours", "ours", _ours(PRODUCT, store)),
        )
    ),
]
#: What only the row `latency` has: `streams-100ms` is `streams`, named after its commit interval.
FOR_LATENCY = [
    Contender(
        f"streams-{commit_ms}ms",
        f"Kafka Streams, memory, commit interval {commit_ms} ms",
        peers.streams("memory", commit_ms),
        peers.streams_accounts,
    )
    for commit_ms in (100, 10)
]
BY_NAME = {contender.name: contender for contender in [*EVERYBODY, *FOR_LATENCY]}
