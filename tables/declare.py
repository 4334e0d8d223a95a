"""Declares the tables to the app, by explicit imports and given names."""

from __future__ import annotations

from typing import Any

from rebate_app.lane.manager import LaneTable
from rebate_app.settings import Settings
from rebate_app.wire.topics import Topics

from . import accounts, order_lines


def declare(app: Any, settings: Settings, topics: Topics) -> None:
    """Declare tables `order_lines` and `accounts`, keyed by raw bytes, each with its changelog."""
    for name, changelog, about in (
        (order_lines.NAME, topics.lines_changelog, "the state of every order line"),
        (accounts.NAME, topics.accounts_changelog, "every user's and attribution id's account"),
    ):
        app.tables.add(
            LaneTable(
                app,
                name=name,
                key_type=bytes,
                value_type=bytes,
                partitions=settings.partitions,
                changelog_topic=app.topic(
                    changelog,
                    partitions=settings.partitions,
                    key_type=bytes,
                    value_type=bytes,
                    compacting=True,
                ),
                help=about,
            )
        )
