"""Checks of the topics: partitions, configuration, replicas, elections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rebate_app.settings import Settings
from rebate_app.streams.kafka.replication import (
    IN_SYNC_WANTED,
    REPLICAS_WANTED,
    Brokers,
    Replication,
)
from rebate_app.streams.kafka.topic_check import TopicFound, differences
from rebate_app.wire.topics import TopicSpec

from .check_spec import CheckSpec, Context, failure, warning
from .result import CheckResult, fail, ok, shortened_list, warn


def check_topics(
    specs: Sequence[TopicSpec],
    found: Mapping[str, TopicFound],
    settings: Settings,
    brokers: Brokers,
) -> list[CheckResult]:
    """Compare the topics with the table of topics."""
    if not found and settings.topics == "create":
        return [warn("topics", "there is none yet", "start a worker, or run `rebate topics create`")]
    results = [
        (fail if each.grave else warn)("topics", each.problem, each.remedy)
        for each in differences(specs, found, Replication.of(settings, brokers))
    ]
    return results or [
        ok("topics", f"{len(specs)} are there, with the partitions and configuration they need")
    ]


def check_replicas(found: Mapping[str, TopicFound], brokers: Brokers) -> list[CheckResult]:
    """Check that the loss of one broker loses nothing."""
    few = [name for name, topic in found.items() if _fewest(topic) < REPLICAS_WANTED]
    alone = [name for name in few if _fewest(found[name]) == 1]
    thin = [name for name, topic in found.items() if _in_sync_needed(topic) < IN_SYNC_WANTED]
    behind = [
        f"{name}/{number}"
        for name, topic in found.items()
        for number, part in topic.partitions.items()
        if part.in_sync < part.replicas
    ]
    results = []
    if alone and brokers.known > 1:
        text = (
            f"{shortened_list(alone)} are on one of {brokers.known} brokers only: its loss loses everything"
        )
        remedy = "add replicas with kafka-reassign-partitions, then min.insync.replicas=2"
        results.append(warn("replicas", text, remedy))
    elif few or thin:
        remedy = f"in production {REPLICAS_WANTED} brokers, as many replicas, {IN_SYNC_WANTED} in sync"
        text = (
            f"{len(few)} topics have fewer than {REPLICAS_WANTED} replicas, {len(thin)} take writes with one"
        )
        results.append(warn("replicas", text, remedy))
    if behind:
        results.append(
            warn("replicas", f"replicas are behind: {shortened_list(behind)}", "look at the brokers")
        )
    return results or [ok("replicas", "every record is on two brokers before it counts")]


def check_elections(found: Mapping[str, TopicFound]) -> CheckResult:
    """Check that only an in-sync replica may become leader; otherwise acknowledged records are lost."""
    unclean = [name for name, topic in found.items() if _is(topic, "unclean.leader.election.enable", "true")]
    if unclean:
        remedy = "set unclean.leader.election.enable=false"
        return fail(
            "elections", f"a broker that is behind may become leader of {shortened_list(unclean)}", remedy
        )
    return ok("elections", "only a broker that has everything becomes leader")


def _fewest(topic: TopicFound) -> int:
    return min((part.replicas for part in topic.partitions.values()), default=0)


def _in_sync_needed(topic: TopicFound) -> int:
    value = None if topic.config is None else topic.config.get("min.insync.replicas")
    return IN_SYNC_WANTED if value is None else int(value)


def _is(topic: TopicFound, key: str, value: str) -> bool:
    return topic.config is not None and topic.config.get(key) == value


async def _topics(context: Context) -> list[CheckResult]:
    return check_topics(context.specs, context.found, context.settings, context.brokers)


async def _replicas(context: Context) -> list[CheckResult]:
    return check_replicas(context.found, context.brokers)


async def _elections(context: Context) -> list[CheckResult]:
    return [check_elections(context.found)]


CHECKS = (
    CheckSpec(
        "topics",
        "partitions and configuration of every topic against what they have to be",
        "topic list",
        (
            warning("there is no topic yet", "start a worker, or run `rebate topics create`"),
            failure(
                "a topic is missing, or its partitions or configuration would lose money",
                "the command that the result names",
            ),
            warning("a configuration protects less than it should", "the command that the result names"),
        ),
        _topics,
    ),
    CheckSpec(
        "replicas",
        "replicas of every topic, and whether they are in sync",
        "topics",
        (
            warning(
                "topics are on one of several brokers only",
                "add replicas with `kafka-reassign-partitions`, then `min.insync.replicas=2`",
            ),
            warning(
                "fewer than 3 replicas, or writes with one in sync",
                "in production 3 brokers, as many replicas, 2 in sync",
            ),
            warning("replicas are behind", "check the brokers"),
        ),
        _replicas,
    ),
    CheckSpec(
        "elections",
        "`unclean.leader.election.enable` of every topic",
        "topics",
        (
            failure(
                "a replica that is behind may become leader, which loses acknowledged records",
                "set `unclean.leader.election.enable=false`",
            ),
        ),
        _elections,
    ),
)
