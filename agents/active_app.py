"""The turn of the active app: noted in every partition before it decides there.

See docs/spec/money-out.md#active-app. Once `rebate-active` names this app, the owner of each partition sends
the record that begins its turn there, and keeps its name. Folding that record, it decides what nobody has
decided, and from then on every request where it folds it. A state that is built anew does not know the name,
so it follows the decisions that are in the log until a turn begins behind them.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from functools import lru_cache

from rebate_app.streams.kafka.active_app import ActiveApp
from rebate_app.streams.state.buffer import StateTransaction, encode
from rebate_app.streams.state.store import Readable, Store
from rebate_app.streams.transaction.collector import OutgoingRecord, RecordCollector
from rebate_app.streams.transaction.partitioner import key_in
from rebate_app.wire.facts.turns import ACTIVATED, KEY_PREFIX, SEPARATOR, activation_of, encode_turn
from rebate_app.wire.moments import MILLISECOND_US
from tables.money_out import TURN, TURN_KEY, Turn

from .accounts import AccountsStage
from .rule_activation import RuleActivation

NAME_BYTES = 8


def begin_turn(
    stage: AccountsStage,
    store: Readable,
    place: tuple[int, int],
    transaction: StateTransaction,
    collector: RecordCollector,
    new_name: Callable[[], str] = lambda: secrets.token_hex(NAME_BYTES),
) -> None:
    """Send what begins this app's turn in a partition, once for each time that it becomes active.

    `place`: (partition, number of partitions).
    """
    policy = stage.deciding
    if not policy.is_active():
        return
    activation = policy.activation()
    turn = TURN.read(store, TURN_KEY) or Turn()
    if activation in (activation_of(turn.announced), turn.ended):
        return
    name = f"{activation}{SEPARATOR}{new_name()}"
    transaction.put(TURN_KEY, encode(Turn(announced=name, ended=turn.ended)))
    at_ms = policy.clock_ms()
    value = encode_turn(ACTIVATED, stage.app, policy.topic_id(), name, at_ms * MILLISECOND_US)
    partition = place[0]
    collector.send_raw(OutgoingRecord(stage.source, turn_key(*place), value, at_ms, (), partition))


@lru_cache(maxsize=1_024)
def turn_key(partition: int, partitions: int) -> bytes:
    """Return a key of turns that belongs to the partition."""
    return key_in(partition, partitions, KEY_PREFIX)


def wall_clock_ms() -> int:
    """Return the moment in ms since 1970."""
    return time.time_ns() // 1_000_000


class AccountNotes:
    """What owners note on the user log: rule versions and turns (implements OwnerNotes)."""

    def __init__(
        self, stage: AccountsStage, rules: RuleActivation, active_app: ActiveApp, partitions: int
    ) -> None:
        self._stage = stage
        self._rules = rules
        self._active_app = active_app
        self._partitions = partitions

    @property
    def revision(self) -> int:
        """Return a number that grows with each version and each change of the active app."""
        return self._rules.revision + self._active_app.revision

    async def ready(self, store: Store) -> None:
        """Wait until the noted rule versions are known; see RuleActivation."""
        await self._rules.ready(store)

    async def find(self, version: str) -> None:
        """Look for a rule version that a fold did not find."""
        await self._rules.find(version)

    def note(
        self,
        store: Store,
        partition: int,
        after_offset: int,
        transaction: StateTransaction,
        collector: RecordCollector,
    ) -> None:
        """Note new rule versions, and begin this app's turn."""
        self._rules.note(store, partition, after_offset, transaction, collector)
        begin_turn(self._stage, store, (partition, self._partitions), transaction, collector)
