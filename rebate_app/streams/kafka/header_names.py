r"""Reads batches with header names that are not UTF-8, which other clients can write (pinned aiokafka).

aiokafka stops at such a record with UnicodeDecodeError, at each fetch anew. Here the batch is read again,
with such names escaped (`x\xff`) and marked as UndecodableName: key, value and place stay readable, and the
record can be refused like any other. All else about a batch, damage included, is read and reported as before.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy, _DefaultRecordPy
from aiokafka.record.memory_records import MemoryRecords, _MemoryRecordsPy
from aiokafka.record.util import decode_varint


class UndecodableName(str):
    """The name of a header whose bytes are not UTF-8, with those bytes escaped."""

    __slots__ = ()


def undecodable_name(headers: Iterable[tuple[str, Any]]) -> str | None:
    """Return the first header name that is not UTF-8, escaped; None when all are."""
    return next((str(name) for name, _ in headers if type(name) is UndecodableName), None)


def plain_headers(headers: Iterable[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return headers that a producer takes: escaped names as plain text."""
    return [(str(name), value) for name, value in headers]


class EscapingBatch(_DefaultRecordBatchPy):  # final for type checkers that see it
    """A batch of format 2 whose undecodable header names are escaped."""

    _pos: int

    def _read_msg(self) -> _DefaultRecordPy:
        buffer = self._buffer
        length, start = decode_varint(buffer, self._pos)
        _, position = decode_varint(buffer, start)  # attributes
        timestamp_delta, position = decode_varint(buffer, position)
        offset_delta, position = decode_varint(buffer, position)
        key, position = _nullable_bytes(buffer, position)
        value, position = _nullable_bytes(buffer, position)
        count, position = decode_varint(buffer, position)
        headers = []
        for _ in range(count):
            name, position = _nullable_bytes(buffer, position)
            if name is None:
                raise CorruptRecordException("a header has no name")
            content, position = _nullable_bytes(buffer, position)
            headers.append((_text(name), content))
        if count < 0 or position - start != length:
            raise CorruptRecordException(f"a record of {length} bytes takes {position - start}")
        self._pos = position
        appended = self.timestamp_type == self.LOG_APPEND_TIME
        timestamp = self.max_timestamp if appended else self.first_timestamp + timestamp_delta
        return _DefaultRecordPy(
            self.base_offset + offset_delta, timestamp, self.timestamp_type, key, value, headers
        )


def _nullable_bytes(buffer: bytearray, position: int) -> tuple[bytes | None, int]:
    length, position = decode_varint(buffer, position)
    if length < 0:
        return None, position
    return bytes(buffer[position : position + length]), position + length


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        return UndecodableName(name.decode("utf-8", "backslashreplace"))


class RetainedRecords:
    """The batches of one fetch of one partition, with the bytes that they are read from."""

    __slots__ = ("_batches", "data", "has_next", "next_batch")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._batches = MemoryRecords(data)
        self.has_next = self._batches.has_next
        self.next_batch = self._batches.next_batch

    def size_in_bytes(self) -> int:
        """Return the size of all batches."""
        return int(self._batches.size_in_bytes())


class RestOfRecords(RetainedRecords):
    """The same from the batch on that holds an offset; that batch is read with escaped names."""

    __slots__ = ()

    def __init__(self, data: bytes, offset: int) -> None:
        super().__init__(data)
        slices = _MemoryRecordsPy(data)
        while self._batches.next_batch().next_offset <= offset:
            slices.next_batch()
        first = [EscapingBatch(slices._next_slice)]  # noqa: SLF001 - pinned aiokafka
        self.has_next = lambda: bool(first) or self._batches.has_next()
        self.next_batch = lambda: first.pop() if first else self._batches.next_batch()


class EscapingPartitionRecords(fetcher.PartitionRecords):
    """The records of one fetch of one partition; a batch with undecodable header names is read again."""

    _records: Any
    _records_iterator: Any

    def __next__(self) -> Any:
        try:
            return next(self._records_iterator)
        except StopIteration:
            self._records_iterator = None
            raise
        except (UnicodeDecodeError, CorruptRecordException) as error:
            if not _is_about_a_name(error) or not isinstance(self._records, RetainedRecords):
                raise
        # The records before it were taken, and `_unpack_records` leaves out offsets that were.
        self._records = RestOfRecords(self._records.data, self.next_fetch_offset)
        self._records_iterator = self._unpack_records()
        return next(self)


def _is_about_a_name(error: Exception) -> bool:
    """Whether a header name was not UTF-8; aiokafka without its extensions wraps the cause."""
    return isinstance(error, UnicodeDecodeError) or isinstance(error.__cause__, UnicodeDecodeError)


def install() -> None:
    """Have every consumer of aiokafka read header names like this; safe to be called again."""
    fetcher.MemoryRecords = RetainedRecords
    fetcher.PartitionRecords = EscapingPartitionRecords
