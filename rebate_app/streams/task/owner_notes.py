"""The port for what the owner of a partition notes in its state between two batches.

A note states from which place on the fold knows something that its records do not contain, such as a
published rule version. It is committed in a transaction of its own, before the next batch is folded, so the
fold of a record depends on nothing but the log and the notes before it.
"""

from __future__ import annotations

from typing import Protocol

from ..state.buffer import StateTransaction
from ..state.store import Store
from ..transaction.collector import RecordCollector


class OwnerNotes(Protocol):
    """What the owner of each partition of one stage notes."""

    @property
    def revision(self) -> int:
        """Return a number that changes whenever there may be something to note."""
        ...

    async def ready(self, store: Store) -> None:
        """Wait until this process knows all that the restored notes refer to.

        KafkaError: try again. StateLostError: something that was noted exists no longer.
        """
        ...

    async def find(self, version: str) -> None:
        """Look for a rule version that a fold did not find; KafkaError: try again."""
        ...

    def note(
        self,
        store: Store,
        partition: int,
        after_offset: int,
        transaction: StateTransaction,
        collector: RecordCollector,
    ) -> None:
        """Note what is new; `after_offset`: the last offset that the store holds, -1 for none.

        The transaction stays without changes when there is nothing to note.
        """
        ...
