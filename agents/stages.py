"""Both stages as the settings make them: one place, so that workers and audits can never differ in them."""

from __future__ import annotations

from collections.abc import Callable

from rebate_app.domain.rules import RuleBook
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics

from .accounts import AccountsStage
from .guarded import FailurePolicy
from .order_lines import OrderLinesStage
from .telling import Telling


def stages_of(
    settings: Settings, rules: RuleBook, failures: FailurePolicy, since_ms: Callable[[], int]
) -> tuple[OrderLinesStage, AccountsStage]:
    """Return stage 1 and stage 2; events tell of records from `since_ms` on."""
    topics = Topics.of(settings)
    telling = Telling(topics.events, since_ms)
    lines = OrderLinesStage(
        source=topics.orders,
        changelog=topics.lines_changelog,
        user_log=topics.user_log,
        dlt=topics.orders_dlt,
        parked=topics.orders_parked,
        registry=topics.rules,
        app=settings.app_id,
        user_id_fields=settings.user_id_fields,
        failures=failures,
        telling=telling,
    )
    users = AccountsStage(
        source=topics.user_log,
        changelog=topics.accounts_changelog,
        dlt=topics.user_log_dlt,
        parked=topics.user_log_parked,
        registry=topics.rules,
        app=settings.app_id,
        rules=rules,
        failures=failures,
        telling=telling,
    )
    return lines, users
