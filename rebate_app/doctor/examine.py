"""All checks in order, each told as soon as it is known.

Law: a check that cannot be made is told and holds up no other; without a broker the local checks are told
all the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupAuthorizationFailedError, KafkaError

from rebate_app.domain.rules import RuleBook
from rebate_app.lane.admin import BrokerUnavailableError, admin_client, look_at_topics
from rebate_app.lane.clients import started
from rebate_app.lane.connection import client_options
from rebate_app.lane.registry import check_registry
from rebate_app.lane.topic_check import TopicFound
from rebate_app.settings import ConfigurationError, Settings
from rebate_app.wire.topics import Topics

from .broker import (
    check_broker,
    check_elections,
    check_group,
    check_input,
    check_record_times,
    check_replicas,
    check_topics,
    members_of,
)
from .findings import Check, fail, ok, skip, warn
from .here import check_folder, check_names, check_rules, check_settings, check_web, check_webhook
from .workers import check_workers

BROKER = "broker"
_NOT_ALLOWED = warn("group", "may not be looked at", "see `rebate topics acl --role operator`")


async def examine(settings: Settings) -> AsyncIterator[Check]:
    """Yield every check; the one named `broker` fails when nobody answers."""
    yield check_settings(settings)
    yield check_names()
    verdict, rules = check_rules(settings)
    yield verdict
    yield check_folder(settings)
    yield check_web(settings)
    yield check_webhook(settings)
    members: int | None = None
    try:
        async with admin_client(settings) as admin:
            async for check in _examine_broker(settings, admin, rules):
                yield check
            members = await _members(settings, admin)
        yield _NOT_ALLOWED if members is None else check_group(settings, members)
    except BrokerUnavailableError as error:
        yield fail(BROKER, str(error), "start it, or correct REBATE_BROKER")
        yield skip("topics", "not looked at: no broker answers")
    for check in await check_workers(settings.url, expected=bool(members)):
        yield check


async def _examine_broker(
    settings: Settings, admin: AIOKafkaAdminClient, rules: RuleBook | None
) -> AsyncIterator[Check]:
    topics = Topics.of(settings)
    specs = topics.specs(settings)
    yield await _tried(BROKER, check_broker(settings, admin))
    found = await look_at_topics(admin, specs)
    for check in check_topics(specs, found, settings):
        yield check
    if found:
        for check in check_replicas(found):
            yield check
        yield check_elections(found)
        async for check in _examine_logs(settings, topics, found):
            yield check
    if rules is not None and topics.rules in found:
        yield await _check_used_rules(settings, topics, rules)


async def _examine_logs(
    settings: Settings, topics: Topics, found: Mapping[str, TopicFound]
) -> AsyncIterator[Check]:
    async with started(AIOKafkaConsumer(enable_auto_commit=False, **client_options(settings))) as consumer:
        yield await _tried("input", check_input(consumer, topics, found))
        yield await _tried("record times", check_record_times(consumer, topics, found))


async def _check_used_rules(settings: Settings, topics: Topics, rules: RuleBook) -> Check:
    try:
        await check_registry(settings, topics, rules)
    except ConfigurationError as error:
        return fail("used rules", str(error), "bring back the files that priced lines, unchanged")
    return ok("used rules", "every version that priced a line is loaded, unchanged")


async def _members(settings: Settings, admin: AIOKafkaAdminClient) -> int | None:
    try:
        return await members_of(settings.scope, admin)
    except GroupAuthorizationFailedError:
        return None


async def _tried(name: str, check: Awaitable[Check]) -> Check:
    try:
        return await check
    except (KafkaError, OSError) as error:
        says = f"could not be looked at: {type(error).__name__} {error}"
        return warn(name, says, "see `rebate topics acl --role operator`")


def summary(checks: Sequence[Check]) -> str:
    """Return the counts in words."""
    return ", ".join(
        f"{sum(each.state == state for each in checks)} {word}"
        for state, word in (("ok", "ok"), ("warn", "warnings"), ("fail", "failures"))
    )
