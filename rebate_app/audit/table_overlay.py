"""Changes over tables that are not written: what a trial run leaves behind, on disk, for any amount of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Self

from .table_copy import StoredRecords


class TrialState:
    """The changed records of all partitions, and messages that wait for a partition.

    They are in a temporary database that vanishes with the connection.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        database.execute("PRAGMA journal_mode = OFF")
        database.execute(
            "CREATE TABLE records (partition INTEGER, key BLOB, value BLOB, "
            "PRIMARY KEY (partition, key)) WITHOUT ROWID"
        )
        database.execute(
            "CREATE TABLE messages (id INTEGER PRIMARY KEY, partition INTEGER, key BLOB, value BLOB)"
        )

    @classmethod
    @contextmanager
    def temporary(cls) -> Iterator[Self]:
        """Open a state that vanishes at the end."""
        with closing(sqlite3.connect("")) as database:
            yield cls(database)

    def overlay(self, partition: int, table: StoredRecords) -> TableOverlay:
        """Return a partition's table with its changes."""
        return TableOverlay(self._database, partition, table)

    def send(self, partition: int, key: bytes, value: bytes) -> None:
        """Let a message wait for the partition."""
        statement = "INSERT INTO messages (partition, key, value) VALUES (?, ?, ?)"
        self._database.execute(statement, (partition, key, value))

    def waiting(self) -> list[int]:
        """Return the partitions for which messages wait."""
        return [
            row[0] for row in self._database.execute("SELECT DISTINCT partition FROM messages ORDER BY 1")
        ]

    def take(self, partition: int, count_max: int) -> list[tuple[bytes, bytes]]:
        """Return the next messages of a partition in the order of their sending, and remove them."""
        statement = "SELECT id, key, value FROM messages WHERE partition = ? ORDER BY id LIMIT ?"
        rows = self._database.execute(statement, (partition, count_max)).fetchall()
        self._database.executemany("DELETE FROM messages WHERE id = ?", [(row[0],) for row in rows])
        return [(key, value) for _, key, value in rows]


class TableOverlay:
    """One partition's table with changes (implements Readable)."""

    def __init__(self, database: sqlite3.Connection, partition: int, table: StoredRecords) -> None:
        self._database = database
        self._partition = partition
        self._table = table

    def get(self, key: bytes) -> bytes | None:
        """Return the record's value, None for a deleted or unknown one."""
        statement = "SELECT value FROM records WHERE partition = ? AND key = ?"
        row = self._database.execute(statement, (self._partition, key)).fetchone()
        if row is None:
            return self._table.get(key)
        value: bytes | None = row[0]
        return value

    def apply(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Apply changes; a value of None deletes."""
        statement = "INSERT OR REPLACE INTO records VALUES (?, ?, ?)"
        self._database.executemany(
            statement, [(self._partition, key, value) for key, value in changes.items()]
        )
