"""The store on disk: its identity, damage, and locking."""

from __future__ import annotations

import logging
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from rebate_app.settings import EXIT_CONFIGURATION, ConfigurationError, load_settings
from rebate_app.streams.errors import StateLostError
from rebate_app.streams.state.folder import StoreFolder
from rebate_app.streams.state.rocksdb import (
    RocksDBResources,
    RocksDBStore,
    StoreIdentity,
    StoreLockedError,
    StoreUnusableError,
)
from rebate_app.streams.state.store import WATERMARK_KEY, StoreDamagedError
from tests.streams.state.stores import IDENTITY, watermark, watermark_value

CHECKOUT = Path(__file__).parents[3]
RECORDS = 2_000
POSITION = 4_711
BLOCK = 4_096


def opened(folder: Path, identity: StoreIdentity = IDENTITY) -> RocksDBStore:
    """Open the folder's store."""
    return RocksDBStore(folder / "store", identity, RocksDBResources())


def filled(folder: Path) -> None:
    """Leave a closed store of many records, in files and partly in the write-ahead log."""
    store = opened(folder)
    store.apply({b"line %d" % number: bytes(range(200)) for number in range(RECORDS)}, 10, 1.0)
    db = store._db
    assert db is not None
    db.flush()
    store.apply({b"head u1": b"1", WATERMARK_KEY: watermark_value(99)}, POSITION, 2.0)
    store.close()


def is_whole(store: RocksDBStore) -> bool:
    """Whether the store holds what `filled` has left."""
    return (store.position, len(store), store.watermark) == (POSITION, RECORDS + 1, watermark(99))


def is_new(store: RocksDBStore) -> bool:
    """Whether nothing is in the store, which can be used."""
    new = (store.position, store.complete_at, store.watermark, len(store)) == (0, 0.0, None, 0)
    store.apply({b"a": b"1"}, 1)
    return new and store.get(b"a") == b"1"


class TestIdentity:
    """Records of another log are of no use, however well they can be read."""

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ({"topic": "v2-accounts-changelog"}, "its topic is rebate-accounts-changelog"),
            ({"topic": "v2", "cluster": "cluster-2", "topic_id": "topic-id-2"}, "its cluster is cluster-1"),
            ({"partition": 4}, "its partition is 3, not 4"),
            ({"format": 2}, "its format is 1, not 2"),
        ],
    )
    def test_of_another_log_is_built_anew(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, change: dict[str, object], reason: str
    ) -> None:
        """Another app's topic, whatever its ids, another partition or format: a warning names it."""
        filled(tmp_path)
        store = opened(tmp_path, replace(IDENTITY, **change))
        assert is_new(store)
        assert reason in caplog.text
        store.close()
        assert opened(tmp_path, replace(IDENTITY, **change)).position == 1

    @pytest.mark.parametrize(
        "change", [{"cluster": "cluster-2"}, {"topic_id": "topic-id-2"}, {"partitions": 16}]
    )
    def test_of_a_log_that_was_made_anew_is_refused(self, tmp_path: Path, change: dict[str, object]) -> None:
        """The changelog of this name is another one: what the store holds is lost, and nothing is deleted."""
        filled(tmp_path)
        with pytest.raises(StateLostError, match="was made anew: its "):
            opened(tmp_path, replace(IDENTITY, **change))
        store = opened(tmp_path)
        assert is_whole(store)
        store.close()

    def test_a_topic_id_that_is_not_calls_is_no_difference(self, tmp_path: Path) -> None:
        """With a broker without topic ids, the names decide; an id is kept once it is known."""
        filled(tmp_path)
        store = opened(tmp_path, replace(IDENTITY, topic_id=""))
        assert is_whole(store)
        store.close()

    @pytest.mark.parametrize("about", [b"{", b"[]", b'{"identity":{"cluster":1}}', None])
    def test_one_that_cannot_say_whose_it_is(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture, about: bytes | None
    ) -> None:
        """Its own record cannot be read, or is missing: it is rebuilt."""
        filled(tmp_path)
        store = opened(tmp_path)
        db = store._db
        assert db is not None
        if about is None:
            db.delete(b"\0")
        else:
            db.put(b"\0", about)
        store.close()
        assert is_new(opened(tmp_path))
        assert "is rebuilt: " in caplog.text


def newest(folder: Path, pattern: str) -> Path:
    """Return the largest file of the store that matches."""
    return max((folder / "store").glob(pattern), key=lambda path: path.stat().st_size)


def overwrite(path: Path, step: int = BLOCK // 2, share: float = 1.0) -> None:
    """Write rubbish into the file, again and again; of a table file the first half is records."""
    raw = bytearray(path.read_bytes())
    for start in range(0, int(len(raw) * share) - 8, step):
        raw[start : start + 8] = b"\xff\x00\xaa\x55rubb"
    path.write_bytes(raw)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a table file cut": lambda folder: newest(folder, "*.sst").write_bytes(b""),
    "a table file gone": lambda folder: newest(folder, "*.sst").unlink(),
    "the manifest overwritten": lambda folder: overwrite(newest(folder, "MANIFEST-*"), 32),
    "the manifest gone": lambda folder: newest(folder, "MANIFEST-*").unlink(),
    "CURRENT empty": lambda folder: (folder / "store" / "CURRENT").write_bytes(b""),
}


class TestDamage:
    """A damaged store is only a cache: it is rebuilt with a warning, and never answers wrongly."""

    @pytest.mark.parametrize("damage", DAMAGES)
    def test_found_at_opening(self, tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str) -> None:
        """RocksDB does not open it: an empty store and a warning."""
        filled(tmp_path)
        DAMAGES[damage](tmp_path)
        assert is_new(opened(tmp_path))
        assert "is rebuilt: " in caplog.text

    def test_a_torn_log_is_an_older_state(self, tmp_path: Path) -> None:
        """The end of the write-ahead log is lost with the power: position and data go back together."""
        store = opened(tmp_path)
        store.apply({b"head u1": b"1"}, 10, 1.0)
        store.apply({b"head u1": b"2", WATERMARK_KEY: watermark_value(99)}, POSITION, 2.0)
        shutil.copytree(tmp_path / "store", tmp_path / "after" / "store")  # as a kill would leave it
        log = newest(tmp_path / "after", "*.log")
        log.write_bytes(log.read_bytes()[:-3])
        torn = opened(tmp_path / "after")
        assert (torn.position, torn.complete_at, torn.watermark) == (10, 1.0, None)
        assert torn.get(b"head u1") == b"1"

    def test_found_at_reading(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The read fails, and every later one; listeners are called; `clear` repairs it."""
        filled(tmp_path)
        overwrite(newest(tmp_path, "*.sst"), share=0.5)
        store = opened(tmp_path)
        calls: list[str] = []
        store.on_damage(lambda: calls.append("damage"))
        with pytest.raises(StoreDamagedError):
            assert {store.get(b"line %d" % number) for number in range(RECORDS)} == {bytes(range(200))}
        assert calls == ["damage"]
        assert "is damaged and will be rebuilt" in caplog.text
        for use in (lambda: store.get(b"head u1"), lambda: store.apply({}, 1), lambda: list(store.items())):
            with pytest.raises(StoreDamagedError):
                use()
        assert calls == ["damage"]
        store.clear()
        assert store.damage is None
        assert is_new(store)

    def test_an_iteration_does_not_end_early_in_silence(self, tmp_path: Path) -> None:
        """Damage under a cursor raises instead of giving fewer records."""
        filled(tmp_path)
        overwrite(newest(tmp_path, "*.sst"), share=0.5)
        with pytest.raises(StoreDamagedError):
            len(opened(tmp_path))

    def test_a_full_disk_is_not_damage(self, tmp_path: Path) -> None:
        """The machine refuses to write: one sentence ends the worker, and nothing is thrown away."""
        filled(tmp_path)
        script = f"""
            import sys
            from pathlib import Path
            from tests.streams.state.test_store_rocksdb import no_file_longer_than, opened
            store = opened(Path({str(tmp_path)!r}))
            no_file_longer_than(200_000)
            for number in range(100):
                store.apply({{b"more %d" % number: bytes(50_000)}}, 5_000 + number)
        """
        done = python(script)
        assert done.returncode == 1
        assert "StoreUnusableError" in done.stderr.splitlines()[-1]
        assert "File too large" in done.stderr.splitlines()[-1]
        assert opened(tmp_path).get(b"line 7") == bytes(range(200))

    def test_a_place_that_cannot_be(self, tmp_path: Path) -> None:
        """Where a store cannot even be built, one sentence ends the worker."""
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreUnusableError, match="cannot be built"):
            RocksDBStore(tmp_path / "file" / "store", IDENTITY, RocksDBResources())


def no_file_longer_than(size: int) -> None:
    """Have writes fail beyond that size, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def python(script: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestOneProcess:
    """Two workers with one folder would each think it theirs."""

    def test_a_store_that_is_open_elsewhere(self, tmp_path: Path) -> None:
        """Opening it is refused with a sentence and exit code 78, and takes nothing from whoever has it."""
        filled(tmp_path)
        store = opened(tmp_path)
        done = python(f"""
            from pathlib import Path
            from tests.streams.state.test_store_rocksdb import opened
            opened(Path({str(tmp_path)!r}))
        """)
        assert "give every worker its own REBATE_DATADIR" in done.stderr.splitlines()[-1]
        with pytest.raises(StoreLockedError) as refused:
            opened(tmp_path)
        assert refused.value.exit_code == EXIT_CONFIGURATION
        assert is_whole(store)
        store.close()
        assert is_whole(opened(tmp_path))

    @pytest.mark.asyncio
    async def test_a_folder_that_is_in_use(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """The second worker is refused before it asks the broker anything; the folder is free when we end."""
        caplog.set_level(logging.WARNING)
        settings = load_settings({"REBATE_DATADIR": str(tmp_path), "REBATE_STORE": "rocksdb"})
        first, second = StoreFolder(settings), StoreFolder(settings)
        first._take_lock()
        first._take_lock()
        with pytest.raises(ConfigurationError, match="give every worker its own REBATE_DATADIR"):
            await second.prepare({}, [])
        first.close()
        second._take_lock()
        second.close()

    @pytest.mark.asyncio
    async def test_a_folder_that_cannot_be_written(self, tmp_path: Path) -> None:
        """A datadir that is a file is a wrong setting."""
        (tmp_path / "file").write_text("")
        settings = load_settings({"REBATE_DATADIR": str(tmp_path / "file"), "REBATE_STORE": "rocksdb"})
        with pytest.raises(ConfigurationError, match="REBATE_DATADIR cannot be written"):
            await StoreFolder(settings).prepare({}, [])
