"""Agent `order-lines`: folds the facts of the networks into the state of each order line (stage 1)."""

from __future__ import annotations

from rebate_app.domain.facts import OrderFact
from rebate_app.domain.faults import IMPLAUSIBLE_TIME, Fault, RefusedError
from rebate_app.domain.now import Now
from rebate_app.domain.order.attribution import parse_user_id_fields
from rebate_app.domain.order.line import merge
from rebate_app.domain.order.order_fold import fold_order
from rebate_app.metrics.catalogue import ORDERS
from rebate_app.streams.failures.guard import GuardedStage
from rebate_app.streams.state.buffer import StateTransaction
from rebate_app.streams.state.build import Build
from rebate_app.streams.task.stage import Record
from rebate_app.streams.transaction.collector import OutgoingRecord, RecordCollector
from rebate_app.wire.audit_trail import actor_in
from rebate_app.wire.facts.order import decode_order
from rebate_app.wire.internal import app_of, encode_message, is_internal
from rebate_app.wire.moments import MILLISECOND_US, MOMENT_US_MAX
from rebate_app.wire.used_rules import USER_ID_FIELDS_KEY
from tables.builds import ORDER_LINES_BUILDS
from tables.order_lines import OrderLinesView

NAME = "order-lines"
#: Longer source values are not cached: the cache keeps 16,000 of them, and facts have about 500 bytes.
CACHED_BYTES_MAX = 8 * 1_024


class OrderLinesStage(GuardedStage, frozen=True, kw_only=True):
    """Stage 1: `order_topic` → table `order_lines`; each changed line's target to `user_log`."""

    name: str = NAME
    parked: str = "order_topic-parked"
    builds: tuple[Build, ...] = ORDER_LINES_BUILDS
    user_log: str
    user_id_fields: str

    def fold(self, transaction: StateTransaction, collector: RecordCollector) -> OrderLinesFold:
        """Return the fold of one batch."""
        return OrderLinesFold(self, transaction, collector)


class OrderLinesFold:
    """The fold of one batch of `order_topic` (implements Fold)."""

    def __init__(
        self, stage: OrderLinesStage, transaction: StateTransaction, collector: RecordCollector
    ) -> None:
        self._stage = stage
        self._collector = collector
        self._sources = transaction.sources
        self._cached_sources = transaction.cache.sources
        self._lines = OrderLinesView(transaction)
        self._fields = parse_user_id_fields(stage.user_id_fields)
        self._changed: dict[str, int] = {}  # facts by network: those that changed their line, and all others
        self._unchanged: dict[str, int] = {}

    def successor(self, transaction: StateTransaction, collector: RecordCollector) -> OrderLinesFold:
        """Return the fold that goes on; nothing is emitted at the batch's end."""
        return OrderLinesFold(self._stage, transaction, collector)

    def conclude(self) -> None:
        """Send nothing: lines have no events of their own."""

    def take(self, record: Record) -> None:
        """Merge one fact into its line, send targets; RefusedError for what cannot be used."""
        value, key, timestamp = record.value, record.key, record.timestamp
        if value is None or key is None or not self._is_repeat(value, key, timestamp):
            if is_internal(value) and app_of(value or b"") not in (None, self._stage.app):
                return  # another app's, which reads the same facts
            at = timestamp * MILLISECOND_US
            fact = self._decoded(record, at)
            now = Now(record.offset, at, actor_in(record.headers))
            changed = self._merge(fact, now, timestamp)
            if value is not None and key is not None and len(value) <= CACHED_BYTES_MAX:
                self._sources[value] = key, timestamp
            self._count(fact.line.partition(":")[0], changed=changed)
        else:
            self._count(key.partition(b":")[0].decode(), changed=False)

    def _is_repeat(self, value: bytes, key: bytes, timestamp: int) -> bool:
        """Whether an equal record, byte for byte, was taken lately: this one changes nothing.

        Not if this one is older: a fact from too far ahead may be refused now and taken later.
        """
        if len(value) > CACHED_BYTES_MAX:
            return False
        taken = self._sources.get(value) or self._cached_sources.get(value)
        return taken is not None and taken[0] == key and taken[1] <= timestamp

    def _merge(self, fact: OrderFact, now: Now, timestamp: int) -> bool:
        """Merge a fact into its line and send the targets; return whether anything changed."""
        state = self._lines.line(fact.line)
        outcome, messages = fold_order(state, fact, now, self._fields)
        if isinstance(outcome, Fault):
            raise RefusedError([outcome])
        if outcome:
            self._lines.note(fact.line, state)
        for message in messages:
            key, value = encode_message(message, self._stage.app)
            self._collector.send(self._stage.user_log, key, value, timestamp)
        return outcome

    def _count(self, network: str, *, changed: bool) -> None:
        counts = self._changed if changed else self._unchanged
        counts[network] = counts.get(network, 0) + 1

    def _decoded(self, record: Record, at: int) -> OrderFact:
        """Return the fact; one beyond a limit and from too far ahead is refused for the limit.

        See docs/spec/facts.md#reason-codes.
        """
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
        """Register, the first time, how user ids are read; write the changed lines.

        See docs/spec/rules.md#upgrade.
        """
        if self._lines.first_use():
            key, value = USER_ID_FIELDS_KEY.encode(), self._stage.user_id_fields.encode()
            self._collector.send_raw(OutgoingRecord(self._stage.registry, key, value, 0, (), 0))
        self._lines.flush()
        for outcome, counts in (("applied", self._changed), ("ignored", self._unchanged)):
            self._collector.count({(ORDERS, (name, outcome)): count for name, count in counts.items()})
