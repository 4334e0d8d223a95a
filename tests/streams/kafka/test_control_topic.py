"""Control topics: junk decides nothing, null takes back, and the first or the last record holds."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from aiokafka.admin import NewTopic
from aiokafka.client import AIOKafkaClient

from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.kafka.control_topic import ControlTopic, Precedence
from rebate_app.wire.unreadable import BadRecord, UnreadableValueError
from tests.rig.system import produce
from tests.topology_driver import LogRecord

OTHERS = b"other "
SECONDS_MAX = 120.0


def decode(key: bytes | None, value: bytes | None) -> tuple[str, int | None] | None:
    """Return a number under a name; keys that begin with `other ` belong to somebody else."""
    if key is None or (value is not None and not value.isdigit()):
        raise UnreadableValueError("it is no number")
    return None if key.startswith(OTHERS) else (key.decode(), None if value is None else int(value))


def taken(
    *records: tuple[bytes | None, bytes | None], precedence: Precedence = Precedence.LAST_RECORD_HOLDS
) -> tuple[dict[str, int], list[int]]:
    """Return the entries, and the offsets that were skipped."""
    skipped: list[BadRecord] = []
    topic = ControlTopic("t", decode, skipped.append, precedence)
    for offset, (key, value) in enumerate(records):
        topic.take(LogRecord("t", 0, offset, 0, key, value))
    assert topic.position == len(records)
    return topic.entries, [bad.place.offset for bad in skipped]


class TestTake:
    """One record after the other."""

    def test_the_last_record_holds(self) -> None:
        """A tombstone takes it back."""
        assert taken((b"a", b"1"), (b"b", b"2"), (b"a", b"3"), (b"b", None)) == ({"a": 3}, [])

    def test_the_first_record_wins(self) -> None:
        """Neither a later record nor a tombstone changes it."""
        wins = Precedence.FIRST_RECORD_WINS
        assert taken((b"a", b"1"), (b"a", b"2"), (b"a", None), precedence=wins) == ({"a": 1}, [])

    def test_junk_decides_nothing(self) -> None:
        """It is skipped with its place, and the record before it holds; records of others are no junk."""
        assert taken((b"a", b"1"), (b"a", b"junk"), (None, b"2"), (b"other x", b"3")) == ({"a": 1}, [1, 2])


@pytest.mark.asyncio
class TestOnKafka:
    """Read whole, read on, and followed live."""

    async def test_read_on_and_follow(self, kafka: str, topic_prefix: str) -> None:
        """Reading again begins where the last reading ended; whoever follows gets each change."""
        name, options = f"{topic_prefix}control", {"bootstrap_servers": kafka}
        async with started(PatientAdmin(**options)) as admin:
            await admin.create_topics([NewTopic(name, 1, 1)])
        topic: ControlTopic[str, int] = ControlTopic(name, decode)
        assert await topic.read_once(options) == {}
        await produce(kafka, name, [(b"a", b"1"), (b"a", b"junk")])
        assert await topic.read_once(options) == {"a": 1}
        seen: asyncio.Queue[dict[str, int]] = asyncio.Queue()
        following = asyncio.create_task(topic.follow(options, lambda: seen.put_nowait(dict(topic.entries))))
        try:
            assert await asyncio.wait_for(seen.get(), SECONDS_MAX) == {"a": 1}
            await produce(kafka, name, [(b"b", b"2")])
            assert await asyncio.wait_for(seen.get(), SECONDS_MAX) == {"a": 1, "b": 2}
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        assert (topic.position, seen.qsize()) == (3, 0)

    async def test_following_costs_hardly_a_request(
        self, kafka: str, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """While nothing comes, the broker holds a fetch back: a worker follows several topics for ever."""
        name, options = f"{topic_prefix}control", {"bootstrap_servers": kafka}
        async with started(PatientAdmin(**options)) as admin:
            await admin.create_topics([NewTopic(name, 1, 1)])
        await produce(kafka, name, [(b"a", b"1")])
        sent: list[str] = []
        fourth = asyncio.Event()
        send = AIOKafkaClient.send

        async def counted(client: AIOKafkaClient, node: int, request: Any, **how: Any) -> Any:
            sent.append(type(request).__name__)
            if len(sent) == 4:
                fourth.set()
            return await send(client, node, request, **how)

        topic, ready = ControlTopic(name, decode), asyncio.Event()
        following = asyncio.create_task(topic.follow(options, ready.set))
        try:
            await asyncio.wait_for(ready.wait(), SECONDS_MAX)
            monkeypatch.setattr(AIOKafkaClient, "send", counted)
            began = time.monotonic()
            await asyncio.wait_for(fourth.wait(), SECONDS_MAX)
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        assert time.monotonic() - began > 1.0, sent

    async def test_a_topic_that_was_made_anew(self, kafka: str, topic_prefix: str) -> None:
        """A log that is shorter than what was read is read from its beginning."""
        name, options = f"{topic_prefix}control", {"bootstrap_servers": kafka}
        async with started(PatientAdmin(**options)) as admin:
            await admin.create_topics([NewTopic(name, 1, 1)])
        topic: ControlTopic[str, int] = ControlTopic(name, decode)
        topic.entries["old"], topic.position = 1, 7
        await produce(kafka, name, [(b"new", b"2")])
        assert await topic.read_once(options) == {"new": 2}
