"""What a worker pays, in memory: channels that a test opens, and the payees of every partition."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path

from examples.simulators.payouts.__main__ import channel_entry
from examples.simulators.payouts.keys import make_keys
from rebate_app.payouts.channel_states import ChannelStates
from rebate_app.payouts.desk import PayoutDesk
from rebate_app.payouts.manual_payouts import ManualPayouts
from rebate_app.payouts.payees.book import PayeeBook
from rebate_app.payouts.payees.cipher import PayeeCipher, parse_payee_keys
from rebate_app.payouts.remembered_ends import EndsKeeper
from rebate_app.settings import load_settings
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.wire.audit_trail import TrailRecord, decode_trail
from rebate_app.wire.channel_states import ChannelState

MANUAL = '[[channel]]\nname = "bank"\nkind = "manual"\n'


class Topic:
    """The compacted topic of payees, of all partitions; `fails`: what a write raises.

    `trail` has the records of the audit trail that were written with changes of payees.
    """

    def __init__(self) -> None:
        self.values: dict[tuple[int, bytes], bytes] = {}
        self.trail: list[TrailRecord] = []
        self.fails: Exception | None = None

    async def write(self, records: Sequence[OutgoingRecord]) -> None:
        """Take records."""
        if self.fails is not None:
            raise self.fails
        for record in records:
            if record.topic == "rebate-audit-trail":
                self.trail.append(decode_trail(record.value))
                continue
            place = record.partition or 0, record.key or b""
            if record.value is None:
                self.values.pop(place, None)
            else:
                self.values[place] = record.value


class Room:
    """Implements the port PayoutRoom; `ready`: whether payees have been read; `known`: a number it pays."""

    active = "rebate"

    def __init__(self, folder: Path, partitions: int, topic: Topic, by_hand: str = MANUAL) -> None:
        make_keys(folder)
        file = folder / "channels.toml"
        file.write_text(by_hand + channel_entry("http", "http://127.0.0.1:1", folder))
        self.states = ChannelStates("rebate-channels")
        self.states._whole_at = self.states._clock() + 1_000
        settings = load_settings(
            {"REBATE_CHANNELS": str(file), "REBATE_PAYEE_KEYS": "a:b", "REBATE_PAYEE_ID_KEY": "i"}
        )
        self.desk = PayoutDesk(settings, self.states, self.write, lambda: 1.0)
        self.ends = EndsKeeper("rebate-user-log", lambda: None, self.desk.close_all)
        self.ready = True
        self.known = ""
        self.prompted: list[tuple[int, str]] = []
        self.searched: list[tuple[int, str]] = []
        keys = parse_payee_keys("a:" + base64.b64encode(b"k" * 32).decode())
        cipher = PayeeCipher(keys, b"i" * 32)
        self._books = {
            number: PayeeBook("rebate-payees", number, cipher, (), topic.write)
            for number in range(partitions)
        }

    async def write(self, channel: str, state: ChannelState) -> None:
        """Take a state."""
        self.states.entries[channel] = state

    def books(self) -> Mapping[int, PayeeBook]:
        """Return the payees."""
        return self._books if self.ready else {}

    def readable_book(self, partition: int) -> PayeeBook | None:
        """Return the payees of a partition."""
        return self.books().get(partition)

    def manual(self, partition: int) -> ManualPayouts | None:
        """Return nothing: nobody pays here."""
        return None

    def prompt(self, partition: int, payout_no: str, *, searches: bool = False) -> bool:
        """Note what is prompted, and what is looked for."""
        (self.searched if searches else self.prompted).append((partition, payout_no))
        return payout_no == self.known
