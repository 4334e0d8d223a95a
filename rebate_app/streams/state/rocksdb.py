"""The store of a partition on disk: RocksDB, one directory per table and partition.

Records, watermark and changelog position are in one WriteBatch of one column family, so they are consistent
after kill -9. The write-ahead log is on and never synced: the kernel has what a killed process wrote. A power
failure loses the end of that log and leaves an older consistent state; the changelog, acknowledged by all
replicas, has the rest. A sync would cost milliseconds a batch and save only some reading.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
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

from rebate_app.data_folder import make_private
from rebate_app.settings import EXIT_CONFIGURATION
from rebate_app.wire.unreadable import UnreadableValueError

from ..errors import StateLostError, StreamsError
from .store import (
    WATERMARK_KEY,
    StoreClosedError,
    StoreDamagedError,
    Watermark,
    decode_watermark,
    watermark_after,
)

FORMAT = 1
#: What differs between a changelog and the one of the same name that it replaces.
IDENTITY = ("cluster", "topic_id", "partitions")
STORE_INFO_KEY = b"\0"  # no record's key begins with it; it sorts before all records

CACHE_BYTES = 64 * 1_048_576  # of all stores of a worker together; the next too
WRITE_BUFFERS_BYTES = 96 * 1_048_576
WRITE_BUFFER_BYTES = 16 * 1_048_576  # of one store; restoring fills it in about 0.3 s
OPEN_FILES_MAX = 32  # of one store: 2 x 16 partitions and their sockets stay below 1,024 descriptors
LEVEL_0_FILES = 8  # fewer compactions while restoring; bloom filters spare most lookups
LOG_BYTES_MAX = 1_048_576
BLOOM_BITS_PER_KEY = 10.0

#: Failures of the machine; rebuilding the store would not help.
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


class StoreLockedError(StreamsError):
    """Another process has the store open: two workers have the same REBATE_DATADIR."""

    exit_code = EXIT_CONFIGURATION


class StoreUnusableError(StreamsError):
    """The machine refuses to read or write the store: the disk is full, or access is denied."""


class StoreIdentity(msgspec.Struct, frozen=True):
    """The changelog partition that a store copies. `topic_id`: "" if the broker has none."""

    cluster: str
    topic: str
    topic_id: str
    partitions: int
    partition: int
    format: int = FORMAT

    def difference(self, found: StoreIdentity) -> str | None:
        """Return how the identity of a store that was found differs, None when it is the same log.

        StateLostError: it is a store of this changelog as it was before it was made anew.
        """
        differing = [
            (name, ours, theirs)
            for name in self.__struct_fields__
            if (ours := getattr(self, name)) != (theirs := getattr(found, name))
            and (name != "topic_id" or (ours and theirs))
        ]
        for name, ours, theirs in differing:
            if name in IDENTITY and self.topic == found.topic:
                raise StateLostError(
                    f"{self.topic} was made anew: its {name} is {ours}, that of the local store of "
                    f"partition {self.partition} is {theirs}"
                )
        return next((f"its {name} is {theirs}, not {ours}" for name, ours, theirs in differing), None)


class _StoreInfo(msgspec.Struct, frozen=True):
    """The store's own record, written with every batch."""

    identity: StoreIdentity
    position: int = 0
    complete_at: float = 0.0


_decode_info = msgspec.json.Decoder(_StoreInfo).decode
_encode = msgspec.json.encode


class RocksDBResources:
    """Cache and write buffers that the stores of one worker share: memory does not grow with their number."""

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
    """A store on disk (implements Store). One that is damaged or of another topic is rebuilt, with a warning.

    StateLostError: its changelog was made anew since.
    StoreLockedError: another process has it open. StoreUnusableError: the machine refuses access.
    """

    def __init__(self, path: Path, identity: StoreIdentity, resources: RocksDBResources) -> None:
        self._path = path
        self._identity = identity
        self._resources = resources
        self._db: Rdict | None = None
        self._info = _StoreInfo(identity)
        self._watermark: Watermark | None = None
        self._on_damage: list[Callable[[], None]] = []
        self.damage: str | None = None
        try:
            reason = self._open()
        except StateLostError:
            self.close()
            raise
        except Exception as error:  # noqa: BLE001 - rocksdict knows only Exception
            reason = self._damage_of(error)
        if reason is not None:
            log.warning("store %s is rebuilt: %s", path, reason)
            self.clear()

    @property
    def position(self) -> int:
        """Return the changelog offset to read next."""
        return self._info.position

    @property
    def complete_at(self) -> float:
        """Return when the store last held the whole changelog, in Unix seconds."""
        return self._info.complete_at

    @property
    def watermark(self) -> Watermark | None:
        """Return the watermark of the records, None for a store never written."""
        return self._watermark

    def on_damage(self, call: Callable[[], None]) -> None:
        """Call this when any read or write finds damage."""
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
            self._info,
            position=position,
            complete_at=self._info.complete_at if complete_at is None else complete_at,
        )
        watermark = watermark_after(changes, self._watermark)
        batch = WriteBatch(raw_mode=True)
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)
        batch.put(STORE_INFO_KEY, _encode(about))
        try:
            self._use().write(batch)
        except Exception as error:
            raise self._failed(error) from error
        self._info, self._watermark = about, watermark

    def rest(self, keys: Iterable[bytes]) -> None:
        """Do nothing: RocksDB keeps what is used."""

    def packing(self, keys: Iterable[bytes]) -> None:
        """Return None: there is nothing to pack."""

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """Iterate over all current records but the watermark."""
        try:
            cursor = self._use().iter()
            cursor.seek_to_first()
            while cursor.valid():
                key = cursor.key()
                if key not in (STORE_INFO_KEY, WATERMARK_KEY):
                    yield key, cursor.value()
                cursor.next()
            cursor.status()  # raises where damage has ended the iteration too early
        except Exception as error:
            raise self._failed(error) from error

    def keys_after(self, prefix: bytes, after: bytes, limit: int) -> list[bytes]:
        """Return the first keys with this beginning that come after `after`, in byte order."""
        keys: list[bytes] = []
        own = (STORE_INFO_KEY, WATERMARK_KEY)
        try:
            cursor = self._use().iter()
            cursor.seek(max(prefix, after))
            while cursor.valid() and len(keys) < limit and (key := cursor.key()).startswith(prefix):
                if key > after and key not in own:
                    keys.append(key)
                cursor.next()
            cursor.status()  # raises where damage has ended the iteration too early
        except Exception as error:
            raise self._failed(error) from error
        return keys

    def __len__(self) -> int:
        return sum(1 for _ in self.items())

    def clear(self) -> None:
        """Remove everything: close, delete the files, open an empty store."""
        self.close()
        try:
            if self._path.exists():
                shutil.rmtree(self._path)
            self._open()
        except Exception as error:
            raise StoreUnusableError(f"the store at {self._path} cannot be built: {error}") from error
        self.damage = None

    def close(self) -> None:
        """Release files and lock; what was applied stays on disk."""
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _open(self) -> str | None:
        """Open the files; return why they cannot be used, None when they can."""
        make_private(self._path)
        self._db = Rdict(str(self._path), self._resources.options())
        self._info, self._watermark = _StoreInfo(self._identity), None
        raw = self._db.get(STORE_INFO_KEY)
        if raw is None:
            return None if self._is_empty(self._db) else "its own record is missing"
        try:
            about = _decode_info(raw)
        except msgspec.DecodeError as error:
            return f"its own record cannot be read: {error}"
        reason = self._identity.difference(about.identity)
        if reason is None:
            self._info = replace(about, identity=self._identity)
            value = self._db.get(WATERMARK_KEY)
            try:
                self._watermark = None if value is None else decode_watermark(value)
            except UnreadableValueError as error:
                return f"its watermark cannot be read: {error}"
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
        """Return what to raise for an error of RocksDB, and record damage."""
        if isinstance(error, StoreClosedError | StoreDamagedError):
            return error
        if isinstance(error, DbClosedError):
            return StoreClosedError(f"the store at {self._path} is closed")
        self.damage = self._damage_of(error)
        log.warning("store %s is damaged and will be rebuilt: %s", self._path, self.damage)
        for call in self._on_damage:
            call()
        return StoreDamagedError(f"the store at {self._path} is damaged: {self.damage}")

    def _damage_of(self, error: Exception) -> str:
        """Return the store's damage; raise when the fault is not the store's."""
        message = str(error)
        if "/LOCK:" in message:
            raise StoreLockedError(
                f"another process has the store at {self._path}: give every worker its own REBATE_DATADIR"
            ) from error
        if any(fault in message for fault in MACHINE_FAULTS):
            raise StoreUnusableError(f"the store at {self._path} cannot be used: {message}") from error
        return message
