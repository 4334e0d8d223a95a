"""Rows that were fetched become facts, by the adapters of imports; repeats are dropped by content.

A refused row is a dead letter of `order_topic` with the reason and the raw row, once per content and night.
Nothing is remembered before its facts are acknowledged, so what could not be sent is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson
from msgspec import Struct, field

from rebate_app.domain.faults import Fault, limit
from rebate_app.streams.failures.dead_letter import Failure, WorkerInfo, dead_letter, failure_of
from rebate_app.streams.transaction.collector import OutgoingRecord
from rebate_app.streams.transaction.partitioner import partition_of
from rebate_app.wire.facts.order import check_order, encode_order
from rebate_app.wire.json_values import encode_any, without_depth
from rebate_app.wire.moments import MILLISECOND_US
from rebate_app.wire.networks.adapter import Adapter, Row
from rebate_app.wire.networks.file_reader import ordered_faults
from rebate_app.wire.stages import RECORD_BYTES_MAX
from rebate_app.wire.truncation import OUR_HEADERS_BYTES_MAX

from .apis.api import ApiClient, OddRow

#: Rows of which the last content is remembered, twice over; older ones are sent again, which changes nothing.
ROWS_REMEMBERED = 100_000
DIGEST_BYTES = 12
#: Dead letters are known by topic, partition and offset; a row that never lay in the topic gets a number that
#: no offset reaches, out of its content.
OFFSET_BASE = 10**17
OFFSET_RANGE = 9 * 10**17
#: A longer row is cut in its dead letter, which is a record of the size of a fact.
LETTER_BYTES_MAX = RECORD_BYTES_MAX - OUR_HEADERS_BYTES_MAX
#: Of a row that is nested too deep to be written, so many levels are kept.
LEVELS_KEPT = 200

log = logging.getLogger(__name__)

Key = tuple[str, str]


class RowMemory:
    """The last content that was sent of each row of each job, in two generations of bounded size."""

    def __init__(self, size: int = ROWS_REMEMBERED) -> None:
        self._size = size
        self._young: dict[Key, bytes] = {}
        self._old: dict[Key, bytes] = {}

    def get(self, key: Key) -> bytes | None:
        """Return the content of a row as it was sent last, None for one that is not remembered."""
        return self._young.get(key) or self._old.get(key)

    def put(self, key: Key, digest: bytes) -> None:
        """Remember a row."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = digest


class FactBatch(Struct):
    """What a window's rows become: facts as (key, value), dead letters, counts by outcome."""

    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    letters: list[OutgoingRecord] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    sent: dict[Key, bytes] = field(default_factory=dict)

    def count(self, outcome: str) -> None:
        """Count a row."""
        self.counts[outcome] = self.counts.get(outcome, 0) + 1


class Destination(Struct, frozen=True):
    """Where facts and dead letters go, and as whom."""

    orders: str
    dead_letters: str
    partitions: int
    app: str
    worker: WorkerInfo


class FactMaker:
    """Makes facts of one account's rows."""

    def __init__(self, network: str, adapter: Adapter, api: ApiClient, destination: Destination) -> None:
        self._network = network
        self._adapter = adapter
        self._api = api
        self._destination = destination
        self._memory = RowMemory()
        self._refused = RowMemory()

    def batch(self, job: str, rows: list[Row], now_us: int, night: int) -> FactBatch:
        """Return what is new in rows; `now_us` is the network's time in microseconds UTC."""
        batch = FactBatch()
        for row in rows:
            batch.count("read")
            row_id, modified = self._api.version_of(row)
            content = content_of(row.fault.value if isinstance(row, OddRow) else row)
            digest = blake2b(content, digest_size=DIGEST_BYTES).digest()
            key = (job, row_id)
            known = batch.sent.get(key) or self._memory.get(key)
            if known == digest:
                batch.count("repeated")
                continue
            record = self._record(row, now_us)
            if isinstance(record, Failure):
                batch.count("refused")
                self._refuse(batch, job, row_id or modified, content, record, night, now_us)
                continue
            batch.count("new" if known is None else "changed")
            batch.records.append(record)
            batch.sent[key] = digest
        return batch

    def acknowledge(self, batch: FactBatch) -> None:
        """Remember what was sent."""
        for key, digest in batch.sent.items():
            memory = self._refused if key[0].startswith(REFUSED) else self._memory
            memory.put(key, digest)

    def _record(self, row: Row, now_us: int) -> tuple[bytes, bytes] | Failure:
        """Return the fact of a row, or why it is refused; our own bug costs this row and no other."""
        if isinstance(row, OddRow):
            return Failure(row.fault)
        try:
            fact = self._fact(row, now_us)
            if isinstance(fact, list):
                return Failure(fact[0])
            key, value = encode_order(fact)
        except Exception as error:
            log.exception("a row of %s is refused for a bug of ours", self._network)
            return failure_of(error)
        size = len(key) + len(value)
        if size > RECORD_BYTES_MAX:
            return Failure(limit("fact", f"the fact has {size} bytes, more than {RECORD_BYTES_MAX}"))
        return key, value

    def _fact(self, row: Row, now_us: int) -> dict[str, Any] | list[Fault]:
        """Return the fact of a row, or why it is refused."""
        document, faults, _ = self._adapter.read_row(row, now_us // MILLISECOND_US)
        verdict = check_order(document, now_us)
        faults = ordered_faults(faults, verdict if isinstance(verdict, list) else [])
        return faults or document

    def _refuse(
        self,
        batch: FactBatch,
        job: str,
        row_id: str,
        content: bytes,
        failure: Failure,
        night: int,
        now_us: int,
    ) -> None:
        """Add the dead letter of a row, once per content and night."""
        digest = blake2b(content + str(night).encode(), digest_size=DIGEST_BYTES).digest()
        key = (REFUSED + job, row_id)
        if (batch.sent.get(key) or self._refused.get(key)) == digest:
            return
        batch.sent[key] = digest
        where = self._destination
        line = f"{self._network}:{row_id}".encode("utf-8", "replace")
        offset = OFFSET_BASE + int.from_bytes(digest[:8], "big") % OFFSET_RANGE
        record = RefusedRow(
            where.orders,
            partition_of(line, where.partitions),
            offset,
            now_us // MILLISECOND_US,
            line,
            content,
        )
        batch.letters.append(
            dead_letter(record, where.dead_letters, failure, where.app, where.worker, LETTER_BYTES_MAX)
        )


def content_of(row: Any) -> bytes:
    """Return what a network sent as compact JSON with sorted members, whatever it is.

    orjson refuses half a surrogate pair, an integer beyond 64 bits and deep nesting.
    """
    try:
        return orjson.dumps(row, option=orjson.OPT_SORT_KEYS, default=str)
    except (TypeError, ValueError):
        try:
            return encode_any(row, sort_keys=True)
        except RecursionError:
            return encode_any(without_depth(row, LEVELS_KEPT), sort_keys=True)


#: Before the job's name in the keys of refused rows.
REFUSED = "refused/"


class RefusedRow(Struct):
    """A refused row in the form of a record, for its dead letter."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
