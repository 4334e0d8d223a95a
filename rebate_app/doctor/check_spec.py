"""What a check of `rebate doctor` is, and what checks share while they run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

from msgspec import Struct

from rebate_app.domain.pricing.rules import RuleBook
from rebate_app.settings import Settings
from rebate_app.streams.kafka.aiokafka_clients import AIOKafkaAdminClient, AIOKafkaConsumer
from rebate_app.streams.kafka.announcements import Group
from rebate_app.streams.kafka.clients import started
from rebate_app.streams.kafka.connection import client_options
from rebate_app.streams.kafka.replication import Brokers
from rebate_app.streams.kafka.topic_check import TopicFound
from rebate_app.wire.topics import Topics, TopicSpec

from .result import CheckResult

#: `topic list`: a broker, even without any topic of ours; `topics`: at least one of them.
Need = Literal["nothing", "broker", "topic list", "topics", "worker"]
ACL_REMEDY = "see `rebate topics acl --role operator`"


class Context(Struct):
    """What checks read, and what earlier checks leave for later ones.

    `admin`: connected while checks that need the broker run. `found`: our topics that exist. `rules`: None
    if they cannot be used. `group`: the consumer group, None if unknown. `worker_items`: the
    items of /v1/workers, None if no worker answers. `deep`: whole logs are read, however long that takes.
    """

    settings: Settings
    environment: Mapping[str, str]
    topics: Topics
    specs: Sequence[TopicSpec]
    admin: AIOKafkaAdminClient | None = None
    found: Mapping[str, TopicFound] = {}
    rules: RuleBook | None = None
    brokers: Brokers = Brokers(0, 0)
    group: Group | None = None
    worker_items: list[dict[str, Any]] | None = None
    deep: bool = False

    @classmethod
    def of(cls, settings: Settings, environment: Mapping[str, str], *, deep: bool = False) -> Context:
        """Return the context before any check has run."""
        topics = Topics.of(settings)
        return cls(settings, environment, topics, topics.specs(settings), deep=deep)

    @property
    def client(self) -> AIOKafkaAdminClient:
        """Return the admin client; RuntimeError outside of the checks that need the broker."""
        if self.admin is None:
            raise RuntimeError("not connected")
        return self.admin

    @asynccontextmanager
    async def consumer(self, isolation_level: str = "read_uncommitted") -> AsyncIterator[AIOKafkaConsumer]:
        """Provide a consumer without a group, which commits nothing."""
        consumer = AIOKafkaConsumer(
            isolation_level=isolation_level, enable_auto_commit=False, **client_options(self.settings)
        )
        async with started(consumer):
            yield consumer


class PossibleProblem(Struct, frozen=True):
    """What a check may find, and what to do about it."""

    state: Literal["warn", "fail"]
    finding: str
    remedy: str


class CheckSpec(Struct, frozen=True):
    """One check: `run` returns its results; none where it does not apply."""

    name: str
    examines: str
    needs: Need
    problems: tuple[PossibleProblem, ...]
    run: Callable[[Context], Awaitable[Sequence[CheckResult]]]


def warning(finding: str, remedy: str) -> PossibleProblem:
    """Return a problem that is a warning."""
    return PossibleProblem("warn", finding, remedy)


def failure(finding: str, remedy: str) -> PossibleProblem:
    """Return a problem that is a failure."""
    return PossibleProblem("fail", finding, remedy)
