"""Watch a topic from outside: the time of its last committed record, and whether it holds all effects.

A contender is done when the accounts in its changelog, read `read_committed`, hold every order
once; the moment is that of the last movement of the changelog's stable end, seen within POLL_S. While
it runs only offsets are requested, which costs next to nothing; records are read when it is quiet.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

POLL_S = 0.02
QUIET_S = 1.0
QUIET_SHARE = 0.1  # of the time that it took: bursts are not read in between


class Tally(Protocol):
    """What is counted in a changelog."""

    def take(self, key: bytes, value: bytes) -> None:
        """Look at the last record of a key."""
        ...

    def holds(self) -> tuple[int, ...]:
        """Return what was found so far."""
        ...


class AccountSums:
    """Events, lines and rebate of all accounts of the toy together."""

    def __init__(self) -> None:
        self._accounts: dict[bytes, tuple[int, ...]] = {}

    def take(self, key: bytes, value: bytes) -> None:
        """Look at an account; what is no account, as a watermark, is left out."""
        account = json.loads(value)
        if "events" in account:
            self._accounts[key] = (account["events"], account["lines"], account["rebate"])

    def holds(self) -> tuple[int, ...]:
        """Return the three sums."""
        return tuple(map(sum, zip(*self._accounts.values(), strict=True))) or (0, 0, 0)


class LineRecords:
    """How many lines of how many accounts the real table has: its keys that begin with `l`."""

    def __init__(self) -> None:
        self._keys: set[bytes] = set()

    def take(self, key: bytes, value: bytes) -> None:
        """Look at a key."""
        del value
        if key.startswith(b"l "):
            self._keys.add(key)

    def holds(self) -> tuple[int, ...]:
        """Return their number."""
        return (len(self._keys),)


#: Pathway writes a change as two records, in any order: the old value with `diff` −1, and the new one with 1.
TAKEN_BACK = b'"diff":-1'


def latest(records: Iterable[tuple[bytes, bytes | None]]) -> dict[bytes, bytes]:
    """Return the last value of each key, without those that are only taken back."""
    return {key: value for key, value in records if value is not None and TAKEN_BACK not in value}


class Watch:
    """A reader of one topic, from its beginning."""

    def __init__(self, broker: str, topic: str, tally: Tally) -> None:
        self.topic = topic
        self._tally = tally
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=broker,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=20,
            max_partition_fetch_bytes=4 * 1_048_576,
        )
        self._spots: list[TopicPartition] = []

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def appear(self, seconds_max: float, check: Callable[[], None]) -> None:
        """Wait until the topic is there; `check` raises when there is nothing more to wait for."""
        deadline = time.monotonic() + seconds_max
        while self.topic not in await self._consumer.topics():
            check()
            await _pause(deadline, f"{self.topic} was not created")
        await self._consumer._client.force_metadata_update()  # noqa: SLF001 - no public way
        cluster = self._consumer._client.cluster  # noqa: SLF001
        self._consumer._client.add_topic(self.topic)  # noqa: SLF001
        while not (numbers := cluster.partitions_for_topic(self.topic)):
            await self._consumer._client.force_metadata_update()  # noqa: SLF001
            await _pause(deadline, f"{self.topic} has no partitions")
        self._spots = [TopicPartition(self.topic, number) for number in sorted(numbers)]
        self._consumer.assign(self._spots)
        for spot in self._spots:
            self._consumer.seek(spot, 0)
        self._consumer.pause(*self._spots)

    async def ends(self) -> tuple[int, ...]:
        """Return the stable end of each partition."""
        try:
            found = await self._consumer.end_offsets(self._spots)
        except KafkaError:
            return ()
        return tuple(found[spot] for spot in self._spots)

    async def holds(self) -> tuple[int, ...]:
        """Read on to the end; return what the tally found."""
        ends = await self._consumer.end_offsets(self._spots)
        self._consumer.resume(*self._spots)
        while any([await self._consumer.position(spot) < end for spot, end in ends.items()]):
            for records in (await self._consumer.getmany(timeout_ms=100)).values():
                for key, value in latest((record.key, record.value) for record in records).items():
                    self._tally.take(key, value)
        self._consumer.pause(*self._spots)
        return self._tally.holds()

    async def done_at(self, wanted: tuple[int, ...], seconds_max: float, check: Callable[[], None]) -> float:
        """Return the moment (monotonic) at which the accounts came to hold what is wanted."""
        began = moved = time.monotonic()
        ends = await self.ends()
        checked: tuple[int, ...] = ()
        while True:
            await asyncio.sleep(POLL_S)
            check()
            now, found = time.monotonic(), await self.ends()
            if found and found != ends:
                ends, moved = found, now
            elif now - moved > max(QUIET_S, QUIET_SHARE * (moved - began)) and checked != ends:
                checked = ends
                if await self.holds() == wanted:
                    return moved
            if now - began > seconds_max:
                raise TimeoutError(f"{self.topic} holds {await self.holds()}, not {wanted}")


async def _pause(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError(what)
    await asyncio.sleep(POLL_S)
