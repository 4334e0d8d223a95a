"""Declares the table of every stage to the Faust app."""

from __future__ import annotations

from typing import Any

from rebate_app.settings import Settings
from rebate_app.streams.faust.recovery import ChangelogTable
from rebate_app.wire.topics import Topics


def declare(app: Any, settings: Settings, topics: Topics) -> None:
    """Declare the table of every stage, keyed by raw bytes, with its changelog."""
    for stage in topics.stages:
        app.tables.add(
            ChangelogTable(
                app,
                name=stage.spec.table,
                key_type=bytes,
                value_type=bytes,
                partitions=settings.partitions,
                changelog_topic=app.topic(
                    stage.changelog,
                    partitions=settings.partitions,
                    key_type=bytes,
                    value_type=bytes,
                    compacting=True,
                ),
                help=stage.spec.table_about,
            )
        )
