"""The topic of published rule versions: read by every worker, written by one publisher at a time.

See docs/spec/rules.md#publishing. The first record of a version holds. A record that conflicts with those
before it decides nothing, so that all readers have the same versions.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from msgspec import Struct

from rebate_app.domain.pricing.catalogue import RuleCatalogue, conflict
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.moments import format_moment
from rebate_app.wire.rules.files import RuleFile, conflicts, load_rules
from rebate_app.wire.rules.published import PublishedVersion, decode_published, encode_published
from rebate_app.wire.topics import Topics
from rebate_app.wire.unreadable import Skip, UnreadableValueError, ignore_skipped

from .admin import BrokerUnavailableError, admin_client
from .aiokafka_clients import AIOKafkaProducer, translated
from .clients import discard
from .connection import client_options
from .control_topic import ControlTopic, Precedence

PUBLISH_SECONDS_MAX = 30.0
START_SECONDS_MAX = 10.0
RETRY_SECONDS = (0.1, 1.5)
FOLLOW_AGAIN_SECONDS = 1.0

log = logging.getLogger(__name__)


class PublishedRules(ControlTopic[str, PublishedVersion]):
    """The published versions: `entries` with who published them, `catalogue` as the folds need them."""

    def __init__(
        self, topic: str, skip: Skip = ignore_skipped, catalogue: RuleCatalogue | None = None
    ) -> None:
        super().__init__(topic, self._decode_next, skip, Precedence.FIRST_RECORD_WINS)
        self.catalogue = RuleCatalogue() if catalogue is None else catalogue
        self._reading = asyncio.Lock()

    def _decode_next(
        self, key: bytes | None, value: bytes | None
    ) -> tuple[str, PublishedVersion | None] | None:
        name, published = decode_published(key, value)
        existing = self.entries.get(name)
        if published is None:
            return None
        if existing is not None:
            if existing.rule.content_hash == published.rule.content_hash:
                return None
            raise UnreadableValueError(f"the version {name!r} was published before with another content")
        if problem := conflict(published.rule, self.catalogue.versions):
            raise UnreadableValueError(problem)
        self.catalogue.add(published.rule)
        return name, published

    async def refresh(self, options: Mapping[str, Any]) -> None:
        """Read on to the end of now; one caller after the other. KafkaError: try again."""
        async with self._reading:
            await self.read_once(options)

    async def watch(self, options: Mapping[str, Any], changed: Callable[[], None]) -> None:
        """Follow the topic until cancelled; the broker's failures are waited for."""
        while True:
            try:
                await self.follow(options, changed)
            except (KafkaError, OSError) as error:
                log.warning("published rule versions cannot be followed for now: %r", error)
                await asyncio.sleep(FOLLOW_AGAIN_SECONDS)


async def rules_of(settings: Settings) -> RuleCatalogue:
    """Return the published versions; those of the folder where nothing is published yet.

    ConfigurationError: neither has any. BrokerUnavailableError: no broker answers.
    """
    published = await read_published(settings)
    return published.catalogue if published.entries else load_rules(settings.rules)


async def rules_to_audit(settings: Settings) -> tuple[RuleCatalogue, Callable[[], Awaitable[None]]]:
    """Return the versions as `rules_of` does, and a function that adds those that were published since."""
    published = await read_published(settings)
    if not published.entries:
        return load_rules(settings.rules), _nothing_more
    return published.catalogue, lambda: published.refresh(client_options(settings))


async def _nothing_more() -> None:
    pass


class PublishReport(Struct, frozen=True):
    """What a publisher did: `published` and `unchanged`, the versions that were there already."""

    published: list[str]
    unchanged: list[str]


async def read_published(settings: Settings, skip: Skip = ignore_skipped) -> PublishedRules:
    """Return all versions that are published now, none without the topic.

    BrokerUnavailableError: no broker answers.
    """
    topic = Topics.of(settings).rule_versions
    rules = PublishedRules(topic, skip)
    async with admin_client(settings) as admin:
        if not await admin.describe_existing([topic]):  # reading would create it, with wrong settings
            return rules
    try:
        await rules.read_once(client_options(settings))
    except KafkaError as error:
        raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
    return rules


async def publish(
    settings: Settings,
    files: Sequence[RuleFile],
    by: str,
    reason: str,
    *,
    only_first: bool = False,
    trail: tuple[bytes, bytes] | None = None,
) -> PublishReport:
    """Publish rule files, all or none; the topic has to exist, and the caller has checked their refusals.

    `only_first`: nothing where anything is published already. All publishers share one transactional id, so
    one that begins ends the others, which begin again and read what it published. ConfigurationError: a file
    conflicts with what is published. `trail`: key and value of the audit trail's record, which goes into the
    same transaction, if anything is new. BrokerUnavailableError: the broker is away for PUBLISH_SECONDS_MAX.
    """
    deadline = time.monotonic() + PUBLISH_SECONDS_MAX
    while True:
        try:
            return await _publish_once(settings, files, by, reason, only_first=only_first, trail=trail)
        except (KafkaError, IllegalOperation, OSError, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
            level = logging.INFO if isinstance(error, ProducerFenced) else logging.WARNING
            log.log(level, "publishing rule versions begins again: %r", error)
            await asyncio.sleep(random.uniform(*RETRY_SECONDS))


async def _publish_once(
    settings: Settings,
    files: Sequence[RuleFile],
    by: str,
    reason: str,
    *,
    only_first: bool,
    trail: tuple[bytes, bytes] | None,
) -> PublishReport:
    topic = Topics.of(settings).rule_versions
    new = await _unpublished(settings, topic, files, only_first=only_first)  # else nobody need be fenced
    if new:
        producer = AIOKafkaProducer(
            transactional_id=topic,
            transaction_timeout_ms=int(PUBLISH_SECONDS_MAX * 1_000),
            **client_options(settings),
        )
        try:
            async with asyncio.timeout(START_SECONDS_MAX):
                await producer.start()
            new = await _unpublished(settings, topic, files, only_first=only_first)
            if new:
                records = [(topic, *encode_published(_published(file, by, reason))) for file in new]
                trails = [] if trail is None else [(Topics.of(settings).audit_trail, *trail)]
                await _send(producer, trails + records)
        finally:
            await discard(producer)
    names = [file.version.version for file in new]
    return PublishReport(names, [f.version.version for f in files if f.version.version not in names])


async def _unpublished(
    settings: Settings, topic: str, files: Sequence[RuleFile], *, only_first: bool
) -> list[RuleFile]:
    """Read the topic to its end; return the files that are not there. ConfigurationError: they conflict."""
    rules = PublishedRules(topic)
    await rules.read_once(client_options(settings))
    if only_first and rules.entries:
        return []
    if problems := conflicts(files, rules.catalogue.versions):
        raise ConfigurationError("; ".join(problems))
    return [file for file in files if file.version.version not in rules.entries]


def _published(file: RuleFile, by: str, reason: str) -> PublishedVersion:
    return PublishedVersion(file.version, file.text, by, format_moment(time.time_ns() // 1_000), reason)


async def _send(producer: AIOKafkaProducer, records: Sequence[tuple[str, bytes, bytes]]) -> None:
    with translated():
        async with asyncio.timeout(START_SECONDS_MAX), producer.transaction():
            for topic, key, value in records:
                await producer.send_and_wait(topic, value, key=key, partition=0)
