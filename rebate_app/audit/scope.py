"""What an audit covers: the app, its topics and partitions, and the event epoch.

This is the only module of the audit that names topics. It raises nothing.
"""

from __future__ import annotations

from typing import Self

from msgspec import Struct

from agents.accounts import AccountsStage
from agents.order_lines import OrderLinesStage
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics, TopicSpec


class AuditScope(Struct, frozen=True):
    """The topics of one app. `since_ms`: the event epoch; no event is due for older records.

    `dead_letters`, `parked`: source topic → its topic of dead letters, of parked records.
    """

    app: str
    orders: str
    user_log: str
    dead_letters: dict[str, str]
    parked: dict[str, str]
    used_rules: str
    decisions: str
    partitions: int
    events: str
    since_ms: int

    @classmethod
    def of_stages(
        cls, lines: OrderLinesStage, accounts: AccountsStage, partitions: int, since_ms: int
    ) -> Self:
        """Return the scope of these two stages."""
        stages = (lines, accounts)
        return cls(
            app=lines.app,
            orders=lines.source,
            user_log=accounts.source,
            dead_letters={stage.source: stage.dead_letter_topic for stage in stages},
            parked={stage.source: stage.parked for stage in stages},
            used_rules=lines.registry,
            decisions=lines.failures.decisions,
            partitions=partitions,
            events=accounts.event_policy.topic,
            since_ms=since_ms,
        )

    @property
    def stage_topics(self) -> set[str]:
        """Return the topics that only our stages write: everything on them is accounted for."""
        return {self.user_log, *self.dead_letters.values(), *self.parked.values()}


def required_topics(settings: Settings) -> list[TopicSpec]:
    """Return the topics without which there is nothing to audit."""
    topics = Topics.of(settings)
    needed = {topics.rules, topics.decisions, topics.events}
    for stage in topics.stages:
        needed |= {stage.source, stage.changelog, stage.dead_letter, stage.parked}
    return [spec for spec in topics.specs(settings) if spec.name in needed]
