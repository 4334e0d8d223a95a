"""What the doctor makes of logs that differ from their states, and of halted partitions."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from rebate_app.doctor import log_checks
from rebate_app.doctor.check_spec import Context
from rebate_app.doctor.log_checks import halted_result, log_results
from rebate_app.settings import load_settings
from rebate_app.streams.kafka.group_halts import HaltedPartition
from rebate_app.streams.kafka.topic_check import PartitionFound, TopicFound
from rebate_app.streams.state.log_identity import LogIds
from rebate_app.streams.state.log_losses import SeenLogs
from rebate_app.streams.state.log_memory import RememberedLogs, RememberedTopic
from rebate_app.streams.state.store import Watermark, encode_watermark

IDS = LogIds("c1", {"log": "t1"}, {"log": {0: 1}})
SEEN = SeenLogs(IDS, {("log", 0): 5})
REMEMBERED = RememberedLogs("c1", {"log": RememberedTopic("t1", {0: 5})})


def mark(offset: int = 4, topic_id: str = "t1", cluster: str = "c1") -> dict[tuple[str, int], Watermark]:
    """Return the newest watermark of the log's only partition."""
    return {("log", 0): Watermark(offset, "log", 1, topic_id, cluster=cluster)}


class TestLostLogs:
    """Each of the three that know something: the watermark, the folder, the partitions' number."""

    def test_that_fit(self) -> None:
        """With the folder of a worker's machine, and on another one."""
        assert [each.state for each in log_results(SEEN, REMEMBERED, mark(), 1)] == ["ok"]
        assert [each.state for each in log_results(SEEN, None, {}, 1)] == ["ok"]

    @pytest.mark.parametrize(
        ("seen", "remembered", "states", "expected"),
        [
            (SEEN, None, mark(topic_id="t2"), "log/0 was made anew"),
            (SEEN, None, mark(cluster="c2"), "was made on cluster c2"),
            (SEEN, None, mark(offset=5), "log/0 ends at 5, its state holds up to 5"),
            (SEEN, RememberedLogs("c2", {}), mark(), "the state was made on cluster c2"),
            (
                SEEN,
                RememberedLogs("c1", {"log": RememberedTopic("t1", {0: 6})}),
                mark(),
                "remembers its end at 6",
            ),
            (SeenLogs(LogIds("c1", {}), {}), REMEMBERED, {}, "log is gone"),
            (SeenLogs(LogIds("c1", {}, {"log": {0: 1, 1: 1}}), {}), None, {}, "log has 2 partitions"),
        ],
    )
    def test_that_do_not(
        self,
        seen: SeenLogs,
        remembered: RememberedLogs | None,
        states: dict[tuple[str, int], Watermark],
        expected: str,
    ) -> None:
        """A failure names what is missing, and the way on."""
        (result,) = log_results(seen, remembered, states, 1)
        assert (result.state, expected in result.summary) == ("fail", True), result.summary
        assert "new REBATE_APP_ID" in result.remedy

    def test_of_an_earlier_version(self) -> None:
        """A warning until the first takeover adopts the ids."""
        (result,) = log_results(SEEN, REMEMBERED, mark(topic_id="", cluster=""), 1)
        assert (result.state, "log/0" in result.summary) == ("warn", True)


def test_halted_partitions() -> None:
    """A failure with the command that reads on."""
    assert halted_result([]).state == "ok"
    result = halted_result([HaltedPartition("order_topic", 3, "dlq-limit", 41)])
    assert (result.state, "order_topic/3 (dlq-limit at 41)" in result.summary) == ("fail", True)
    assert "rebate dlq resume" in result.remedy


class Unconnected(Context):
    """A context whose consumers are not connected."""

    @asynccontextmanager
    async def consumer(self, isolation_level: str = "read_uncommitted") -> AsyncIterator[Any]:
        """Provide what nothing is read with."""
        yield isolation_level


class TestWhileWorkersGoOn:
    """Every read finds a longer log than the one before it."""

    def test_a_state_is_not_ahead_of_its_log(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Ends that were read before the states would be behind them, and look like a loss."""
        settings = load_settings({"REBATE_DATADIR": str(tmp_path), "REBATE_PARTITIONS": "1"})
        context = Unconnected.of(settings, {})
        topics = context.topics
        ends = itertools.count(5)

        async def look_once(*_: object) -> SeenLogs:
            leaders = {name: {0: 1} for name in (*topics.sources, *topics.changelogs)}
            ids = LogIds("c1", dict.fromkeys(topics.sources, "t1"), leaders)
            return SeenLogs(ids, dict.fromkeys(((name, 0) for name in topics.sources), next(ends)))

        async def newest_watermarks(_: object, spots: list[TopicPartition]) -> dict[TopicPartition, object]:
            value = encode_watermark(Watermark(next(ends) - 1, "log", 1, "t1", cluster="c1"))
            return {spot: SimpleNamespace(value=value) for spot in spots}

        monkeypatch.setattr(log_checks, "look_once", look_once)
        monkeypatch.setattr(log_checks, "newest_watermarks", newest_watermarks)
        context.found = {name: TopicFound({0: PartitionFound(1, 1, 1)}, {}) for name in topics.changelogs}
        (result,) = asyncio.run(log_checks.check_logs(context))
        assert result.state == "ok", result.summary
