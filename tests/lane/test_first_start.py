"""Since when an app tells: decided once, as asked, else so that nobody is told what he knows already."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rebate_app.lane.first_start import EVERYTHING_MS, FirstStart, decide, first_in, first_start
from rebate_app.lane.registry import read_registry
from rebate_app.settings import ConfigurationError, load_settings
from rebate_app.wire.topics import FIRST_START_PREFIX, USER_ID_FIELDS_KEY
from tests.e2e.conftest import RULES
from tests.rig.system import System

NOW_MS = 1_785_000_000_000


class TestDecision:
    """A function of what was asked, of the registry and of the topic."""

    @pytest.mark.parametrize(
        ("asked", "registry", "ends", "since_ms"),
        [
            (None, {}, [0, 0], EVERYTHING_MS),
            (None, {}, [0, 3], NOW_MS),
            (None, {USER_ID_FIELDS_KEY: "x"}, [0, 0], NOW_MS),
            ("beginning", {USER_ID_FIELDS_KEY: "x"}, [0, 3], EVERYTHING_MS),
            (datetime(2026, 1, 1, tzinfo=UTC), {}, [0, 0], 1_767_225_600_000),
        ],
    )
    def test_since(
        self, asked: datetime | str | None, registry: dict[str, str], ends: list[int], since_ms: int
    ) -> None:
        """A new app on a topic that never had an event tells everything, all others from now on."""
        assert decide(asked, registry, ends, NOW_MS) == FirstStart(since_ms, ends)

    def test_the_first_counts(self) -> None:
        """However many workers have started at once."""
        registry = {
            "version r1": "abc",
            f"{FIRST_START_PREFIX}b": '{"since_ms":5,"from":[1,2],"format":1}',
            f"{FIRST_START_PREFIX}a": '{"since_ms":-1,"from":[],"format":1}',
        }
        assert first_in(registry) == FirstStart(5, [1, 2])
        assert first_in({"version r1": "abc"}) is None

    def test_what_cannot_be_read(self) -> None:
        """Is refused: guessed, it would tell everything again."""
        with pytest.raises(ConfigurationError, match="cannot be read"):
            first_in({f"{FIRST_START_PREFIX}a": "{"})

    @pytest.mark.parametrize("value", ["beginning", "2026-01-01T00:00:00+08:00"])
    def test_what_can_be_asked(self, value: str) -> None:
        """A moment with offset, or the beginning."""
        assert load_settings({"REBATE_EVENTS_SINCE": value}).events_since is not None

    @pytest.mark.parametrize("value", ["end", "2026-01-01T00:00:00", ""])
    def test_what_cannot_be_asked(self, value: str) -> None:
        """A moment without offset says nothing."""
        with pytest.raises(ConfigurationError):
            load_settings({"REBATE_EVENTS_SINCE": value})


class TestOnKafka:
    """Kept in the registry."""

    def test_all_that_start_at_once_agree(self, kafka: str, topic_prefix: str, tmp_path: Path) -> None:
        """Each gets the same decision, now and later, with another clock and other settings."""
        with System(kafka, topic_prefix, tmp_path, [RULES]) as system:

            async def start() -> list[FirstStart]:
                starts = [first_start(system.settings, system.topics, NOW_MS + n) for n in range(3)]
                return list(await asyncio.gather(*starts))

            found = asyncio.run(start())
            system.produce(system.topics.events, [(b"u1", b"{}")])
            found += asyncio.run(start())
            assert found == [FirstStart(EVERYTHING_MS, [0, 0, 0, 0])] * 6
            kept = asyncio.run(read_registry(system.settings, system.topics))
            assert 1 <= len(kept) <= 3
