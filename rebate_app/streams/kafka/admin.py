"""Creating the topics as they have to be, and verifying those that exist.

See docs/spec/exactness.md#obligations. With REBATE_TOPICS=verify nothing is ever created. Either way one
error lists everything that is missing or wrong.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics, TopicSpec

from .aiokafka_clients import AIOKafkaAdminClient
from .clients import PatientAdmin
from .connection import client_options, why_unreachable
from .replication import Replication, count_brokers, refuse_fewer
from .topic_check import PartitionFound, TopicFound, differences

CREATED_WITHIN_SECONDS = 15.0
POLL_SECONDS = 0.05

log = logging.getLogger(__name__)


class BrokerUnavailableError(Exception):
    """No broker answers; the message names the address and the cause."""


@asynccontextmanager
async def admin_client(settings: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    """Give an admin client that is connected. BrokerUnavailableError: it cannot be, or it failed."""
    admin = PatientAdmin(**client_options(settings))
    try:
        try:
            await admin.start()
        except (KafkaError, OSError) as error:
            raise BrokerUnavailableError(await why_unreachable(settings, error)) from error
        yield admin
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
    finally:
        await admin.close()


async def ensure_topics(
    settings: Settings, *, create: bool | None = None, used: Collection[str] | None = None
) -> Replication:
    """Create the topics that are missing, if that is ours to do; refuse when one does not fit.

    `create` None: as REBATE_TOPICS says. `used`: where nothing is created, only these are checked, since an
    importer may not see the others. Idempotent, safe to be called by many at once. Returns the replication
    that topics should have. ConfigurationError lists every grave difference; the others are logged.
    BrokerUnavailableError: no broker answers.
    """
    create = settings.topics == "create" if create is None else create
    specs = Topics.of(settings).specs(settings)
    if used is not None and not create:
        specs = [spec for spec in specs if spec.name in used]
    async with admin_client(settings) as admin:
        brokers = await count_brokers(admin, [spec.name for spec in specs])
        replication = Replication.of(settings, brokers)
        if create:
            described = await admin.describe_existing([spec.name for spec in specs])
            existing = {topic["topic"] for topic in described}
            missing = [spec for spec in specs if spec.name not in existing]
            if missing:
                refuse_fewer(settings, replication, brokers, missing[0].name)
            await _create(admin, missing, replication)
        found = await _found_with_leaders(admin, specs, wait_for_missing=create)
    found_differences = differences(specs, found, replication)
    for difference in found_differences:
        if not difference.grave:
            log.warning("%s: %s", difference.problem, difference.remedy)
    grave = [difference.problem for difference in found_differences if difference.grave]
    if grave:
        raise ConfigurationError("; ".join(grave))
    return replication


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], replication: Replication) -> None:
    if not specs:
        return
    topics = [
        NewTopic(
            spec.name, spec.partitions, replication.factor, topic_configs=spec.config | replication.config
        )
        for spec in specs
    ]
    response = await admin.create_topics(topics)
    refused: dict[str, list[str]] = {}  # names by reason: all of them fit into the line that is printed
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            reason = f" {rest[0]}" if rest and rest[0] else ""
            refused.setdefault(f"{error.__name__}{reason}", []).append(name)
    if refused:
        problems = [f"topic {', '.join(names)} cannot be created: {why}" for why, names in refused.items()]
        advice = "where only an operator may create topics, set REBATE_TOPICS=verify (`rebate topics acl`)"
        raise ConfigurationError("; ".join([*problems, advice]))


async def _found_with_leaders(
    admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], *, wait_for_missing: bool
) -> dict[str, TopicFound]:
    """Return the topics once each partition has a leader; those just created may take a moment."""
    deadline = time.monotonic() + CREATED_WITHIN_SECONDS
    while True:
        found = await describe_topics(admin, specs)
        missing = [spec.name for spec in specs if spec.name not in found]
        leaderless = [
            name for name, topic in found.items() if any(p.leader < 0 for p in topic.partitions.values())
        ]
        if not leaderless and not (missing and wait_for_missing):
            return found
        if time.monotonic() > deadline:
            names = ", ".join(missing + leaderless)
            raise BrokerUnavailableError(
                f"topics have no leader after {CREATED_WITHIN_SECONDS:.0f} s: {names}"
            )
        await asyncio.sleep(POLL_SECONDS)


async def describe_topics(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> dict[str, TopicFound]:
    """Return those of the topics that exist, as the broker describes them."""
    descriptions = await admin.describe_existing([spec.name for spec in specs])
    if not descriptions:
        return {}
    configs = await topic_configs(admin, [topic["topic"] for topic in descriptions])
    return {
        topic["topic"]: TopicFound(
            {part["partition"]: _partition(part) for part in topic["partitions"]}, configs.get(topic["topic"])
        )
        for topic in descriptions
    }


def _partition(description: Mapping[str, Any]) -> PartitionFound:
    return PartitionFound(description["leader"], len(description["replicas"]), len(description["isr"]))


async def topic_configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Return the effective configuration of each topic; one that may not be read is left out."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    configs: dict[str, dict[str, str | None]] = {}
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if not code:
                configs[name] = {entry[0]: entry[1] for entry in entries}
    return configs
