"""Which rule versions were used: a compacted topic keeps their content hashes (contracts.md 6).

Other keys of it are not about rules: see first_start.

A version is immutable once it has priced a line. The first line that it prices in a partition
records it in that chunk's transaction; a worker reads the topic before it joins, and refuses when
its files lack a version that was used, or have another content for it.
"""

from __future__ import annotations

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from rebate_app.domain.rules import RuleBook
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import FIRST_START_PREFIX, USER_ID_FIELDS_KEY, VERSION_PREFIX, Topics

from .admin import BrokerUnavailableError
from .clients import started
from .connection import client_options


async def check_registry(settings: Settings, topics: Topics, rules: RuleBook) -> None:
    """Compare what is loaded with what was used; ConfigurationError if they differ."""
    try:
        used = await read_registry(settings, topics)
    except KafkaError as error:
        raise BrokerUnavailableError(f"the broker at {settings.broker} failed: {error!r}") from error
    loaded = {version.version: version.content_hash for version in rules.versions}
    problems = []
    for key, value in sorted(used.items()):
        version = key.removeprefix(VERSION_PREFIX)
        if key == USER_ID_FIELDS_KEY:
            if value != settings.user_id_fields:
                problems.append(
                    f"REBATE_USER_ID_FIELDS is {settings.user_id_fields!r}, lines were read with {value!r}"
                )
        elif key.startswith(FIRST_START_PREFIX):
            continue
        elif version not in loaded:
            problems.append(f"rule version {version} was used and is missing in {settings.rules}")
        elif loaded[version] != value:
            problems.append(f"rule version {version} was used with another content than in {settings.rules}")
    if problems:
        raise ConfigurationError("; ".join(problems))


async def read_registry(settings: Settings, topics: Topics) -> dict[str, str]:
    """Return what the registry holds: key → content hash or setting, in the order of the log."""
    tp = TopicPartition(topics.rules, 0)
    reader = AIOKafkaConsumer(
        isolation_level="read_committed", enable_auto_commit=False, **client_options(settings)
    )
    used: dict[str, str] = {}
    async with started(reader) as consumer:
        consumer.assign([tp])
        end = (await consumer.end_offsets([tp]))[tp]
        consumer.seek(tp, (await consumer.beginning_offsets([tp]))[tp])
        while await consumer.position(tp) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                used |= {record.key.decode(): record.value.decode() for record in records}
    return used
