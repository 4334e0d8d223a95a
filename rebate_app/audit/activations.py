"""Repeats the activations of rule versions between the records of a fold (docs/spec/rules.md#activation).

The table's record decides from which offset on a version is known, as it did for the owner. What the owner
stated in the log has to agree with it: each activation counts as a message that the fold sends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

from agents.accounts import AccountsStage
from agents.rule_activation import activation_record, activations_of
from rebate_app.domain.pricing.catalogue import Activation
from rebate_app.streams.errors import UnreadableStateError
from rebate_app.streams.state.buffer import encode
from rebate_app.streams.task.stage import Record
from tables.accounts import ACTIVATIONS_KEY, USED_RULE, Activations

from .message_check import Send

#: Reads on to the rule versions that are published now.
ReadRules = Callable[[], Awaitable[None]]


async def no_more_rules() -> None:
    """Read nothing: the stage has every version already."""


class ActivationReplay:
    """The activations of one partition, each repeated once, at its place."""

    def __init__(
        self, stage: AccountsStage, partition: int, partitions: int, send: Send, read_rules: ReadRules
    ) -> None:
        self._stage = stage
        self._place = (partition, partitions)
        self._send = send
        self._read_rules = read_rules
        self._noted: list[Activation] = []
        self._repeated = 0
        self._is_stated = True

    async def read(self, table: Mapping[bytes, bytes]) -> None:
        """Read the activations from the table, then the versions that are published by then.

        UnreadableStateError when an activation cannot be read, or its version is not published as it was.
        A table that no worker of this release has owned yet has none: what was used is known from the
        beginning, as its next owner will note.
        """
        self._is_stated = ACTIVATIONS_KEY in table
        if self._is_stated:
            self._noted = activations_of(table).items
            await self._read_rules()  # behind the table: what its records name was published before
            for each in self._noted:
                rule = self._stage.rules.get(each.version)
                if rule is None or rule.content_hash != each.content_hash:
                    raise UnreadableStateError(
                        ACTIVATIONS_KEY, f"{each.version!r} is not published like this"
                    )
        else:
            self._noted = [
                Activation(rule.version, rule.content_hash, -1, 0)
                for rule in self._stage.rules.versions
                if USED_RULE.key(rule.version) in table
            ]

    def parts(self, records: Sequence[Record], fold: dict[bytes, bytes]) -> Iterator[Sequence[Record]]:
        """Yield the records in parts, with the activations before each part noted in `fold`."""
        start = 0
        while start < len(records):
            self.note_before(records[start].offset, fold)
            stop = start + 1
            if self._repeated < len(self._noted):
                place = self._noted[self._repeated].after_offset
                while stop < len(records) and records[stop].offset <= place:
                    stop += 1
            else:
                stop = len(records)
            yield records[start:stop]
            start = stop

    def note_before(self, offset: int, fold: dict[bytes, bytes]) -> None:
        """Note the activations that hold for the record at this offset, and send what states them."""
        noted = self._repeated
        while noted < len(self._noted) and self._noted[noted].after_offset < offset:
            if self._is_stated:
                record = activation_record(self._stage, self._noted[noted], self._place)
                self._send(record, self._noted[noted].after_offset)
            noted += 1
        self._repeated = noted
        if noted:
            fold[ACTIVATIONS_KEY] = encode(Activations(items=self._noted[:noted]))

    def conclude(self, mark: int, fold: dict[bytes, bytes]) -> None:
        """Bring `fold` to the place behind the watermark, to be compared with the table."""
        self.note_before(mark + 1, fold)
        if not self._is_stated:
            fold.pop(ACTIVATIONS_KEY, None)
