"""The table of stages: names are unique, and agents, tables and folds exist for each row."""

from __future__ import annotations

from collections import Counter

from agents.stages import stages_of
from rebate_app.domain.pricing.catalogue import RuleCatalogue
from rebate_app.settings import load_settings
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.wire.stages import ORDERS, STAGES, USER_LOG
from rebate_app.wire.topics import Topics
from tables import accounts, order_lines

SETTINGS = load_settings({"REBATE_TOPIC_PREFIX": "t-"})
TOPICS = Topics.of(SETTINGS)


class TestRows:
    """What holds of every row."""

    def test_names_are_unique(self) -> None:
        """No two stages share a name, an agent, a table, or any topic."""
        for member in ("name", "agent", "table", "records"):
            assert len({getattr(spec, member) for spec in STAGES}) == len(STAGES), member
        names = Counter(spec.name for spec in TOPICS.specs(SETTINGS))
        assert set(names.values()) == {1}

    def test_a_fold_for_each_row(self) -> None:
        """Stages are built in the order of the table, under their agents' names, on their own topics."""
        built = stages_of(SETTINGS, RuleCatalogue(), FailurePolicy(), lambda: 0)
        assert [(stage.name, stage.source, stage.changelog) for stage in built] == [
            (each.spec.agent, each.source, each.changelog) for each in TOPICS.stages
        ]

    def test_a_table_for_each_row(self) -> None:
        """The module of record kinds has the name of the table."""
        assert [ORDERS.table, USER_LOG.table] == [order_lines.NAME, accounts.NAME]

    def test_names_seen_from_outside(self) -> None:
        """Topic names are fixed; the changelog belongs to the app, the others to the prefix."""
        assert (TOPICS.orders, TOPICS.user_log) == ("t-order_topic", "t-rebate-user-log")
        assert TOPICS.changelogs == ("t-rebate-order_lines-changelog", "t-rebate-accounts-changelog")
        assert TOPICS.dead_letters == {
            "t-order_topic-dlt": "t-order_topic",
            "t-rebate-user-log-dlt": "t-rebate-user-log",
            "t-rebate-events-dlt": "t-rebate-events",
        }
