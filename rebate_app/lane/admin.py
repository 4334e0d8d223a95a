"""Our own admin: creates the topics as they have to be, and verifies those that exist (design.md 3).

Law: with REBATE_TOPICS=verify nothing is ever created; either way everything that is missing or wrong is
told at once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics, TopicSpec

from .clients import PatientAdmin
from .connection import client_options, why_unreachable
from .topic_check import PartitionFound, TopicFound, differences

CREATED_WITHIN_S = 15.0
POLL_S = 0.05

log = logging.getLogger(__name__)


class BrokerUnavailableError(Exception):
    """The broker does not answer; one sentence says which address was tried, and why not."""


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
) -> None:
    """Create the topics that are missing, if that is ours to do; refuse when one does not fit.

    `create` None: as REBATE_TOPICS says. `used`: where nothing is created, only these are looked at,
    since whoever only sends facts may not see the others. Idempotent, safe to be called by many at once.
    ConfigurationError lists everything that is missing or wrong; what only protects less than was
    asked for is logged. BrokerUnavailableError: nobody answers at the address.
    """
    create = settings.topics == "create" if create is None else create
    specs = Topics.of(settings).specs(settings)
    if used is not None and not create:
        specs = [spec for spec in specs if spec.name in used]
    async with admin_client(settings) as admin:
        if create:
            existing = set(await admin.list_topics())
            await _create(admin, [spec for spec in specs if spec.name not in existing], settings)
        found = await _found_with_leaders(admin, specs, wait_for_missing=create)
    told = differences(specs, found, settings)
    for difference in told:
        if not difference.grave:
            log.warning("%s: %s", difference.says, difference.cure)
    grave = [difference.says for difference in told if difference.grave]
    if grave:
        raise ConfigurationError("; ".join(grave))


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], settings: Settings) -> None:
    if not specs:
        return
    topics = [
        NewTopic(spec.name, spec.partitions, settings.replication_factor, topic_configs=spec.config)
        for spec in specs
    ]
    response = await admin.create_topics(topics)
    problems = []
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            why = f" {rest[0]}" if rest and rest[0] else ""
            problems.append(f"topic {name} cannot be created: {error.__name__}{why}")
    if problems:
        advice = "where only an operator may create topics, set REBATE_TOPICS=verify (`rebate topics acl`)"
        raise ConfigurationError("; ".join([*problems, advice]))


async def _found_with_leaders(
    admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], *, wait_for_missing: bool
) -> dict[str, TopicFound]:
    """Return the topics once each partition has a leader; those just created may take a moment."""
    deadline = time.monotonic() + CREATED_WITHIN_S
    while True:
        found = await look_at_topics(admin, specs)
        missing = [spec.name for spec in specs if spec.name not in found]
        headless = [
            name for name, topic in found.items() if any(p.leader < 0 for p in topic.partitions.values())
        ]
        if not headless and not (missing and wait_for_missing):
            return found
        if time.monotonic() > deadline:
            names = ", ".join(missing + headless)
            raise BrokerUnavailableError(f"topics have no leader after {CREATED_WITHIN_S:.0f} s: {names}")
        await asyncio.sleep(POLL_S)


async def look_at_topics(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> dict[str, TopicFound]:
    """Return those of the topics that exist, as the broker tells them.

    Only topics that exist are asked about: a broker may create what somebody asks about.
    """
    existing = set(await admin.list_topics())
    names = [spec.name for spec in specs if spec.name in existing]
    if not names:
        return {}
    told = await admin.describe_topics(names)
    configs = await _configs(admin, names)
    return {
        topic["topic"]: TopicFound(
            {part["partition"]: _partition(part) for part in topic["partitions"]}, configs.get(topic["topic"])
        )
        for topic in told
        if not topic["error_code"]
    }


def _partition(told: Mapping[str, Any]) -> PartitionFound:
    return PartitionFound(told["leader"], len(told["replicas"]), len(told["isr"]))


async def _configs(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, str | None]]:
    """Return the effective configuration of each topic; one that may not be read is left out."""
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    told: dict[str, dict[str, str | None]] = {}
    for response in await admin.describe_configs(resources):
        for code, _, _, name, entries in response.resources:
            if not code:
                told[name] = {entry[0]: entry[1] for entry in entries}
    return told
