"""Runs the checks of the table (checks.py) and yields each result as soon as it is known.

A check that fails to run is a warning and does not prevent the others. Without a broker, the checks that do
not need one still run.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence

from aiokafka.errors import KafkaError

from rebate_app.settings import Settings
from rebate_app.streams.errors import UnreadableRecordError
from rebate_app.streams.kafka.admin import BrokerUnavailableError, admin_client, describe_topics
from rebate_app.streams.kafka.connection import BrokerAwayError
from rebate_app.streams.kafka.replication import count_brokers

from .check_spec import ACL_REMEDY, CheckSpec, Context, Need
from .checks import CHECKS
from .record_checks import unreadable_record
from .result import CheckResult, count, fail, skip, warn

BROKER_REMEDY = "if it ran before, look at its disk (df) and its log; then start it, or correct REBATE_BROKER"


async def examine(settings: Settings, *, deep: bool = False) -> AsyncIterator[CheckResult]:
    """Yield the results of all checks; the one named `broker` fails when no broker answers.

    `deep`: those that read whole logs, too.
    """
    context = Context.of(settings, os.environ, deep=deep)
    async for result in _results(context, "nothing"):
        yield result
    try:
        async with admin_client(settings) as context.admin:
            async for result in _cluster_results(context):
                yield result
    except BrokerUnavailableError as error:
        yield fail("broker", str(error), BROKER_REMEDY)
        yield skip("topics", "not checked: no broker answers")
    async for result in _results(context, "worker"):
        yield result


async def _cluster_results(context: Context) -> AsyncIterator[CheckResult]:
    async for result in _results(context, "broker"):
        yield result
    context.found = await describe_topics(context.client, context.specs)
    context.brokers = await count_brokers(context.client, list(context.found))
    async for result in _results(context, "topic list"):
        yield result
    if context.found:
        async for result in _results(context, "topics"):
            yield result


async def _results(context: Context, need: Need) -> AsyncIterator[CheckResult]:
    for spec in CHECKS:
        if spec.needs == need:
            for result in await _run(spec, context):
                yield result


async def _run(spec: CheckSpec, context: Context) -> Sequence[CheckResult]:
    try:
        return await spec.run(context)
    except UnreadableRecordError as error:
        return [unreadable_record(spec.name, error)]
    except (KafkaError, OSError, BrokerAwayError) as error:
        return [warn(spec.name, f"could not be checked: {type(error).__name__} {error}", ACL_REMEDY)]


def summary(results: Sequence[CheckResult]) -> str:
    """Return the counts in words."""
    return f"{count(results, 'ok')} ok, {count(results, 'warn')} warnings, {count(results, 'fail')} failures"
