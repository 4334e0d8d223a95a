"""A partition's records on disk: RocksDB, one directory per table and partition.

Law: data, watermark and changelog position are in one WriteBatch of one column family, so that after
kill -9 they belong together. The write-ahead log is on and never synced: what a killed process wrote
is with the kernel and not lost, and what a power failure takes is the end of that log, which leaves an
older state that belongs together as well; the changelog, which is acknowledged by all replicas, has
the rest. So a sync would cost milliseconds a chunk and save nothing but some reading.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from msgspec.structs import replace
from rocksdict import (
    BlockBasedOptions,
    Cache,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    WriteBatch,
    WriteBufferManager,
)

from rebate_app.settings import EXIT_CONFIGURATION

from .failures import LaneError
from .store import (
    WATERMARK_KEY,
    StoreClosedError,
    StoreDamagedError,
    Watermark,
    decode_watermark,
    watermark_after,
)

FORMAT = 1
ABOUT_KEY = b"\0"  # no record of ours begins with it; it sorts before all of them

CACHE_BYTES = 64 * 1_048_576  # of all stores of a worker together, as is the next
WRITE_BUFFERS_BYTES = 96 * 1_048_576
WRITE_BUFFER_BYTES = 16 * 1_048_576  # of one store; restoring fills it in about 0.3 s
OPEN_FILES_MAX = 32  # of one store: 2 x 16 partitions and their sockets stay below 1,024 descriptors
LEVEL_0_FILES = 8  # fewer compactions while restoring, at up to 8 looks for a key that bloom filters spare
LOG_BYTES_MAX = 1_048_576
BLOOM_BITS_PER_KEY = 10.0

#: Failures of the machine, which building a store anew would not cure.
MACHINE_FAULTS = (
    "No space left",
    "Disk quota exceeded",
    "Permission denied",
    "Read-only file system",
    "Too many open files",
    "Cannot allocate memory",
    "Operation not permitted",
    "File too large",
)

log = logging.getLogger(__name__)


class StoreLockedError(LaneError):
    """Another process has the store open: two workers were given one REBATE_DATADIR."""

    exit_code = EXIT_CONFIGURATION


class StoreUnusableError(LaneError):
    """The machine refuses to read or write the store: its disk is full, or not ours to write."""


class StoreIdentity(msgspec.Struct, frozen=True):
    """Whose records these are; a store of anything else is of no use. `topic_id` "" is not told."""

    cluster: str
    topic: str
    topic_id: str
    partitions: int
    partition: int
    format: int = FORMAT

    def other(self, found: StoreIdentity) -> str | None:
        """Return what differs in the one that was found, None when it is the same log."""
        for name in self.__struct_fields__:
            ours, theirs = getattr(self, name), getattr(found, name)
            if ours != theirs and (name != "topic_id" or (ours and theirs)):
                return f"its {name} is {theirs}, not {ours}"
        return None


class _About(msgspec.Struct, frozen=True):
    """What a store says about itself, written with every batch."""

    identity: StoreIdentity
    position: int = 0
    complete_at: float = 0.0


_decode_about = msgspec.json.Decoder(_About).decode
_encode = msgspec.json.encode


class RocksDBResources:
    """What the stores of one worker share, so that memory does not grow with their number."""

    def __init__(self) -> None:
        self._cache = Cache(CACHE_BYTES)
        self._buffers = WriteBufferManager(WRITE_BUFFERS_BYTES, allow_stall=False)

    def options(self) -> Options:
        """Return the options of one store."""
        table = BlockBasedOptions()
        table.set_block_cache(self._cache)
        table.set_cache_index_and_filter_blocks(True)
        table.set_pin_l0_filter_and_index_blocks_in_cache(True)
        table.set_bloom_filter(BLOOM_BITS_PER_KEY, False)
        options = Options(raw_mode=True)
        options.create_if_missing(True)
        options.set_block_based_table_factory(table)
        options.set_write_buffer_manager(self._buffers)
        options.set_write_buffer_size(WRITE_BUFFER_BYTES)
        options.set_compression_type(DBCompressionType.lz4())
        options.set_min_level_to_compress(2)  # what is soon rewritten costs a fifth more when compressed
        options.set_level_zero_file_num_compaction_trigger(LEVEL_0_FILES)
        options.set_max_open_files(OPEN_FILES_MAX)
        options.set_max_log_file_size(LOG_BYTES_MAX)
        options.set_keep_log_file_num(1)
        options.set_stats_dump_period_sec(0)
        options.set_stats_persist_period_sec(0)
        return options


class RocksDBStore:
    """A store on disk. Opening one that is damaged or of another log builds it anew, with a warning.

    StoreLockedError: another process has it. StoreUnusableError: the machine does not let us.
    """

    def __init__(self, path: Path, identity: StoreIdentity, resources: RocksDBResources) -> None:
        self._path = path
        self._identity = identity
        self._resources = resources
        self._db: Rdict | None = None
        self._about = _About(identity)
        self._watermark: Watermark | None = None
        self._on_damage: list[Callable[[], None]] = []
        self.damage: str | None = None
        try:
            reason = self._open()
        except Exception as error:  # noqa: BLE001 - rocksdict knows only Exception
            reason = self._fault_of_ours(error)
        if reason is not None:
            log.warning("store %s is built anew: %s", path, reason)
            self.clear()

    @property
    def position(self) -> int:
        """Return the changelog offset to read next."""
        return self._about.position

    @property
    def complete_at(self) -> float:
        """Return when the records were last known to be all that the changelog had, in Unix seconds."""
        return self._about.complete_at

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        return self._watermark

    def on_damage(self, call: Callable[[], None]) -> None:
        """Have this called when damage is found, by whichever read."""
        self._on_damage.append(call)

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None when there is none."""
        try:
            value: bytes | None = self._use().get(key)
        except Exception as error:
            raise self._failed(error) from error
        return value

    def apply(
        self, changes: Mapping[bytes, bytes | None], position: int, complete_at: float | None = None
    ) -> None:
        """Take changes, None deletes, and the changelog position reached, in one WriteBatch."""
        about = replace(
            self._about,
            position=position,
            complete_at=self._about.complete_at if complete_at is None else complete_at,
        )
        watermark = watermark_after(changes, self._watermark)
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(ABOUT_KEY, _encode(about))
        try:
            self._use().write(batch)
        except Exception as error:
            raise self._failed(error) from error
        self._about, self._watermark = about, watermark

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all records of this moment, the watermark's excepted."""
        try:
            cursor = self._use().iter()
            cursor.seek_to_first()
            while cursor.valid():
                key = cursor.key()
                if key not in (ABOUT_KEY, WATERMARK_KEY):
                    yield key, cursor.value()
                cursor.next()
            cursor.status()  # raises where damage has ended the iteration too early
        except Exception as error:
            raise self._failed(error) from error

    def __len__(self) -> int:
        return sum(1 for _ in self.items())

    def clear(self) -> None:
        """Forget everything: close, remove the files, open an empty store."""
        self.close()
        try:
            if self._path.exists():
                shutil.rmtree(self._path)
            self._open()
        except Exception as error:
            raise StoreUnusableError(f"the store at {self._path} cannot be built: {error}") from error
        self.damage = None

    def close(self) -> None:
        """Let go of files and lock; what was applied stays on disk."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _open(self) -> str | None:
        """Open what is there; return why it is of no use, None when it is."""
        self._path.mkdir(parents=True, exist_ok=True)
        self._db = Rdict(str(self._path), self._resources.options())
        self._about, self._watermark = _About(self._identity), None
        raw = self._db.get(ABOUT_KEY)
        if raw is None:
            return None if self._is_empty(self._db) else "it does not say whose it is"
        try:
            about = _decode_about(raw)
        except msgspec.DecodeError as error:
            return f"what it says about itself cannot be read: {error}"
        reason = self._identity.other(about.identity)
        if reason is None:
            self._about = replace(about, identity=self._identity)
            value = self._db.get(WATERMARK_KEY)
            self._watermark = None if value is None else decode_watermark(value)
        return reason

    @staticmethod
    def _is_empty(db: Rdict) -> bool:
        cursor = db.iter()
        cursor.seek_to_first()
        return not cursor.valid()

    def _use(self) -> Rdict:
        if self.damage is not None:
            raise StoreDamagedError(f"the store at {self._path} is damaged: {self.damage}")
        if self._db is None:
            raise StoreClosedError(f"the store at {self._path} is closed")
        return self._db

    def _failed(self, error: Exception) -> Exception:
        """Return what to raise for an error of RocksDB, and remember damage."""
        if isinstance(error, StoreClosedError | StoreDamagedError):
            return error
        if isinstance(error, DbClosedError):
            return StoreClosedError(f"the store at {self._path} is closed")
        self.damage = self._fault_of_ours(error)
        log.warning("store %s is damaged and will be built anew: %s", self._path, self.damage)
        for call in self._on_damage:
            call()
        return StoreDamagedError(f"the store at {self._path} is damaged: {self.damage}")

    def _fault_of_ours(self, error: Exception) -> str:
        """Return what is wrong with the store; raise when it is not the store with which it is wrong."""
        message = str(error)
        if "/LOCK:" in message:
            raise StoreLockedError(
                f"another process has the store at {self._path}: give every worker its own REBATE_DATADIR"
            ) from error
        if any(fault in message for fault in MACHINE_FAULTS):
            raise StoreUnusableError(f"the store at {self._path} cannot be used: {message}") from error
        return message
