"""Activations: from which place on a partition of the user log knows a rule version.

See docs/spec/rules.md#activation. The owner notes every published version in the partition's state and log
before it folds the next batch. What is in the state decides; the record in the log is for readers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from rebate_app.domain.pricing.catalogue import Activation, in_order
from rebate_app.streams.errors import StateLostError
from rebate_app.streams.kafka.rule_versions import PublishedRules
from rebate_app.streams.state.buffer import StateTransaction, encode
from rebate_app.streams.state.store import Readable, Store
from rebate_app.streams.transaction.collector import OutgoingRecord, RecordCollector
from rebate_app.streams.transaction.partitioner import key_in
from rebate_app.wire.facts.owner import KEY_PREFIX, encode_activated
from tables.accounts import ACTIVATIONS, ACTIVATIONS_KEY, USED_RULE, Activations

from .accounts import AccountsStage

BEFORE_EVERYTHING = -1

log = logging.getLogger(__name__)


class RuleActivation:
    """Notes the published versions in the partitions of one worker (implements OwnerNotes)."""

    def __init__(
        self, stage: AccountsStage, published: PublishedRules, options: Mapping[str, Any], partitions: int
    ) -> None:
        self._stage = stage
        self._published = published
        self._options = options
        self._partitions = partitions

    @property
    def revision(self) -> int:
        """Return how many versions this worker has read."""
        return self._stage.rules.revision

    async def ready(self, store: Store) -> None:
        """Read the topic on when an activated version is not known here; StateLostError if it is missing."""
        activations = activations_of(store).items
        if any(self._stage.rules.get(each.version) is None for each in activations):
            await self._published.refresh(self._options)
        for each in activations:
            rule = self._stage.rules.get(each.version)
            if rule is None or rule.content_hash != each.content_hash:
                how = "is not published" if rule is None else "is published with another content"
                raise StateLostError(f"the rule version {each.version!r}, which has priced lines, {how}")

    async def find(self, version: str) -> None:
        """Read the topic on; a version that is still not there counts as absent from then on."""
        await self._published.refresh(self._options)
        self._stage.rules.note_absent(version)

    def note(
        self,
        store: Store,
        partition: int,
        after_offset: int,
        transaction: StateTransaction,
        collector: RecordCollector,
    ) -> None:
        """Note the versions that the partition does not know yet."""
        new = note_activations(
            self._stage, store, (partition, self._partitions), after_offset, transaction, collector
        )
        if new:
            names = ", ".join(f"{each.version} after offset {each.after_offset}" for each in new)
            log.info("%s/%d activates rule versions: %s", self._stage.source, partition, names)
        if new and after_offset == BEFORE_EVERYTHING:
            log.info(
                "%s/%d begins with these versions: lines can be priced otherwise than under another app id",
                self._stage.source,
                partition,
            )


def activations_of(store: Readable) -> Activations:
    """Return the activations of a partition."""
    return ACTIVATIONS.read(store, ACTIVATIONS_KEY) or Activations()


def note_activations(
    stage: AccountsStage,
    store: Readable,
    place: tuple[int, int],
    after_offset: int,
    transaction: StateTransaction,
    collector: RecordCollector,
    clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> list[Activation]:
    """Note every version of the stage that a partition does not know; return the new activations.

    `place`: (partition, number of partitions). At the first note of a partition, a version that an older
    release of this program has used there is known from the beginning.
    """
    known = activations_of(store)
    names = {each.version for each in known.items}
    now_ms = clock_ms()
    new = [
        Activation(rule.version, rule.content_hash, after_offset, now_ms)
        for rule in in_order(stage.rules.versions)
        if rule.version not in names
    ]
    if not known.items:
        new = sorted((_since_used(each, store) for each in new), key=lambda each: each.after_offset)
    if new:
        items = [*known.items, *new]
        transaction.put(ACTIVATIONS_KEY, encode(Activations(items=items)))
        for activation in new:
            collector.send_raw(activation_record(stage, activation, place))
    return new


def _since_used(activation: Activation, store: Readable) -> Activation:
    if store.get(USED_RULE.key(activation.version)) is None:
        return activation
    return replace(activation, after_offset=BEFORE_EVERYTHING)


def activation_record(stage: AccountsStage, activation: Activation, place: tuple[int, int]) -> OutgoingRecord:
    """Return the record that states an activation in the partition's own log."""
    partition, partitions = place
    value = encode_activated(activation, stage.app)
    return OutgoingRecord(
        stage.source, activation_key(partition, partitions), value, activation.at, (), partition
    )


@lru_cache(maxsize=1_024)
def activation_key(partition: int, partitions: int) -> bytes:
    """Return a key that belongs to the partition by murmur2, as every record's key does."""
    return key_in(partition, partitions, KEY_PREFIX)
