"""Where a benchmark happens: one broker for all contenders, and topics of its own for each run.

A run's topics begin with its prefix, exist before any contender starts, with the partitions and
the configuration that the product wants, and are deleted after it, so that no run sees another's.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from msgspec import Struct

from bench.domain import RULES
from bench.orders import PARTITIONS
from bench.process import CHECKOUT
from rebate_app.broker import LocalKafka, free_port
from rebate_app.settings import Settings, load_settings
from rebate_app.streams.kafka.admin import ensure_topics
from rebate_app.wire.topics import Topics

FOLDER = CHECKOUT / ".rebate" / "bench"
#: The broker keeps what is written in memory and flushes as it likes, as Kafka does by default.
BROKER = {"group.initial.rebalance.delay.ms": "0"}


class Place(Struct, frozen=True):
    """The broker of a benchmark."""

    broker: str
    broker_pid: int
    folder: Path


class Run(Struct, frozen=True):
    """One run: its topics, its folder, its settings."""

    place: Place
    prefix: str
    folder: Path
    settings: Settings
    topics: Topics

    def environment(self, number: int = 0, **more: str) -> dict[str, str]:
        """Return the environment of worker number so-and-so of ours."""
        return self._rebate() | {
            "REBATE_WEB_PORT": str(free_port()),
            "REBATE_DATADIR": str(self.folder / f"worker-{number}"),
            **more,
        }

    def settle(self, seconds_max: float = 600.0) -> None:
        """Return when all that was sent is in the balances: `rebate lag --wait`, which misses no hop."""
        done = subprocess.run(
            [sys.executable, "-m", "rebate_app.cli", "lag", "--wait", str(seconds_max)],
            cwd=CHECKOUT,
            env=dict(os.environ) | self._rebate(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"rebate lag: {done.stdout}{done.stderr}")

    def _rebate(self) -> dict[str, str]:
        return {
            "REBATE_BROKER": self.place.broker,
            "REBATE_TOPIC_PREFIX": self.prefix,
            "REBATE_RULES": str(self.place.folder / "rules"),
            "REBATE_PARTITIONS": str(self.settings.partitions),
        }


@contextmanager
def place(broker: str | None = None) -> Iterator[Place]:
    """Give a broker: a fresh local one, which ends with the block."""
    del broker
    folder = FOLDER / f"run-{uuid4().hex[:8]}"
    (folder / "rules").mkdir(parents=True)
    (folder / "rules" / "bench.toml").write_text(RULES, encoding="utf-8")
    kafka = LocalKafka(
        folder / "broker", free_port(), jars_home=CHECKOUT / ".rebate" / "kafka", overrides=BROKER
    )
    try:
        with kafka:
            yield Place(kafka.address, kafka.status().pid or 0, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_run(where: Place, name: str, *, partitions: int = PARTITIONS) -> Iterator[Run]:
    """Give topics and a folder of their own."""
    prefix = f"{name}-{uuid4().hex[:6]}-"
    folder = where.folder / prefix.rstrip("-")
    folder.mkdir()
    environment = {
        "REBATE_BROKER": where.broker,
        "REBATE_TOPIC_PREFIX": prefix,
        "REBATE_RULES": str(where.folder / "rules"),
        "REBATE_PARTITIONS": str(partitions),
    }
    settings = load_settings(environment)
    asyncio.run(ensure_topics(settings))
    try:
        yield Run(where, prefix, folder, settings, Topics.of(settings))
    finally:
        asyncio.run(_delete(where.broker, prefix))
        shutil.rmtree(folder, ignore_errors=True)


async def _delete(broker: str, prefix: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if prefix in name]
        await admin.delete_topics(names)
    finally:
        await admin.close()
