"""The folds of the hand-written loop: a batch's records in, changes and messages out.

The toy is written straight down, without state transaction and record collector objects. The real domain is
the product's own
stages, since nobody would write that twice; so there the comparison is of what is around the fold.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct
from msgspec.json import encode

from agents.accounts import AccountsStage
from agents.rule_activation import note_activations
from agents.stages import stages_of
from bench.orders import PARTITIONS
from bench.toy import (
    Account,
    decode_account,
    decode_change,
    decode_line,
    decode_order,
    fold_change,
    fold_order,
)
from rebate_app.settings import load_settings
from rebate_app.streams.failures.guard import FailurePolicy
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.task.stage import Stage
from rebate_app.streams.transaction.collector import RecordCollector
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.rules.files import load_rules
from rebate_app.wire.topics import Topics
from tables.accounts import ACTIVATIONS_KEY

OutgoingRecord = tuple[str, int, bytes, bytes]  # topic, partition, key, value
Get = Callable[[bytes], bytes | None]


class Fold(Protocol):
    """A stage of the loop."""

    source: str
    changelog: str

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[OutgoingRecord]:
        """Fold the records over what `get` gives; note what changed, return what is to be sent."""
        ...


class HandLines(Struct):
    """Orders to lines."""

    source: str
    changelog: str
    user_log: str

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[OutgoingRecord]:
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

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[OutgoingRecord]:
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
    """A store as a state transaction wants it."""

    get: Get


class StageFold:
    """A stage of the product."""

    def __init__(self, stage: Stage) -> None:
        self.source = stage.source
        self.changelog = stage.changelog
        self._stage = stage

    def __call__(self, records: Sequence[Any], get: Get, changes: dict[bytes, bytes]) -> list[OutgoingRecord]:
        """See Fold."""
        transaction, collector = StateTransaction(_Reading(get)), RecordCollector()
        if isinstance(self._stage, AccountsStage) and get(ACTIVATIONS_KEY) is None:
            place = (records[0].partition, PARTITIONS)
            note_activations(self._stage, _Reading(get), place, -1, transaction, collector)
        processor = self._stage.processor(transaction, collector)
        for record in records:
            processor.take(record)
        processor.finish()
        changes.update((key, value) for key, value in transaction.changes.items() if value is not None)
        return [
            (
                out.topic,
                partition_of(out.key or b"", PARTITIONS) if out.partition is None else out.partition,
                out.key or b"",
                out.value or b"",
            )
            for out in collector.records
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
        HandLines(topics.orders, topics.order_lines.changelog, topics.user_log),
        HandAccounts(topics.user_log, topics.accounts.changelog),
    ]
