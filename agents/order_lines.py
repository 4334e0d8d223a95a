"""Agent `order-lines`: facts of the networks become the state of each order line (stage 1)."""

from __future__ import annotations

from msgspec import Struct

from rebate_app.domain.attribution import parse_user_id_fields
from rebate_app.domain.facts import OrderFact
from rebate_app.domain.faults import IMPLAUSIBLE_TIME, Fault, RefusedError
from rebate_app.domain.folding import Now, fold_order
from rebate_app.domain.order_line import merge
from rebate_app.lane.outbox import Outbox, Outgoing
from rebate_app.lane.stage import Record
from rebate_app.lane.store import Overlay, Store
from rebate_app.metrics.catalogue import ORDERS
from rebate_app.wire.internal import app_of, encode_message, is_internal
from rebate_app.wire.moments import MOMENT_US_MAX
from rebate_app.wire.order_facts import decode_order
from rebate_app.wire.topics import USER_ID_FIELDS_KEY
from tables.order_lines import OrderLinesChunk
from tables.parking import read_tally

from .guarded import Desk, FailurePolicy, GuardedSession, KnownBugs
from .telling import Telling

NAME = "order-lines"
MILLISECOND_US = 1_000


class OrderLinesStage(Struct, frozen=True):
    """Stage 1: `order_topic` → table `order_lines`, and each line's whole worth to the log it belongs to."""

    source: str
    changelog: str
    user_log: str
    dlt: str

    app: str
    user_id_fields: str
    registry: str = "rebate-rules"
    name: str = NAME
    parked: str = "order_topic-parked"
    failures: FailurePolicy = FailurePolicy()
    telling: Telling = Telling()

    def session(
        self, overlay: Overlay, outbox: Outbox, known_bugs: KnownBugs | None = None
    ) -> GuardedSession:
        """Return the guarded work on one chunk."""
        desk = Desk(self.app, self.dlt, self.parked, self.telling)
        return GuardedSession(desk, self.failures, overlay, outbox, self.work, known_bugs)

    def work(self, overlay: Overlay, outbox: Outbox) -> OrderLinesWork:
        """Return the work alone, which raises on what it cannot take."""
        return OrderLinesWork(self, overlay, outbox)

    def unfinished(self, store: Store) -> int:
        """Return how many parked lines are being released: a line needs no other message to itself."""
        return read_tally(store).releasing


class OrderLinesWork:
    """The work on records of one chunk of `order_topic` (implements Work)."""

    def __init__(self, stage: OrderLinesStage, overlay: Overlay, outbox: Outbox) -> None:
        self._stage = stage
        self._outbox = outbox
        self._overlay = overlay
        self._taken_before = overlay.warm.taken
        self._lines = OrderLinesChunk(overlay)
        self._fields = parse_user_id_fields(stage.user_id_fields)
        self._changed: dict[str, int] = {}  # facts by network: those that changed their line, and all others
        self._unchanged: dict[str, int] = {}

    def successor(self, overlay: Overlay, outbox: Outbox) -> OrderLinesWork:
        """Return the work that goes on; nothing here is told at the chunk's end."""
        return OrderLinesWork(self._stage, overlay, outbox)

    def conclude(self) -> None:
        """Lines tell their accounts, not the world."""

    def take(self, record: Record) -> None:
        """Merge one fact into its line, tell the owner; RefusedError for what cannot be used."""
        value, key, timestamp = record.value, record.key, record.timestamp
        if value is None or key is None or not self._was_taken(value, key, timestamp):
            if is_internal(value) and app_of(value or b"") not in (None, self._stage.app):
                return  # another app's, which reads the same facts
            at = timestamp * MILLISECOND_US
            fact = self._decoded(record, at)
            changed = self._merge(fact, Now(record.offset, at), timestamp)
            if value is not None and key is not None:
                self._overlay.taken[value] = key, timestamp
            self._count(fact.line.partition(":")[0], changed=changed)
        else:
            self._count(key.partition(b":")[0].decode(), changed=False)

    def _was_taken(self, value: bytes, key: bytes, timestamp: int) -> bool:
        """Whether a record like this one, byte for byte, was taken lately: again it changes nothing.

        The earlier one is not the younger: a fact from too far ahead may be refused now and taken later.
        """
        taken = self._overlay.taken.get(value) or self._taken_before.get(value)
        return taken is not None and taken[0] == key and taken[1] <= timestamp

    def _merge(self, fact: OrderFact, now: Now, timestamp: int) -> bool:
        """Merge a fact into its line and tell whom it concerns; return whether anything changed."""
        state = self._lines.line(fact.line)
        outcome, messages = fold_order(state, fact, now, self._fields)
        if isinstance(outcome, Fault):
            raise RefusedError([outcome])
        if outcome:
            self._lines.note(fact.line, state)
        for message in messages:
            key, value = encode_message(message, self._stage.app)
            self._outbox.send(self._stage.user_log, key, value, timestamp)
        return outcome

    def _count(self, network: str, *, changed: bool) -> None:
        counts = self._changed if changed else self._unchanged
        counts[network] = counts.get(network, 0) + 1

    def _decoded(self, record: Record, at: int) -> OrderFact:
        """Return the fact; one that is too many and too early is refused as too many (contracts.md 5)."""
        try:
            return decode_order(record.value, record.key, at)
        except RefusedError as error:
            if error.faults[0].code != IMPLAUSIBLE_TIME:
                raise
            fact = decode_order(record.value, record.key, MOMENT_US_MAX)
            outcome = merge(self._lines.copy_of(fact.line), fact, at)
            if isinstance(outcome, Fault):
                raise RefusedError([outcome, *error.faults]) from error
            raise

    def finish(self) -> None:
        """Record the first time how ids were read (contracts.md 6); write the changed lines."""
        if self._lines.first_use():
            key, value = USER_ID_FIELDS_KEY.encode(), self._stage.user_id_fields.encode()
            self._outbox.send_raw(Outgoing(self._stage.registry, key, value, 0, (), 0))
        self._lines.flush()
        for outcome, counts in (("applied", self._changed), ("ignored", self._unchanged)):
            self._outbox.count({(ORDERS, (name, outcome)): count for name, count in counts.items()})
