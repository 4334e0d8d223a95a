"""State and source that do not belong together are refused.

See docs/spec/exactness.md#crash-points, rows 7 and 15.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from rebate_app.settings import EXIT_CONFIGURATION
from rebate_app.streams.errors import StateLostError
from rebate_app.streams.kafka.clients import PatientAdmin, started
from rebate_app.streams.state.store import Watermark
from rebate_app.streams.task.source_check import LogIdentity, adopted, check_source
from tests.e2e.conftest import NewSystem, new_system
from tests.e2e.test_workers import order
from tests.rig.system import System
from tests.streams.small_stage import SmallStage

__all__ = ["new_system"]

STAGE = SmallStage("p-")
PARTITIONS = 4
NOW = LogIdentity("c1", "t1")


def mark(offset: int, topic: str = STAGE.source, partitions: int = PARTITIONS) -> Watermark:
    """Return a watermark."""
    return Watermark(offset, topic, partitions)


class TestCheck:
    """(log start, end, committed) against the watermark."""

    @pytest.mark.parametrize(
        ("watermark", "offsets"),
        [
            (None, (0, 0, None)),
            (None, (0, 9, 0)),
            (mark(4), (0, 5, None)),
            (mark(4), (0, 9, 5)),
            (mark(4), (5, 9, 2)),  # cut up to the watermark, and the group is behind: nothing is missing
        ],
    )
    def test_what_fits(self, watermark: Watermark | None, offsets: tuple[int, int, int | None]) -> None:
        """Everything after the watermark is there, and nobody was further."""
        check_source(STAGE, 1, PARTITIONS, watermark, offsets, NOW)

    @pytest.mark.parametrize(
        ("watermark", "offsets", "message"),
        [
            (None, (1, 9, None), "begins at 1, 0 is needed: input was lost"),
            (mark(4), (6, 9, None), "begins at 6, 5 is needed: input was lost"),
            (mark(4), (0, 4, None), "ends at 4, the state holds up to 4: it was re-created"),
            (mark(4), (0, 9, 6), "committed 6 on p-source/1, the state holds up to 4: state was lost"),
            (None, (0, 9, 3), "committed 3 on p-source/1, the state holds up to -1: state was lost"),
            (mark(4, "another"), (0, 9, 5), "was made from another with 4 partitions"),
            (mark(4, partitions=8), (0, 9, 5), "with 8 partitions, not from p-source with 4"),
        ],
    )
    def test_what_was_lost(
        self, watermark: Watermark | None, offsets: tuple[int, int, int | None], message: str
    ) -> None:
        """One sentence, and the exit code of a configuration that a person has to look at."""
        with pytest.raises(StateLostError, match=message) as lost:
            check_source(STAGE, 1, PARTITIONS, watermark, offsets, NOW)
        assert "new REBATE_APP_ID" in str(lost.value)
        assert lost.value.exit_code == EXIT_CONFIGURATION


class TestIdentity:
    """Cluster and topic of the watermark against those of now."""

    @pytest.mark.parametrize(("cluster", "topic_id"), [("", ""), ("c1", "t1"), ("c1", ""), ("", "t1")])
    def test_the_same_or_unknown(self, cluster: str, topic_id: str) -> None:
        """A watermark of an earlier version has no ids, and adopts those of now; nothing else changes it."""
        known = Watermark(4, STAGE.source, PARTITIONS, topic_id, cluster=cluster)
        check_source(STAGE, 1, PARTITIONS, known, (0, 5, 5), NOW)
        whole = Watermark(4, STAGE.source, PARTITIONS, "t1", cluster="c1")
        assert adopted(known, NOW) == (None if (cluster, topic_id) == ("c1", "t1") else whole)

    @pytest.mark.parametrize(
        ("cluster", "topic_id", "message"),
        [
            ("c2", "t1", "the cluster is c1, the state of p-source/1 was made on cluster c2"),
            ("c1", "t2", "p-source/1 was made anew: its topic id is t1, not t2"),
            ("", "t2", "made anew"),
        ],
    )
    def test_another(self, cluster: str, topic_id: str, message: str) -> None:
        """Whatever the offsets are."""
        known = Watermark(4, STAGE.source, PARTITIONS, topic_id, cluster=cluster)
        with pytest.raises(StateLostError, match=message):
            check_source(STAGE, 1, PARTITIONS, known, (0, 5, 5), NOW)

    def test_a_broker_without_topic_ids(self) -> None:
        """Names and cluster decide, and a known id is kept."""
        known = Watermark(4, STAGE.source, PARTITIONS, "t2", cluster="c1")
        check_source(STAGE, 1, PARTITIONS, known, (0, 5, 5), LogIdentity("c1", ""))
        assert adopted(known, LogIdentity("c1", "")) is None


async def commit_ahead(system: System) -> None:
    """Have the group commit beyond everything, as a tool in the wrong hands would."""
    member = AIOKafkaConsumer(
        bootstrap_servers=system.settings.broker, group_id=system.settings.scope, enable_auto_commit=False
    )
    tp = TopicPartition(system.topics.orders, 0)
    async with started(member) as consumer:
        consumer.assign([tp])
        await consumer.commit({tp: OffsetAndMetadata(1_000, "")})


async def cut(system: System) -> None:
    """Delete what nobody has read yet, as retention would."""
    tp = TopicPartition(system.topics.orders, 0)
    async with started(PatientAdmin(bootstrap_servers=system.settings.broker)) as admin:
        await admin.delete_records({tp: RecordsToDelete(before_offset=-1)})


@pytest.mark.kafka
class TestWorker:
    """A worker that meets it."""

    @pytest.mark.parametrize(
        ("harm", "message"),
        [(commit_ahead, "state was lost"), (cut, "input was lost")],
        ids=["commit", "cut"],
    )
    def test_it_ends_with_78(self, new_system: NewSystem, harm: Callable[..., object], message: str) -> None:
        """It answers nothing that may be wrong, and its last words say what happened."""
        system: System = new_system(REBATE_PARTITIONS="1")
        worker = system.start_worker()
        worker.wait_ready()
        system.send_orders([order("u1")])
        system.wait_idle()
        assert worker.stop() == 0
        system.send_orders(order(f"u{number}") for number in range(2, 9))
        asyncio.run(harm(system))  # type: ignore[arg-type]
        again = system.start_worker()
        assert again.wait_exit(40) == EXIT_CONFIGURATION
        assert message in again.log_text()
