"""Our own admin: creates the topics as they have to be, and verifies those that exist (design.md 3)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics, TopicSpec

from .connection import client_options

CREATED_WITHIN_S = 15.0
POLL_S = 0.05


class BrokerUnavailableError(Exception):
    """The broker does not answer; one sentence says which address was tried."""


async def ensure_topics(settings: Settings) -> None:
    """Create the topics that are missing; refuse when one has another number of partitions.

    Idempotent, safe to be called by many at once. ConfigurationError: a topic does not fit.
    BrokerUnavailableError: nobody answers at the address.
    """
    specs = Topics.of(settings).specs(settings)
    admin = AIOKafkaAdminClient(**client_options(settings))
    try:
        await admin.start()
    except (KafkaError, OSError) as error:
        raise BrokerUnavailableError(f"no Kafka broker answers at {settings.broker}: {error}") from error
    try:
        existing = set(await admin.list_topics())
        await _create(admin, [spec for spec in specs if spec.name not in existing], settings)
        await _verify(admin, specs)
    except KafkaError as error:
        raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
    finally:
        await admin.close()


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], settings: Settings) -> None:
    if not specs:
        return
    topics = [
        NewTopic(spec.name, spec.partitions, settings.replication_factor, topic_configs=spec.config)
        for spec in specs
    ]
    response = await admin.create_topics(topics)
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            raise ConfigurationError(
                f"topic {name} cannot be created: {error.__name__} {rest[0] if rest else ''}"
            )


async def _verify(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> None:
    """Wait until every topic is known with a leader for each partition, then compare the partitions."""
    names = [spec.name for spec in specs]
    deadline = time.monotonic() + CREATED_WITHIN_S
    while True:
        found = {topic["topic"]: topic for topic in await admin.describe_topics(names)}
        ready = all(
            not found[name]["error_code"]
            and all(partition["leader"] >= 0 for partition in found[name]["partitions"])
            for name in names
        )
        if ready:
            break
        if time.monotonic() > deadline:
            raise BrokerUnavailableError(
                f"topics have no leader after {CREATED_WITHIN_S:.0f} s: {', '.join(names)}"
            )
        await asyncio.sleep(POLL_S)
    problems = [
        f"topic {spec.name} has {count} partitions, REBATE_PARTITIONS asks for {spec.partitions}"
        for spec in specs
        if (count := len(found[spec.name]["partitions"])) != spec.partitions
    ]
    problems += await _wrong_config(admin, specs)
    if problems:
        raise ConfigurationError("; ".join(problems))


#: What would lose money when it differs: clean-up of a log, or no clean-up policy of a state.
ESSENTIAL_CONFIG = ("cleanup.policy", "retention.ms")


async def _wrong_config(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec]) -> list[str]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, spec.name) for spec in specs]
    told: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for _, _, _, name, entries in response.resources:
            told[name] = {entry[0]: entry[1] for entry in entries}
    return [
        f"topic {spec.name} has {key}={told[spec.name].get(key)}, it must be {spec.config[key]}"
        for spec in specs
        for key in ESSENTIAL_CONFIG
        if key in spec.config and spec.name in told and told[spec.name].get(key) != spec.config[key]
    ]
