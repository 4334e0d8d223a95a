"""Writes to a partition of a running system, and runs commands beside it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiokafka import AIOKafkaProducer

from rebate_app.streams.kafka.clients import started
from tests.rig.system import CHECKOUT, System

SECONDS_MAX = 240.0


def write(system: System, topic: str, partition: int, key: bytes, value: bytes) -> None:
    """Write one record to a partition, as a plain producer does."""

    async def send() -> None:
        async with started(
            AIOKafkaProducer(bootstrap_servers=system.settings.broker, acks="all")
        ) as producer:
            await producer.send_and_wait(topic, value, key=key, partition=partition)

    asyncio.run(send())


def environment_of(system: System, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment of the system's commands."""
    return system.environment(system.settings.web_port, 0) | dict(changes or {})


def run(system: System, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run `rebate` with some settings changed."""
    return subprocess.run(
        [sys.executable, "-m", "rebate_app.cli", *arguments],
        cwd=CHECKOUT,
        env=environment_of(system, changes),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )


@contextmanager
def in_background(system: System, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run `rebate` while the block runs, and wait for its end; it has to succeed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "rebate_app.cli", *arguments],
        cwd=CHECKOUT,
        env=environment_of(system),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
        _, errors = process.communicate(timeout=SECONDS_MAX)
        assert process.returncode == 0, errors
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
