"""All stages as the settings make them: one place, so that workers and audits can never differ in them."""

from __future__ import annotations

from collections.abc import Callable

from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.settings import Settings
from rebate_app.streams.event_emission import EventPolicy
from rebate_app.streams.failures.guard import FailurePolicy, GuardedStage
from rebate_app.wire.topics import Topics

from .accounts import AccountsStage
from .order_lines import OrderLinesStage


def stages_of(
    settings: Settings, rules: RuleCatalogue, failures: FailurePolicy, since_ms: Callable[[], int]
) -> tuple[GuardedStage, ...]:
    """Return the stages in the order in which records pass; events start with records of `since_ms`."""
    topics = Topics.of(settings)
    event_policy = EventPolicy(topics.events, since_ms)
    lines = OrderLinesStage(
        source=topics.orders,
        changelog=topics.order_lines.changelog,
        user_log=topics.user_log,
        dead_letter_topic=topics.order_lines.dead_letter,
        parked=topics.order_lines.parked,
        registry=topics.rules,
        app=settings.app_id,
        partitions=settings.partitions,
        user_id_fields=settings.user_id_fields,
        failures=failures,
        event_policy=event_policy,
    )
    users = AccountsStage(
        source=topics.user_log,
        changelog=topics.accounts.changelog,
        dead_letter_topic=topics.accounts.dead_letter,
        parked=topics.accounts.parked,
        registry=topics.rules,
        app=settings.app_id,
        partitions=settings.partitions,
        rules=rules,
        failures=failures,
        event_policy=event_policy,
    )
    return lines, users
