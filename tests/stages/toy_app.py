"""The real worker with the toy stage beside its own: `faust -A tests.stages.toy_app worker`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.settings import Settings
from rebate_app.streams.event_emission import EventPolicy
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.streams.task.stage import Stage
from rebate_app.wire import stages
from tests.stages.toy_stage import VISITS, VisitsStage

stages.STAGES = (*stages.STAGES, VISITS)  # before anything iterates over the table

from agents.stages import stages_of  # noqa: E402
from rebate_app.bootstrap import create_app  # noqa: E402
from rebate_app.wire.topics import Topics  # noqa: E402


def with_visits(
    settings: Settings, rules: RuleCatalogue, failures: FailurePolicy, since_ms: Callable[[], int]
) -> Sequence[Stage]:
    """Return the stages of the product and the toy stage."""
    topics = Topics.of(settings)
    event_policy = EventPolicy(topics.events, since_ms)
    visited = topics.stage(VISITS)
    visits = VisitsStage(
        source=visited.source,
        changelog=visited.changelog,
        dead_letter_topic=visited.dead_letter,
        parked=visited.parked,
        app=settings.app_id,
        partitions=settings.partitions,
        failures=failures,
        event_policy=event_policy,
    )
    return [*stages_of(settings, rules, failures, since_ms), visits]


app = create_app(make_stages=with_visits)
