"""Every difference of a topic from what it has to be: which keep a worker from starting, and what to do."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pytest

from rebate_app.settings import load_settings
from rebate_app.streams.kafka.replication import Replication
from rebate_app.streams.kafka.topic_check import Difference, PartitionFound, TopicFound, differences
from rebate_app.wire.topics import Topics

SETTINGS = load_settings({"REBATE_PARTITIONS": "2"})
TOPICS = Topics.of(SETTINGS)
SPECS = TOPICS.specs(SETTINGS)


def as_specified(**wrong: TopicFound) -> dict[str, TopicFound]:
    """Return all topics as they have to be, those named (by member of Topics) replaced."""
    found = {
        spec.name: TopicFound({n: PartitionFound(1, 3, 3) for n in range(spec.partitions)}, dict(spec.config))
        for spec in SPECS
    }
    return found | {attrgetter(member)(TOPICS): topic for member, topic in wrong.items()}


def topic(member: str, partitions: int = 2, replicas: int = 3, **config: Any) -> TopicFound:
    """Return a topic that differs in what is given; a config of None is one that nobody set."""
    spec = next(spec for spec in SPECS if spec.name == attrgetter(member)(TOPICS))
    given = {key.replace("_", "."): value for key, value in config.items()}
    parts = {number: PartitionFound(1, replicas, replicas) for number in range(partitions)}
    return TopicFound(parts, dict(spec.config) | given)


def found_differences(found: dict[str, TopicFound]) -> list[Difference]:
    """Return the differences."""
    return differences(SPECS, found, Replication(3, 2))


GRAVE = (
    ("orders", {"partitions": 3}, "has 3 partitions"),
    ("rules", {"partitions": 2}, "it must have 1"),
    ("orders", {"cleanup_policy": "compact"}, "cleanup.policy=compact"),
    ("accounts.changelog", {"cleanup_policy": "delete"}, "cleanup.policy=delete"),
    ("accounts.changelog", {"max_message_bytes": "1048588"}, "max.message.bytes=1048588"),
    ("accounts.changelog", {"delete_retention_ms": "1000"}, "delete.retention.ms=1000"),
    ("order_lines.changelog", {"max_message_bytes": None}, "max.message.bytes=None"),
    ("orders", {"message_timestamp_type": "LogAppendTime"}, "a fact's own time is lost"),
    ("orders", {"replicas": 1, "min_insync_replicas": "2"}, "it takes no writes"),
)
MILD = (
    ("orders", {"replicas": 2}, "has 2 replicas"),
    # Not also too few in sync: two in sync of one replica would take no writes.
    ("orders", {"replicas": 1, "min_insync_replicas": "1"}, "has 1 replica, it should have 3"),
    ("orders", {"min_insync_replicas": "1"}, "min.insync.replicas=1, it should be 2"),
    ("user_log", {"retention_ms": "604800000"}, "retention.ms=604800000"),
    ("user_log", {"retention_bytes": "1000"}, "retention.bytes=1000"),
    ("orders", {"max_message_bytes": "1048588"}, "max.message.bytes=1048588"),
)


class TestDifferences:
    """What would lose money is grave; what protects less than the settings ask for is not."""

    def test_topics_as_asked_for_do_not_differ(self) -> None:
        """Nor do larger limits than are needed."""
        assert found_differences(as_specified()) == []
        larger = topic("accounts.changelog", max_message_bytes="99999999", delete_retention_ms="999999999")
        assert found_differences(as_specified(**{"accounts.changelog": larger})) == []

    @pytest.mark.parametrize(("member", "wrong", "problem"), GRAVE)
    def test_what_loses_money_is_grave(self, member: str, wrong: dict[str, Any], problem: str) -> None:
        """It names the topic, what it has, and how to change it."""
        found = found_differences(as_specified(**{member: topic(member, **wrong)}))
        grave = [each for each in found if each.grave]
        assert len(grave) == 1
        assert problem in grave[0].problem
        assert attrgetter(member)(TOPICS) in grave[0].problem
        assert grave[0].remedy

    @pytest.mark.parametrize(("member", "wrong", "problem"), MILD)
    def test_what_protects_less_is_a_warning(self, member: str, wrong: dict[str, Any], problem: str) -> None:
        """A worker starts all the same."""
        (only,) = found_differences(as_specified(**{member: topic(member, **wrong)}))
        assert (only.grave, only.topic) == (False, attrgetter(member)(TOPICS))
        assert problem in only.problem

    def test_everything_is_told_at_once(self) -> None:
        """All that is missing or wrong, in the order of the table of topics."""
        assert [each.topic for each in found_differences({})] == [spec.name for spec in SPECS]
        assert all(each.grave and "rebate topics create" in each.remedy for each in found_differences({}))

    def test_a_configuration_that_may_not_be_read_is_a_warning(self) -> None:
        """Rights are no reason to refuse; the warning names the missing one."""
        blind = TopicFound({0: PartitionFound(1, 3, 3), 1: PartitionFound(1, 3, 3)}, None)
        (only,) = found_differences(as_specified(orders=blind))
        assert not only.grave
        assert "DescribeConfigs" in only.remedy
