"""The records beside every table: parked keys, waiting records, the dead-letter window, rerouted copies.

They are in the table's changelog and change in its transactions, so a parked key and its waiting records
always belong together.

| key | record |
|---|---|
| `parked/KEY` | since when the key is parked, and which records wait |
| `waiting/N/KEY` | the N-th record that waits for the key |
| `parked` | all parked keys of the partition |
| `parked#` | how many they are |
| `!dlq` | which of the last records became dead letters |
| `!first/KEY` | when the parked key's first record failed first, by some worker's clock |
| `rerouted/P` | which records of the source's partition P were folded here as copies |
| `!reroutes` | from which offset on records in the wrong partition are rerouted |

Records whose key begins with `!` depend on more than the log; an audit does not compare them.
"""

from __future__ import annotations

from msgspec import Struct, field

from ..state.record_kind import RecordKind
from ..state.store import Readable

PARKED_PREFIX = b"parked/"
WAITING_PREFIX = b"waiting/"
FIRST_AT_PREFIX = b"!first/"
PARKED_KEYS_KEY = b"parked"
PARKED_TOTALS_KEY = b"parked#"
DEAD_LETTER_WINDOW_KEY = b"!dlq"
REROUTED_PREFIX = b"rerouted/"
REROUTING_KEY = b"!reroutes"


class Parked(Struct, array_like=True):
    """A parked key (format 1): records `first` to before `next` wait; the first is the one that failed.

    `since` is the offset of the record at which the key was parked, `at` its timestamp in ms. `release`:
    the offset of the release that is under way, -1 for none; `skip`: offsets that it skips.
    """

    format: int
    since: int
    at: int
    reason: str
    first: int = 0
    next: int = 0
    release: int = -1
    by: str = ""
    skip: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Return how many records wait."""
        return self.next - self.first


class Waiting(Struct, array_like=True):
    """A waiting record (format 1), as it was read; `attempts`: how often it has failed."""

    format: int
    offset: int
    timestamp: int
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    attempts: int = 0


class ParkedKeys(Struct, array_like=True):
    """The parked keys of a partition with their `since` and `at`, oldest first (format 1)."""

    format: int = 1
    keys: list[tuple[bytes, int, int]] = field(default_factory=list)


class ParkedTotals(Struct, array_like=True):
    """How many keys are parked, how many records wait, how many keys are being released (format 1)."""

    format: int = 1
    keys: int = 0
    records: int = 0
    releasing: int = 0


class DeadLetterWindow(Struct, array_like=True):
    """Which of the last records became dead letters (format 1).

    `seen`: number of all records so far; `consecutive`: dead letters since the last good record; `letters`:
    number (as counted by `seen`), offset and reason of the dead letters among the last records.
    """

    format: int = 1
    seen: int = 0
    consecutive: int = 0
    letters: list[tuple[int, int, str]] = field(default_factory=list)


class Rerouting(Struct, array_like=True):
    """From which offset on this partition's state follows the rule of the right partition (format 1).

    Records before it were folded by a version without that rule, wherever their keys belong.
    """

    format: int = 1
    since: int = 0


class ReroutedCopies(Struct, array_like=True):
    """The copies of one partition's records that were folded in another one (format 1).

    `spans`: (since, greatest) means that every record from offset `since` to `greatest` that belongs here was
    folded here. Apps that reroute from different offsets on have spans of their own.
    """

    format: int = 1
    spans: list[tuple[int, int]] = field(default_factory=list)


PARKED = RecordKind("", Parked)
WAITING = RecordKind("", Waiting)
PARKED_KEYS = RecordKind("", ParkedKeys)
PARKED_TOTALS = RecordKind("", ParkedTotals)
DEAD_LETTER_WINDOW = RecordKind("", DeadLetterWindow)
REROUTING = RecordKind("", Rerouting)
REROUTED_COPIES = RecordKind("", ReroutedCopies)


def parked_key(key: bytes) -> bytes:
    """Return the record key of a parked key."""
    return PARKED_PREFIX + key


def waiting_key(key: bytes, number: int) -> bytes:
    """Return the record key of the N-th waiting record."""
    return b"waiting/%d/%b" % (number, key)


def first_at_key(key: bytes) -> bytes:
    """Return the record key for the time of a parked key's first failure."""
    return FIRST_AT_PREFIX + key


def rerouted_key(partition: int) -> bytes:
    """Return the record key for the copies of a source partition's records."""
    return b"rerouted/%d" % partition


def read_parked(store: Readable, key: str) -> Parked | None:
    """Return the record of a parked key, None when the key is not parked."""
    return PARKED.read(store, parked_key(key.encode()))


def read_parked_totals(store: Readable) -> ParkedTotals:
    """Return how much is parked in the partition."""
    return PARKED_TOTALS.read(store, PARKED_TOTALS_KEY) or ParkedTotals()


def list_parked(store: Readable) -> list[tuple[bytes, int, int]]:
    """Return the parked keys, each with offset and timestamp (ms) of the record that failed, oldest first."""
    keys = PARKED_KEYS.read(store, PARKED_KEYS_KEY)
    return [] if keys is None else keys.keys
