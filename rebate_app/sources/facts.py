"""Rows that were fetched become facts, by the adapters of imports; repeats are dropped by content.

A refused row is a dead letter of `order_topic` with the reason and the raw row, once per content and night.
Jobs of an account show the same rows: what one of them has sent is a repeat for all. Nothing is remembered
before its facts are acknowledged, so what could not be sent is sent again.
"""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Sequence
from hashlib import blake2b
from typing import Any, Generic, TypeVar

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

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
#: The content of a row as each job read it last, by job.
Contents = tuple[tuple[str, bytes], ...]


class RowMemory(Generic[K, V]):
    """What is known of each row, in two generations of bounded size."""

    def __init__(self, size: int = ROWS_REMEMBERED) -> None:
        self._size = size
        self._young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def get(self, key: K) -> V | None:
        """Return what is known of a row, None for one that is not remembered."""
        return self._young.get(key) or self._old.get(key)

    def put(self, key: K, known: V) -> None:
        """Remember a row."""
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = known


class FactBatch(Struct):
    """What a window's rows become: facts as (key, value), dead letters, counts by outcome.

    `sent`: contents by row. `refused`: digests of the letters.
    """

    records: list[tuple[bytes, bytes]] = field(default_factory=list)
    letters: list[OutgoingRecord] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    sent: dict[str, Contents] = field(default_factory=dict)
    refused: dict[bytes, bool] = field(default_factory=dict)

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
        self._memory = RowMemory[str, Contents]()
        self._refused = RowMemory[bytes, bool]()

    def batch(self, job: str, rows: list[Row], now_us: int, night: int) -> FactBatch:
        """Return what is new in rows; `now_us` is the network's time in microseconds UTC."""
        batch = FactBatch()
        for row in rows:
            batch.count("read")
            row_id, modified = self._api.version_of(row)
            content = content_of(row.fault.value if isinstance(row, OddRow) else row)
            digest = blake2b(content, digest_size=DIGEST_BYTES).digest()
            known = dict(batch.sent.get(row_id) or self._memory.get(row_id) or ())
            if digest not in known.values():
                record = self._record(row, now_us)
                if isinstance(record, Failure):
                    batch.count("refused")
                    self._refuse(batch, row_id or modified, content, record, night, now_us)
                    continue
                batch.count("changed" if known else "new")
                batch.records.append(record)
            else:
                batch.count("repeated")
            if known.get(job) != digest:
                batch.sent[row_id] = _read_by(known, job, digest)
        return batch

    def acknowledge(self, batch: FactBatch) -> None:
        """Remember what was sent."""
        for row_id, contents in batch.sent.items():
            self._memory.put(row_id, contents)
        self.remember_refused(batch.refused)

    def remember_refused(self, digests: Iterable[bytes]) -> None:
        """Take dead letters as written: those of this process, or those that a cursor remembers."""
        for digest in digests:
            self._refused.put(digest, True)

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
        row_id: str,
        content: bytes,
        failure: Failure,
        night: int,
        now_us: int,
    ) -> None:
        """Add the dead letter of a row, once per content and night, whichever jobs read it."""
        digest = blake2b(content + str(night).encode(), digest_size=DIGEST_BYTES).digest()
        if digest in batch.refused or self._refused.get(digest):
            return
        batch.refused[digest] = True
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


def _read_by(known: dict[str, bytes], job: str, digest: bytes) -> Contents:
    """Return the contents of a row after a job read one.

    What it read before is no longer current, so another job that shows it again is no repeat.
    """
    before = known.get(job)
    others = ((each, content) for each, content in known.items() if each != job and content != before)
    return (*others, (job, digest))


class RefusedRow(Struct):
    """A refused row in the form of a record, for its dead letter."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
