"""The event epoch: decided once, as configured, else so that no event is emitted twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rebate_app.settings import ConfigurationError, load_settings
from rebate_app.streams.errors import UnreadableRecordError
from rebate_app.streams.kafka.event_epoch import EVERYTHING_MS, EventEpoch, decide, event_epoch, first_epoch
from rebate_app.streams.kafka.used_rules import Registry, read_used_rules
from rebate_app.wire.unreadable import BadRecord
from rebate_app.wire.used_rules import EVENT_EPOCH_PREFIX, USER_ID_FIELDS_KEY
from tests.e2e.conftest import RULES
from tests.rig.system import System
from tests.topology_driver import LogRecord

NOW_MS = 1_785_000_000_000


class TestDecision:
    """A function of the setting, the registry and the topic."""

    @pytest.mark.parametrize(
        ("configured", "registry", "ends", "since_ms"),
        [
            (None, {}, [0, 0], EVERYTHING_MS),
            (None, {}, [0, 3], NOW_MS),
            (None, {USER_ID_FIELDS_KEY: "x"}, [0, 0], NOW_MS),
            ("beginning", {USER_ID_FIELDS_KEY: "x"}, [0, 3], EVERYTHING_MS),
            (datetime(2026, 1, 1, tzinfo=UTC), {}, [0, 0], 1_767_225_600_000),
        ],
    )
    def test_since(
        self, configured: datetime | str | None, registry: dict[str, str], ends: list[int], since_ms: int
    ) -> None:
        """A new app on a topic that never had an event emits everything, all others from now on."""
        assert decide(configured, registry, ends, NOW_MS) == EventEpoch(since_ms, ends)

    def test_the_first_epoch_wins(self) -> None:
        """However many workers have started at once."""
        registry = {
            "version r1": "abc",
            f"{EVENT_EPOCH_PREFIX}b": '{"since_ms":5,"from":[1,2],"format":1}',
            f"{EVENT_EPOCH_PREFIX}a": '{"since_ms":-1,"from":[],"format":1}',
        }
        assert first_epoch(registry) == EventEpoch(5, [1, 2])
        assert first_epoch({"version r1": "abc"}) is None

    def test_an_epoch_that_cannot_be_decoded(self) -> None:
        """It is refused: guessed, it would emit everything again."""
        with pytest.raises(ConfigurationError, match="cannot be read"):
            first_epoch({f"{EVENT_EPOCH_PREFIX}a": "{"})

    @pytest.mark.parametrize("value", ["beginning", "2026-01-01T00:00:00+08:00"])
    def test_settings_that_are_accepted(self, value: str) -> None:
        """A moment with offset, or the beginning."""
        assert load_settings({"REBATE_EVENTS_SINCE": value}).events_since is not None

    @pytest.mark.parametrize("value", ["end", "2026-01-01T00:00:00", ""])
    def test_settings_that_are_refused(self, value: str) -> None:
        """A moment without UTC offset is refused."""
        with pytest.raises(ConfigurationError):
            load_settings({"REBATE_EVENTS_SINCE": value})


class TestContents:
    """The registry as its records make it: the last value holds, but for the first start."""

    def contents(self, *records: tuple[bytes | None, bytes | None]) -> tuple[dict[str, str], list[str]]:
        """Return what holds, and the faults of what was skipped."""
        skipped: list[BadRecord] = []
        registry = Registry("rules", skipped.append)
        for offset, (key, value) in enumerate(records):
            registry.take(LogRecord("rules", 0, offset, 0, key, value))
        held = registry.values()
        return held, [f"{bad.place.offset} {bad.fault}" for bad in skipped]

    def test_junk_decides_nothing(self) -> None:
        """The value before it holds; a key of nobody is no rule version."""
        good, key = b"a" * 64, b"version r1"
        held, skipped = self.contents((key, good), (key, b"junk"), (None, b"x"), (b"x", b"y"), (b"\xff", b""))
        assert held == {"version r1": good.decode()}
        assert [fault.split()[0] for fault in skipped] == ["1", "2", "3", "4"]

    def test_a_tombstone_removes_the_key(self) -> None:
        """As after compaction: the key holds nothing."""
        assert self.contents((b"user_id_fields", b"x"), (b"user_id_fields", None)) == ({}, [])

    def test_a_first_epoch_that_cannot_be_decoded(self) -> None:
        """It is refused while it is the first, skipped behind another one, gone with a tombstone."""
        good, start = (b"first-start a", b'{"since_ms":5}'), (b"first-start b", b"[")
        assert len(self.contents(good, start)[1]) == 1
        assert self.contents(start, (b"first-start b", None), good)[0] == {"first-start a": good[1].decode()}
        with pytest.raises(UnreadableRecordError, match="rules/0/0 cannot be read"):
            self.contents(start, good)


class TestOnKafka:
    """Kept in the registry."""

    def test_workers_that_start_at_once_agree(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Each gets the same decision, now and later, with another clock and other settings."""
        with System(kafka, topic_prefix, tmp_path, [RULES]) as system:

            async def start() -> list[EventEpoch]:
                starts = [event_epoch(system.settings, system.topics, NOW_MS + n) for n in range(3)]
                return list(await asyncio.gather(*starts))

            found = asyncio.run(start())
            system.produce(system.topics.events, [(b"u1", b"{}")])
            found += asyncio.run(start())
            assert found == [EventEpoch(EVERYTHING_MS, [0, 0, 0, 0])] * 6
            kept = asyncio.run(read_used_rules(system.settings, system.topics))
            assert 1 <= len(kept) <= 3
