"""Makes stores of both kinds for a test, and waits on nothing."""

from __future__ import annotations

from pathlib import Path

from rebate_app.streams.state.rocksdb import RocksDBResources, RocksDBStore, StoreIdentity
from rebate_app.streams.state.store import MemoryStore, Store, Watermark, encode_watermark

KINDS = ("memory", "rocksdb")
IDENTITY = StoreIdentity("cluster-1", "rebate-accounts-changelog", "topic-id-1", 8, 3)


def open_store(kind: str, folder: Path, identity: StoreIdentity = IDENTITY) -> Store:
    """Open the folder's store; a memory store is always a new one."""
    if kind == "memory":
        return MemoryStore()
    return RocksDBStore(folder / "store", identity, RocksDBResources())


def watermark(offset: int) -> Watermark:
    """Return a watermark of the test's own source."""
    return Watermark(offset, "rebate-user-log", 8)


def watermark_value(offset: int) -> bytes:
    """Return the same, as the changelog has it."""
    return encode_watermark(watermark(offset))
