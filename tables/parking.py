"""Records about failures, kept beside every table: parked keys, what waits for them, and the watch.

They are in the same changelog as the table and change in the same transaction, so a key can never be
parked without what waits for it being there, or the other way round.

| key | record |
|---|---|
| `parked/KEY` | that the key is parked, since when, and what waits for it |
| `waiting/N/KEY` | the N-th record that waits for the key |
| `parked` | all parked keys of the partition |
| `parked#` | how many they are |
| `!dlq` | how many of the last records failed |
| `!first/KEY` | when the parked key's first record failed first, by some worker's clock |

Those with `!` are for people, and depend on more than the log; an audit leaves them aside. No other
record has such a key: a line's begins with a platform and a colon, an account's with one
character and a space.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from rebate_app.lane.store import Readable

from .records import RecordKind

PARKED_PREFIX = b"parked/"
WAITING_PREFIX = b"waiting/"
PARKED_KEYS_KEY = b"parked"
TALLY_KEY = b"parked#"
FOR_PEOPLE = b"!"
WATCH_KEY = b"!dlq"


class Parked(Struct, array_like=True):
    """A parked key (format 1): records `first` to before `next` wait, the oldest of them having failed.

    `since` is the offset of the record at which the key was parked, `at` its timestamp in ms. `release`:
    the offset of the release that is under way, -1 for none; `skip`: offsets that it leaves out.
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
    """A record that waits for its key (format 1), as it came; `attempts`: how often it has failed."""

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


class Tally(Struct, array_like=True):
    """How many keys are parked, how many records wait, how many keys are being released (format 1)."""

    format: int = 1
    keys: int = 0
    records: int = 0
    releasing: int = 0


class Watch(Struct, array_like=True):
    """How many of the last records became dead letters (format 1).

    `seen`: records ever; `consecutive`: dead letters since the last good one; `letters`: number (as
    counted by `seen`), offset and reason of the dead letters among the last records.
    """

    format: int = 1
    seen: int = 0
    consecutive: int = 0
    letters: list[tuple[int, int, str]] = field(default_factory=list)


PARKED = RecordKind("", Parked)
WAITING = RecordKind("", Waiting)
PARKED_KEYS = RecordKind("", ParkedKeys)
TALLY = RecordKind("", Tally)
WATCH = RecordKind("", Watch)


def parked_key(key: bytes) -> bytes:
    """Return the record key of a parked key."""
    return PARKED_PREFIX + key


def waiting_key(key: bytes, number: int) -> bytes:
    """Return the record key of the N-th record that waits."""
    return b"waiting/%d/%b" % (number, key)


def first_at_key(key: bytes) -> bytes:
    """Return the record key of when a parked key's first record failed first."""
    return b"!first/" + key


def read_parked(store: Readable, key: str) -> Parked | None:
    """Return how the key is parked, None when it is not."""
    return PARKED.read(store, parked_key(key.encode()))


def read_tally(store: Readable) -> Tally:
    """Return how much is parked in the partition."""
    return TALLY.read(store, TALLY_KEY) or Tally()


def list_parked(store: Readable) -> list[tuple[bytes, int, int]]:
    """Return the parked keys with offset and timestamp in ms of what failed, oldest first."""
    keys = PARKED_KEYS.read(store, PARKED_KEYS_KEY)
    return [] if keys is None else keys.keys


def kind_of(key: bytes) -> RecordKind[Any] | None:
    """Return what such a record is, None for one that is plain text."""
    if key.startswith(PARKED_PREFIX):
        return PARKED
    if key.startswith(WAITING_PREFIX):
        return WAITING
    others: dict[bytes, RecordKind[Any]] = {PARKED_KEYS_KEY: PARKED_KEYS, TALLY_KEY: TALLY, WATCH_KEY: WATCH}
    return others.get(key)


def is_about_failures(key: bytes) -> bool:
    """Whether a record is one of these, and not the table's own."""
    return key.startswith((PARKED_PREFIX, WAITING_PREFIX, FOR_PEOPLE)) or key in (PARKED_KEYS_KEY, TALLY_KEY)
