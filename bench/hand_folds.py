"""The folds of the hand-written loop: a chunk's records in, changes and messages out.

The toy is written straight down, without overlay and outbox objects. The real domain is the product's own
stages, since nobody would write that twice; so there the comparison is of what is around the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from msgspec.json import encode

from agents.guarded import FailurePolicy
from agents.stages import stages_of
from rebate_app.lane.batches import partition_of
from rebate_app.lane.outbox import Outbox
from rebate_app.lane.stage import Stage
from rebate_app.lane.store import Overlay
from rebate_app.settings import load_settings
from rebate_app.wire.rule_files import load_rules
from rebate_app.wire.topics import Topics

from .orders import PARTITIONS
from .toy import (
    Account,
    decode_account,
    decode_change,
    decode_line,
    decode_order,
    fold_change,
    fold_order,
)

Outgoing = tuple[str, int, bytes, bytes]  # topic, partition, key, value
Get = Callable[[bytes], bytes | None]


class Fold(Protocol):
    """A stage of the loop."""

    source: str
    changelog: str

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[Outgoing]:
        """Fold the records over what `get` gives; note what changed, return what is to be sent."""
        ...


class HandLines(Struct):
    """Orders to lines."""

    source: str
    changelog: str
    user_log: str

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[Outgoing]:
        """See Fold."""
        outgoing = []
        for record in records:
            key = record.key
            found = changes.get(key) or get(key)
            folded = fold_order(None if found is None else decode_line(found), decode_order(record.value))
            if folded is not None:
                line, change = folded
                changes[key] = encode(line)
                user = line.user_id.encode()
                outgoing.append((self.user_log, partition_of(user, PARTITIONS), user, encode(change)))
        return outgoing


class HandAccounts(Struct):
    """Messages to accounts."""

    source: str
    changelog: str

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[Outgoing]:
        """See Fold."""
        accounts: dict[bytes, Account] = {}
        for record in records:
            key = record.key
            account = accounts.get(key)
            if account is None:
                found = get(key)
                account = accounts[key] = Account() if found is None else decode_account(found)
            fold_change(account, decode_change(record.value))
        for key, account in accounts.items():
            changes[key] = encode(account)
        return []


class _Reading(Struct):
    """A store as an overlay wants it."""

    get: Get


class StageFold:
    """A stage of the product."""

    def __init__(self, stage: Stage) -> None:
        self.source = stage.source
        self.changelog = stage.changelog
        self._stage = stage

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[Outgoing]:
        """See Fold."""
        overlay, outbox = Overlay(_Reading(get)), Outbox()
        session = self._stage.session(overlay, outbox)
        for record in records:
            session.take(record)
        session.finish()
        changes.update((key, value) for key, value in overlay.changes.items() if value is not None)
        return [
            (
                out.topic,
                partition_of(out.key or b"", PARTITIONS) if out.partition is None else out.partition,
                out.key or b"",
                out.value or b"",
            )
            for out in outbox.records
        ]


def folds(name: str, prefix: str, rules: Path) -> Iterable[Fold]:
    """Return both stages, on the topics of that prefix."""
    settings = load_settings({"REBATE_TOPIC_PREFIX": prefix, "REBATE_PARTITIONS": str(PARTITIONS)})
    topics = Topics.of(settings)
    if name == "real":
        return [
            StageFold(stage) for stage in stages_of(settings, load_rules(rules), FailurePolicy(), lambda: 0)
        ]
    return [
        HandLines(topics.orders, topics.lines_changelog, topics.user_log),
        HandAccounts(topics.user_log, topics.accounts_changelog),
    ]
