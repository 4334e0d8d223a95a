"""The table of all checks of `rebate doctor`, in the order in which they run.

Every module of a subject has the rows of its checks beside their functions. `examine` runs them, those that
need less first; docs/doctor.md is generated from them.
"""

from __future__ import annotations

from . import (
    broker_checks,
    channel_checks,
    credential_checks,
    disk_checks,
    local_checks,
    log_checks,
    partition_checks,
    published_rule_checks,
    reach_checks,
    record_checks,
    rule_checks,
    source_checks,
    topic_checks,
    transaction_checks,
    worker_checks,
)
from .check_spec import CheckSpec, Need

CHECKS: tuple[CheckSpec, ...] = (
    *local_checks.CHECKS,
    *credential_checks.CHECKS,
    *source_checks.CHECKS,
    *channel_checks.CHECKS,
    *broker_checks.CHECKS,
    *disk_checks.CHECKS,
    *topic_checks.CHECKS,
    *rule_checks.CHECKS,
    *record_checks.CHECKS,
    *partition_checks.CHECKS,
    *log_checks.CHECKS,
    *transaction_checks.CHECKS,
    *worker_checks.CHECKS,
    *published_rule_checks.CHECKS,
    *reach_checks.CHECKS,
)


def checks_with(*needs: Need) -> tuple[CheckSpec, ...]:
    """Return the checks that have one of these needs, in their order."""
    return tuple(check for check in CHECKS if check.needs in needs)
